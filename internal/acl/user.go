package acl

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Default is the name of the user that a connection begins as. It is always there.
const Default = "default"

// Limits of what users take, so that a set of them stays small.
const (
	// UsersMax is how many users there may be.
	UsersMax = 10_000
	// NameLenMax is how long the name of a user may be.
	NameLenMax = 1 << 10
	// RulesLenMax is how long the rules of a user may be together.
	RulesLenMax = 64 << 10
)

// User is a user with its rights. It is immutable; see Change.
type User struct {
	Name string
	// Born is the epoch in which the user was made: one that was deleted and made
	// again is another one.
	Born uint64

	on           bool
	nopass       bool
	skipSanitize bool
	passwords    []string // hashes
	selectors    []*selector
	everything   bool // some selector allows everything
	rules        []string
}

// SamePasswords reports whether who could log in as one user could as the other.
func (u *User) SamePasswords(o *User) bool {
	return u.on == o.on && u.nopass == o.nopass && slices.Equal(u.passwords, o.passwords)
}

// newUser returns a user as SETUSER begins with one: off, without any right.
func newUser(c *Catalog, name string, born uint64) *User {
	u := &User{Name: name, Born: born, selectors: []*selector{newSelector(c)}}
	u.seal()
	return u
}

// NewDefault returns the default user of a cluster that has no users: it needs no
// password and may do everything.
func NewDefault(c *Catalog) *User {
	u, err := Change(c, nil, Default, 0, []string{"on", "nopass", "~*", "&*", "+@all"})
	if err != nil {
		panic("acl: " + err.Error())
	}
	return u
}

// ModifierError says which rule is wrong, in Redis's words.
type ModifierError struct {
	Rule string
	Err  error
}

// Error is the text of the reply, without its code.
func (e *ModifierError) Error() string {
	return fmt.Sprintf("Error in ACL SETUSER modifier '%s': %v", e.Rule, e.Err)
}

// Unwrap returns what is wrong with the rule.
func (e *ModifierError) Unwrap() error { return e.Err }

// ErrTooLarge says that a user would have more rules than one may have.
var ErrTooLarge = fmt.Errorf("the rules of a user take at most %d KiB", RulesLenMax>>10)

// NameError tells why a user can't be called name, in Redis's words, or nil.
func NameError(name string) error {
	switch {
	case blank(name):
		return ruleError("Usernames can't contain spaces or null characters")
	case len(name) > NameLenMax:
		return fmt.Errorf("names of users have at most %d bytes", NameLenMax)
	}
	return nil
}

// Change returns what rules make of a user, of which old is what there is, or nil:
// then it is born in this epoch. All rules hold or none. Passwords come as hashes.
func Change(c *Catalog, old *User, name string, born uint64, rules []string) (*User, error) {
	merged, err := merge(rules)
	if err != nil {
		return nil, err
	}
	u := newUser(c, name, born)
	if old != nil {
		u = old.clone()
	}
	for _, rule := range merged {
		if err := u.apply(c, rule); err != nil {
			return nil, &ModifierError{rule, err}
		}
	}
	u.seal()
	size := 0
	for _, r := range u.rules {
		size += len(r)
	}
	if size > RulesLenMax {
		return nil, ErrTooLarge
	}
	return u, nil
}

// Restore makes a user of the rules that Rules gave, maybe those of a later
// version: commands and categories that are unknown here are kept, and are no
// rights.
func Restore(c *Catalog, name string, born uint64, rules []string) (*User, error) {
	u := newUser(c, name, born)
	for _, rule := range rules {
		if err := u.restore(c, rule); err != nil {
			return nil, &ModifierError{rule, err}
		}
	}
	u.seal()
	return u, nil
}

func (u *User) restore(c *Catalog, rule string) error {
	if inner, ok := insideSelector(rule); ok {
		s := newSelector(c)
		for _, r := range strings.Fields(inner) {
			if err := s.restore(c, r); err != nil {
				return err
			}
		}
		u.selectors = append(u.selectors, s)
		return nil
	}
	err := u.apply(c, rule)
	if errors.Is(err, errUnknown) {
		return u.selectors[0].restore(c, rule)
	}
	return err
}

func (s *selector) restore(c *Catalog, rule string) error {
	err := s.apply(c, rule)
	if errors.Is(err, errUnknown) {
		s.note(rule[0] == '+', strings.ToLower(rule[1:]))
		return nil
	}
	return err
}

// merge puts selectors that were cut at their spaces together again.
func merge(rules []string) ([]string, error) {
	var list []string
	open := ""
	began := ""
	for _, r := range rules {
		switch {
		case open != "":
			open += " " + r
		case strings.HasPrefix(r, "("):
			open, began = r, r
		default:
			list = append(list, r)
			continue
		}
		if strings.HasSuffix(r, ")") {
			list, open = append(list, open), ""
		}
	}
	if open != "" {
		return nil, ruleError(fmt.Sprintf("Unmatched parenthesis in acl selector starting at '%s'.", began))
	}
	return list, nil
}

func insideSelector(rule string) (inner string, ok bool) {
	if len(rule) < 2 || rule[0] != '(' || rule[len(rule)-1] != ')' {
		return "", false
	}
	return rule[1 : len(rule)-1], true
}

func (u *User) clone() *User {
	next := *u
	next.passwords = slices.Clone(u.passwords)
	next.selectors = make([]*selector, len(u.selectors))
	for i, s := range u.selectors {
		next.selectors[i] = s.clone()
	}
	return &next
}

// seal computes what is looked at when the user does not change any more.
func (u *User) seal() {
	u.everything = slices.ContainsFunc(u.selectors, (*selector).everything)
	u.rules = u.list()
}

func (u *User) apply(c *Catalog, rule string) error {
	switch strings.ToLower(rule) {
	case "":
	case "on":
		u.on = true
	case "off":
		u.on = false
	case "skip-sanitize-payload":
		u.skipSanitize = true
	case "sanitize-payload":
		u.skipSanitize = false
	case "nopass":
		u.nopass, u.passwords = true, nil
	case "resetpass":
		u.nopass, u.passwords = false, nil
	case "clearselectors":
		u.selectors = u.selectors[:1]
	case "reset":
		*u = *newUser(c, u.Name, u.Born)
	default:
		return u.applyOther(c, rule)
	}
	return nil
}

func (u *User) applyOther(c *Catalog, rule string) error {
	if inner, ok := insideSelector(rule); ok {
		s := newSelector(c)
		for _, r := range strings.Fields(inner) {
			if err := s.apply(c, r); err != nil {
				return err
			}
		}
		u.selectors = append(u.selectors, s)
		return nil
	}
	switch rule[0] {
	case '#', '!':
		hash := rule[1:]
		if !validHash(hash) {
			return errHash
		}
		at := slices.Index(u.passwords, hash)
		if rule[0] == '!' {
			if at < 0 {
				return errNoPassword
			}
			u.passwords = slices.Delete(u.passwords, at, at+1)
			return nil
		}
		if at < 0 {
			u.passwords = append(u.passwords, hash)
		}
		u.nopass = false
		return nil
	}
	return u.selectors[0].apply(c, rule)
}

// Flags lists the flags of the user, as ACL GETUSER does.
func (u *User) Flags() []string {
	list := []string{"off"}
	if u.on {
		list[0] = "on"
	}
	if u.nopass {
		list = append(list, "nopass")
	}
	if u.skipSanitize {
		return append(list, "skip-sanitize-payload")
	}
	return append(list, "sanitize-payload")
}

// Passwords lists the hashes of the passwords. Not to be changed.
func (u *User) Passwords() []string { return u.passwords }

// Rules lists the rules that make the user, each selector as one. Not to be
// changed.
func (u *User) Rules() []string { return u.rules }

// String is the user as a line of ACL LIST.
func (u *User) String() string { return "user " + u.Name + " " + strings.Join(u.rules, " ") }

func (u *User) list() []string {
	list := u.Flags()
	for _, hash := range u.passwords {
		list = append(list, "#"+hash)
	}
	for i, s := range u.selectors {
		if i == 0 {
			list = append(list, s.all()...)
		} else {
			list = append(list, "("+strings.Join(s.all(), " ")+")")
		}
	}
	return list
}

// Selector is a set of rights as ACL GETUSER shows it.
type Selector struct{ Commands, Keys, Channels string }

// Selectors lists the sets of rights; the first is the user's own.
func (u *User) Selectors() []Selector {
	var list []Selector
	for _, s := range u.selectors {
		list = append(list, Selector{strings.Join(s.commandRules(), " "), strings.Join(s.keyRules(), " "), strings.Join(s.channelRules(), " ")})
	}
	return list
}

// NeedsLogin reports whether a connection that begins as this user has to log in.
func (u *User) NeedsLogin() bool { return !u.on || !u.nopass }

// HasNoPassword reports whether any password will do.
func (u *User) HasNoPassword() bool { return u.nopass }

// Everything reports whether the user may do everything, so that nothing need be
// looked at.
func (u *User) Everything() bool { return u.everything }

// MayChangeUsers reports whether whoever logs in as the user can change users.
func (u *User) MayChangeUsers(c *Catalog) bool {
	id, ok := c.find("acl|setuser")
	return ok && u.on && (u.nopass || len(u.passwords) > 0) && slices.ContainsFunc(u.selectors, func(s *selector) bool { return s.every || s.bits.has(id) })
}

// Why says why something is denied.
type Why uint8

// The reasons, the least telling first.
const (
	Allowed Why = iota
	DeniedCommand
	DeniedKey
	DeniedChannel
)

// Denial is why a user may not execute a command, and which argument is to blame.
type Denial struct {
	Why Why
	At  int
}

// Check looks whether the user may execute the command of this id. free says that
// anybody may, so that only its keys are looked at. keys and channels are those in args.
func (u *User) Check(id int, free bool, args [][]byte, keys []Key, channels Channels) Denial {
	if u.everything {
		return Denial{}
	}
	worst := Denial{Why: DeniedCommand}
	for _, s := range u.selectors {
		d := s.check(id, free, args, keys, channels)
		if d.Why == Allowed {
			return d
		}
		if d.Why > worst.Why || d.Why == worst.Why && d.At > worst.At {
			worst = d
		}
	}
	return worst
}

// ReadsAll reports whether one selector allows both the command and reading every
// key there is.
func (u *User) ReadsAll(id int, args [][]byte, keys []Key) bool {
	return slices.ContainsFunc(u.selectors, func(s *selector) bool {
		return s.readsAll() && s.check(id, false, args, keys, Channels{}).Why == Allowed
	})
}

// Hears reports whether the user may subscribe to a channel, or to a pattern.
func (u *User) Hears(name []byte, pattern bool) bool {
	return slices.ContainsFunc(u.selectors, func(s *selector) bool { return s.channel(name, pattern) })
}
