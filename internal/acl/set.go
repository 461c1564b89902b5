package acl

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"
)

// FirstEpoch is that of a cluster whose users were never changed.
const FirstEpoch = 1

// Set is all users as they were in an epoch. It is immutable.
type Set struct {
	Epoch uint64
	users map[string]*User
	first *User // the default user
}

// NewSet returns a set of users. If there is no default user among them, it is the
// one of a cluster without users.
func NewSet(c *Catalog, epoch uint64, users []*User) *Set {
	s := &Set{Epoch: epoch, users: make(map[string]*User, len(users)+1)}
	for _, u := range users {
		s.users[u.Name] = u
	}
	if s.users[Default] == nil {
		s.users[Default] = NewDefault(c)
	}
	s.first = s.users[Default]
	return s
}

// Nobody is the set of a node that does not know the users yet: nobody may log in.
// Every other set replaces it.
func Nobody(c *Catalog) *Set {
	return NewSet(c, 0, []*User{newUser(c, Default, 0)})
}

// Unknown reports whether the set is Nobody's.
func (s *Set) Unknown() bool { return s.Epoch == 0 }

// Open reports whether everybody is let in: the default user needs no password.
func (s *Set) Open() bool { return !s.Unknown() && !s.first.NeedsLogin() }

// User returns a user by its name, or nil.
func (s *Set) User(name string) *User { return s.users[name] }

// Default returns the user that connections begin as.
func (s *Set) Default() *User { return s.first }

// All lists the users by name.
func (s *Set) All() []*User {
	list := make([]*User, 0, len(s.users))
	for _, name := range slices.Sorted(maps.Keys(s.users)) {
		list = append(list, s.users[name])
	}
	return list
}

// Holder holds the newest set of users that a node knows. Its methods are safe for
// concurrent use.
type Holder struct {
	now atomic.Pointer[Set]

	mu      sync.Mutex // orders replacements; guards changed
	changed []func()
}

// NewHolder returns a holder of s.
func NewHolder(s *Set) *Holder {
	h := &Holder{}
	h.now.Store(s)
	return h
}

// Set returns the newest set.
func (h *Holder) Set() *Set { return h.now.Load() }

// Changed has f called after each replacement, in order. f must not block, nor call
// Replace.
func (h *Holder) Changed(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.changed = append(h.changed, f)
}

// Replace takes s over if its epoch is newer. It reports whether it did.
func (h *Holder) Replace(s *Set) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if s.Epoch <= h.now.Load().Epoch {
		return false
	}
	h.now.Store(s)
	for _, f := range h.changed {
		f()
	}
	return true
}
