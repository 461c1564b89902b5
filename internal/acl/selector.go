package acl

import (
	"bytes"
	"maps"
	"slices"
	"strings"

	"tutti/internal/glob"
)

// ruleError is what is wrong with a rule, in Redis's words.
type ruleError string

func (e ruleError) Error() string { return string(e) }

const (
	errSyntax    = ruleError("Syntax error")
	errUnknown   = ruleError("Unknown command or category name in ACL")
	errAfterKeys = ruleError("Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does not have any effect. " +
		"Try 'resetkeys' to start with an empty list of patterns")
	errAfterChannels = ruleError("Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and does not have any effect. " +
		"Try 'resetchannels' to start with an empty list of channels")
	errNoPassword = ruleError("The password you are trying to remove from the user does not exist")
	errHash       = ruleError("The password hash must be exactly 64 characters and contain only lowercase hexadecimal characters")
	errFirstArg   = ruleError("Allowing first-arg of a subcommand is not supported")
)

// Right is what may be done to a key, or what a command does to it.
type Right uint8

// The rights, one bit each. A command with neither only asks about the key.
const (
	Read Right = 1 << iota
	Write
)

// Key is a key among the arguments of a command.
type Key struct {
	At    int // its place in the arguments
	Right Right
}

// Channels are those among the arguments of a command, from First up to End, or
// patterns of channels.
type Channels struct {
	First, End int
	Patterns   bool
}

// keyPattern is a pattern of keys and what may be done to them.
type keyPattern struct {
	pattern string
	right   Right
}

func (p keyPattern) text() string {
	switch p.right {
	case Read:
		return "%R~" + p.pattern
	case Write:
		return "%W~" + p.pattern
	}
	return "~" + p.pattern
}

// selector is a set of rights: a command is allowed if one selector of its user
// allows all of it.
type selector struct {
	bits        bitmap
	every       bool             // Invariant: only if all bits are set
	future      bool             // began with all commands, those of later versions too
	rules       []string         // about commands, behind the beginning, with their signs
	firstArgs   map[int][]string // of commands whose bit is not set: with one of these first arguments they are allowed
	allKeys     bool
	keys        []keyPattern
	allChannels bool
	channels    []string
}

func newSelector(c *Catalog) *selector { return &selector{bits: make(bitmap, c.words)} }

func (s *selector) clone() *selector {
	next := *s
	next.bits, next.rules = slices.Clone(s.bits), slices.Clone(s.rules)
	next.firstArgs = maps.Clone(s.firstArgs)
	next.keys, next.channels = slices.Clone(s.keys), slices.Clone(s.channels)
	return &next
}

// apply changes the selector by one rule.
func (s *selector) apply(c *Catalog, rule string) error {
	switch strings.ToLower(rule) {
	case "allkeys", "~*":
		s.allKeys, s.keys = true, nil
		return nil
	case "resetkeys":
		s.allKeys, s.keys = false, nil
		return nil
	case "allchannels", "&*":
		s.allChannels, s.channels = true, nil
		return nil
	case "resetchannels":
		s.allChannels, s.channels = false, nil
		return nil
	case "allcommands", "+@all":
		s.begin(true)
		return nil
	case "nocommands", "-@all":
		s.begin(false)
		return nil
	case "":
		return errSyntax
	}
	switch rule[0] {
	case '~', '%':
		return s.addKeys(rule)
	case '&':
		return s.addChannel(rule[1:])
	case '+', '-':
		return s.command(c, rule[0] == '+', rule[1:])
	}
	return errSyntax
}

// begin forgets all that was said about commands.
func (s *selector) begin(with bool) {
	s.bits.fill(with)
	s.every, s.future = with, with
	s.rules, s.firstArgs = nil, nil
}

func (s *selector) addKeys(rule string) error {
	if s.allKeys {
		return errAfterKeys
	}
	p := keyPattern{rule[1:], Read | Write}
	if rule[0] == '%' {
		var rights string
		var ok bool
		rights, p.pattern, _ = strings.Cut(rule[1:], "~")
		if p.right, ok = parseRights(rights); !ok {
			return errSyntax
		}
	}
	if blank(p.pattern) {
		return errSyntax
	}
	if i := slices.IndexFunc(s.keys, func(k keyPattern) bool { return k.pattern == p.pattern }); i >= 0 {
		s.keys[i].right |= p.right
		return nil
	}
	s.keys = append(s.keys, p)
	return nil
}

func parseRights(text string) (r Right, ok bool) {
	for _, b := range []byte(text) {
		var one Right
		switch b {
		case 'R', 'r':
			one = Read
		case 'W', 'w':
			one = Write
		}
		if one == 0 || r&one != 0 {
			return 0, false
		}
		r |= one
	}
	return r, r != 0
}

func (s *selector) addChannel(pattern string) error {
	switch {
	case s.allChannels:
		return errAfterChannels
	case blank(pattern):
		return errSyntax
	case !slices.Contains(s.channels, pattern):
		s.channels = append(s.channels, pattern)
	}
	return nil
}

// blank reports whether a text has white space or zeros, which a list of rules
// could not be read with.
func blank(text string) bool { return strings.ContainsAny(text, " \t\n\v\f\r\x00") }

// command allows or takes away a command, a category or, if allow, a command with
// one first argument.
func (s *selector) command(c *Catalog, allow bool, name string) error {
	name = strings.ToLower(name)
	if category, ok := strings.CutPrefix(name, "@"); ok {
		ids, known := c.categories[category]
		if !known {
			return errUnknown
		}
		s.note(allow, name)
		for _, id := range ids {
			s.allow(c, id, allow)
		}
		return nil
	}
	if cut := strings.LastIndexByte(name, '|'); allow && cut >= 0 {
		id, known := c.find(name[:cut])
		switch {
		case !known:
			return errUnknown
		case c.parents[id]:
			return errFirstArg
		case cut+1 == len(name):
			return errSyntax
		case len(c.subs[id]) == 0:
			if blank(name) {
				return errSyntax // it could not be read back
			}
			s.addFirstArg(id, name[cut+1:])
			s.note(true, name)
			return nil
		}
	}
	id, known := c.find(name)
	if !known {
		return errUnknown
	}
	s.allow(c, id, allow)
	s.note(allow, name)
	return nil
}

func (s *selector) addFirstArg(id int, arg string) {
	if s.firstArgs == nil {
		s.firstArgs = make(map[int][]string)
	}
	if !slices.Contains(s.firstArgs[id], arg) {
		s.firstArgs[id] = append(slices.Clone(s.firstArgs[id]), arg) // a clone may share it
	}
}

// allow sets the bits of a command and its subcommands.
func (s *selector) allow(c *Catalog, id int, to bool) {
	s.bits.set(id, to)
	for _, sub := range c.subs[id] {
		s.bits.set(sub, to)
	}
	s.every = s.every && to
	delete(s.firstArgs, id)
}

// note adds a rule about commands, in the place of those that it makes void.
func (s *selector) note(allow bool, name string) {
	s.rules = slices.DeleteFunc(s.rules, func(old string) bool {
		rest, same := strings.CutPrefix(old[1:], name)
		return same && (rest == "" || rest[0] == '|')
	})
	sign := "-"
	if allow {
		sign = "+"
	}
	s.rules = append(s.rules, sign+name)
}

// commandRules lists the rules about commands, beginning with all or none.
func (s *selector) commandRules() []string {
	if s.future {
		return append([]string{"+@all"}, s.rules...)
	}
	return append([]string{"-@all"}, s.rules...)
}

func (s *selector) keyRules() []string {
	if s.allKeys {
		return []string{"~*"}
	}
	var list []string
	for _, p := range s.keys {
		list = append(list, p.text())
	}
	return list
}

func (s *selector) channelRules() []string {
	if s.allChannels {
		return []string{"&*"}
	}
	var list []string
	for _, p := range s.channels {
		list = append(list, "&"+p)
	}
	return list
}

// all lists all rules of the selector.
func (s *selector) all() []string {
	list := s.keyRules()
	if !s.allChannels {
		list = append(list, "resetchannels")
	}
	list = append(list, s.channelRules()...)
	return append(list, s.commandRules()...)
}

// everything reports whether the selector allows all that there is.
func (s *selector) everything() bool { return s.every && s.allKeys && s.allChannels }

// check looks at one command; see User.Check.
func (s *selector) check(id int, free bool, args [][]byte, keys []Key, channels Channels) Denial {
	if !free && !s.every && !s.bits.has(id) && !s.firstArgAllowed(id, args) {
		return Denial{Why: DeniedCommand}
	}
	for _, k := range keys {
		if !s.allKeys && !s.key(args[k.At], k.Right) {
			return Denial{Why: DeniedKey, At: k.At}
		}
	}
	for at := channels.First; at < channels.End; at++ {
		if !s.channel(args[at], channels.Patterns) {
			return Denial{Why: DeniedChannel, At: at}
		}
	}
	return Denial{}
}

// channel reports whether the selector allows a channel. A pattern is allowed only if
// it is one of the selector's own: what else it matches is not known.
func (s *selector) channel(name []byte, pattern bool) bool {
	return s.allChannels || slices.ContainsFunc(s.channels, func(own string) bool {
		return pattern && own == string(name) || !pattern && glob.Match([]byte(own), name)
	})
}

func (s *selector) firstArgAllowed(id int, args [][]byte) bool {
	list := s.firstArgs[id]
	return len(list) > 0 && len(args) > 1 && slices.Contains(list, string(bytes.ToLower(args[1])))
}

func (s *selector) key(key []byte, right Right) bool {
	for _, p := range s.keys {
		if p.right&right == right && glob.Match([]byte(p.pattern), key) {
			return true
		}
	}
	return false
}

// readsAll reports whether the selector allows reading every key.
func (s *selector) readsAll() bool {
	return s.allKeys || slices.ContainsFunc(s.keys, func(p keyPattern) bool { return p.right&Read != 0 && p.pattern == "*" })
}
