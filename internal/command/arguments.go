package command

import (
	"slices"
	"strings"
)

// The arguments of commands one by one, as COMMAND DOCS describes them: read from the
// syntax that the table has.
//
//	sequence = { item }
//	item     = "[" choice "]" | "<" choice ">" | TOKEN | name | "..."
//	choice   = sequence { "|" sequence }
//
// What is in brackets may be left out. "x [x ...]" says that there may be many.

// Argument is one of a command's arguments, or a group of them.
type Argument struct {
	Name  string
	Type  string // as Redis calls it
	Text  string // to show; of groups there is none
	Token string // the word before it, or the word that it is
	// Key is which of the command's ranges of keys it is in, if its type is "key".
	Key                      int
	Optional, Multiple, Each bool // Each: the token comes before each of many
	Parts                    []Argument
}

// Types of arguments.
const (
	argString = "string"
	argKey    = "key"
	argToken  = "pure-token"
	argOneOf  = "oneof"
	argBlock  = "block"
)

// Arguments returns what the syntax of the command says.
func (c *Command) Arguments() []Argument {
	r := syntaxReader{words: syntaxWords(c.Syntax)}
	whole := r.choice("")
	list := []Argument{whole}
	if whole.Type == argBlock && whole.Token == "" && !whole.Multiple {
		list = whole.Parts
	}
	first, rest := c.KeyAccess()
	two := c.Keys.First != 0 && c.Keys.First != c.Keys.Last && !slices.Equal(first, rest)
	seen := 0
	setKeys(list, c.Keys.First != 0 || c.Keys.Find != nil, two, &seen)
	return list
}

// setKeys says of keys in which range they are. What is called as keys are, and is none,
// is a string.
func setKeys(list []Argument, some, two bool, seen *int) {
	for i := range list {
		a := &list[i]
		if setKeys(a.Parts, some, two, seen); a.Type != argKey {
			continue
		}
		if !some {
			a.Type = argString
			continue
		}
		if *seen++; two && *seen > 1 {
			a.Key = 1
		}
	}
}

// syntaxWords cuts a syntax into words and brackets.
func syntaxWords(s string) []string {
	for _, mark := range []string{"[", "]", "<", ">", "|"} {
		s = strings.ReplaceAll(s, mark, " "+mark+" ")
	}
	return strings.Fields(s)
}

type syntaxReader struct{ words []string }

func (r *syntaxReader) peek() string {
	if len(r.words) == 0 {
		return ""
	}
	return r.words[0]
}

func (r *syntaxReader) next() string {
	w := r.peek()
	r.words = r.words[min(1, len(r.words)):]
	return w
}

// sequence reads items until a bracket closes or a choice goes on.
func (r *syntaxReader) sequence() (list []Argument) {
	for {
		switch w := r.peek(); {
		case w == "" || w == "]" || w == ">" || w == "|":
			return list
		case w == "...":
			if r.next(); r.peek() == "]" || len(list) == 0 {
				list = append(list, Argument{Name: w}) // see optional
			} else {
				list[len(list)-1].Multiple = true
			}
		case w == "[":
			list = r.optional(list)
		case w == "<":
			r.next()
			list = append(list, r.choice(">"))
		case isToken(w):
			list = append(list, r.token())
		default:
			list = append(list, named(r.next()))
		}
	}
}

// token reads a word of the command and the arguments that belong to it: those up to the
// next word or bracket, but for a bracket that says that there are many.
func (r *syntaxReader) token() Argument {
	word := r.next()
	var parts []Argument
	for {
		w := r.peek()
		if w == "" || w == "..." || isToken(w) || strings.Contains("]>|", w) || w == "<" && len(parts) > 0 {
			break
		}
		if w == "<" && len(parts) == 0 {
			r.next()
			parts = append(parts, r.choice(">"))
			continue
		}
		if w != "[" {
			parts = append(parts, named(r.next()))
			continue
		}
		ahead := syntaxReader{words: r.words}
		if more := ahead.optional(slices.Clone(parts)); len(parts) == 0 || len(more) > len(parts) {
			break
		}
		parts = r.optional(parts)
	}
	switch len(parts) {
	case 0:
		return Argument{Name: strings.ToLower(word), Type: argToken, Text: strings.ToLower(word), Token: word}
	case 1:
		a := parts[0]
		a.Token = word
		return a
	}
	return Argument{Name: strings.ToLower(word), Type: argBlock, Token: word, Parts: parts}
}

// optional reads what stands in square brackets, behind list. If it repeats what stands
// there it only says that there may be many of those.
func (r *syntaxReader) optional(list []Argument) []Argument {
	r.next()
	a := r.choice("]")
	parts := a.Parts
	if a.Type != argBlock || a.Token != "" {
		parts = []Argument{a}
	}
	if n := len(parts) - 1; n > 0 && parts[n].Name == "..." {
		if parts = parts[:n]; repeats(list, parts) {
			return many(list, n)
		}
		a = block(parts)
		a.Multiple = true
	}
	a.Optional = true
	return append(list, a)
}

// repeats reports whether a list ends with arguments of these names.
func repeats(list, parts []Argument) bool {
	same := func(a, b Argument) bool { return a.Name == b.Name && a.Token == b.Token }
	return len(list) >= len(parts) && slices.EqualFunc(list[len(list)-len(parts):], parts, same)
}

// many makes the last n of a list one argument of which there may be many.
func many(list []Argument, n int) []Argument {
	at := len(list) - n
	a := block(slices.Clone(list[at:]))
	a.Multiple, a.Each = true, a.Token != ""
	return append(list[:at], a)
}

// choice reads alternatives up to a bracket.
func (r *syntaxReader) choice(end string) Argument {
	var all []Argument
	for {
		all = append(all, block(r.sequence()))
		if w := r.next(); w == end || w == "" {
			break
		}
	}
	if len(all) == 1 {
		return all[0]
	}
	return Argument{Name: all[0].Name + "-or-other", Type: argOneOf, Parts: all}
}

// block makes several arguments one.
func block(parts []Argument) Argument {
	if len(parts) == 1 {
		return parts[0]
	}
	a := Argument{Type: argBlock, Parts: parts}
	if len(parts) > 0 {
		a.Name = parts[0].Name + "-block"
	}
	return a
}

// isToken reports whether a word of a syntax is one of the command itself.
func isToken(w string) bool {
	return w == strings.ToUpper(w) && w != "..." && !strings.Contains("[]<>|", w) && (w[0] < '0' || w[0] > '9')
}

// argTypes are the types of arguments by their names; others are strings.
var argTypes = map[string][]string{
	argKey: {"key", "key1", "key2", "newkey", "source", "destination", "sourcekey", "destkey", "src", "dst"},
	"integer": {"bit", "count", "cursor", "db", "decrement", "freq", "frequency", "index", "len", "limit", "milliseconds", "ms", "min-idle-time", "num-matches",
		"min-match-len", "numfields", "numkeys", "numlocal", "numreplicas", "offset", "port", "protover", "rank", "seconds", "slot", "start", "stop", "end", "ttl",
		"entries-read", "entries-added", "n"},
	"double":    {"height", "latitude", "longitude", "radius", "score", "timeout", "weight", "width"},
	"pattern":   {"pattern", "library-name-pattern"},
	"unix-time": {"unix-time-seconds", "unix-time-milliseconds"},
}

// named is an argument that has nothing but its name.
func named(name string) Argument {
	a := Argument{Name: name, Type: argString, Text: name}
	for t, names := range argTypes {
		if slices.Contains(names, name) {
			a.Type = t
		}
	}
	return a
}
