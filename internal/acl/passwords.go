package acl

import (
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// Limits of the work with passwords on one node. A hash takes 19 MiB and some tens
// of milliseconds.
const (
	hashersMax   = 2    // hashes that are computed at once
	waitersMax   = 64   // who waits for that
	verifiedMax  = 4096 // credentials that are remembered
	newPasswords = 16   // that one command may bring
)

// ErrBusy says that too many passwords are being checked.
var ErrBusy = errors.New("too many passwords are being checked at once")

// ErrGone says that nobody waits for the outcome any more.
var ErrGone = errors.New("the client has gone")

var errPasswords = fmt.Errorf("one command may bring at most %d passwords that are not hashed", newPasswords)

// Passwords checks and hashes passwords for one node. What was verified is
// remembered for as long as the process runs, under a key of its own, so that
// logging in again is fast. Its methods are safe for concurrent use.
type Passwords struct {
	random  func(b []byte) // fills b with what nobody can guess
	key     [32]byte
	hashers chan struct{} // holds one for each hash being computed
	waiters chan struct{} // holds one for each who waits or computes

	mu       sync.Mutex // guards verified
	verified map[[sha256.Size]byte]struct{}
}

// NewPasswords returns a checker. random fills its argument with bytes that nobody
// can guess.
func NewPasswords(random func(b []byte)) *Passwords {
	p := &Passwords{random: random, hashers: make(chan struct{}, hashersMax), waiters: make(chan struct{}, hashersMax+waitersMax),
		verified: make(map[[sha256.Size]byte]struct{})}
	random(p.key[:])
	return p
}

// slow calls f when it is its turn.
func (p *Passwords) slow(gone <-chan struct{}, f func()) error {
	select {
	case p.waiters <- struct{}{}:
		defer func() { <-p.waiters }()
	default:
		return ErrBusy
	}
	select {
	case p.hashers <- struct{}{}:
		defer func() { <-p.hashers }()
	case <-gone:
		return ErrGone
	}
	f()
	return nil
}

// Verify reports whether u may log in with a password. u is nil if there is no such
// user, which takes as long as a wrong password. gone ends the wait for one's turn.
func (p *Passwords) Verify(gone <-chan struct{}, u *User, password []byte) (ok bool, err error) {
	var hashes []string
	if u != nil && u.on {
		if u.nopass {
			return true, nil
		}
		if hashes = u.passwords; matchingSHA256(hashes, password) != "" {
			return true, nil
		}
	}
	mark := p.mark(u, password)
	if len(hashes) > 0 && p.known(mark) {
		return true, nil
	}
	if err := p.slow(gone, func() { ok = matching(hashes, password) != "" }); err != nil {
		return false, err
	}
	if ok {
		p.remember(mark)
	}
	return ok, nil
}

// mark stands for a user, all its hashes and a password.
func (p *Passwords) mark(u *User, password []byte) (sum [sha256.Size]byte) {
	mac := hmac.New(sha256.New, p.key[:])
	if u != nil {
		for _, part := range append([]string{u.Name}, u.passwords...) {
			fmt.Fprintf(mac, "%d:%s", len(part), part)
		}
	}
	mac.Write([]byte{0})
	mac.Write(password)
	mac.Sum(sum[:0])
	return sum
}

func (p *Passwords) known(mark [sha256.Size]byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, ok := p.verified[mark]
	return ok
}

// remember makes room by forgetting anything: who is forgotten is checked again.
func (p *Passwords) remember(mark [sha256.Size]byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for old := range p.verified {
		if len(p.verified) < verifiedMax {
			break
		}
		delete(p.verified, old)
	}
	p.verified[mark] = struct{}{}
}

// Hide returns rules with every password replaced by a hash of it, for a user of
// which old is what there is, or nil. So passwords stay on the node that was told
// them.
func (p *Passwords) Hide(gone <-chan struct{}, old *User, rules []string) (hidden []string, err error) {
	plain := slices.DeleteFunc(slices.Clone(rules), func(r string) bool { return !strings.HasPrefix(r, ">") && !strings.HasPrefix(r, "<") })
	switch {
	case len(plain) == 0:
		return rules, nil
	case len(plain) > newPasswords:
		return nil, errPasswords
	}
	err = p.slow(gone, func() { hidden = p.hide(old, rules) })
	return hidden, err
}

// hide follows what the rules do to the hashes, so that a password that is there is
// not hashed again, and one that is taken away is found.
func (p *Passwords) hide(old *User, rules []string) []string {
	var hashes []string
	if old != nil {
		hashes = slices.Clone(old.passwords)
	}
	list := slices.Clone(rules)
	for i, rule := range rules {
		if rule == "" {
			continue
		}
		switch word, arg := strings.ToLower(rule), rule[1:]; {
		case word == "nopass", word == "resetpass", word == "reset":
			hashes = nil
		case rule[0] == '>':
			hash := matching(hashes, []byte(arg))
			if hash == "" {
				hash = p.hash(hashes, []byte(arg))
				hashes = append(hashes, hash)
			}
			list[i] = "#" + hash
		case rule[0] == '<':
			hash := matching(hashes, []byte(arg))
			if hash == "" {
				hash = SHA256([]byte(arg)) // which is not there either
			}
			list[i] = "!" + hash
			hashes = slices.DeleteFunc(hashes, func(h string) bool { return h == hash })
		case rule[0] == '#':
			hashes = append(hashes, arg)
		case rule[0] == '!':
			hashes = slices.DeleteFunc(hashes, func(h string) bool { return h == arg })
		}
	}
	return list
}

// hash returns a new hash. The passwords of one user have one salt, so that the
// check of one takes as long as that of all.
func (p *Passwords) hash(others []string, password []byte) string {
	cost := argonCost{kib: argonKiB, time: argonTime, lanes: argonLanes}
	for _, other := range others {
		if a, ok := parseArgon(other); ok && a.cost.kib == cost.kib && a.cost.time == cost.time && a.cost.lanes == cost.lanes {
			cost.salt = a.cost.salt
		}
	}
	if cost.salt == "" {
		salt := make([]byte, saltLen)
		p.random(salt)
		cost.salt = string(salt)
	}
	return argonHash{cost, cost.sum(password)}.String()
}
