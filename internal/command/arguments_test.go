package command

import (
	"fmt"
	"strings"
	"testing"
)

// brief is an argument in one line: its token, name, type unless it is a string, + if
// there may be many, ++ if each has the token, ? if it may be left out, and its parts.
func brief(list []Argument) string {
	var all []string
	for _, a := range list {
		s := a.Name
		if a.Token != "" && a.Type != argToken {
			s = a.Token + " " + s
		}
		switch a.Type {
		case argString:
		case argKey:
			s += fmt.Sprintf(":key%d", a.Key)
		case argToken:
			s = a.Token
		case argOneOf, argBlock:
			s = fmt.Sprintf("%s:%s(%s)", s, a.Type, brief(a.Parts))
		default:
			s += ":" + a.Type
		}
		if a.Multiple {
			s += "+"
		}
		if a.Each {
			s += "+"
		}
		if a.Optional {
			s += "?"
		}
		all = append(all, s)
	}
	return strings.Join(all, " ")
}

func TestArguments(t *testing.T) {
	table := NewTable()
	for name, want := range map[string]string{
		"ping": "message?",
		"get":  "key:key0",
		"del":  "key:key0+",
		"mset": "key-block:block(key:key0 value)+",
		"set": "key:key0 value nx-or-other:oneof(NX XX)? GET? seconds-or-other:oneof(" +
			"EX seconds:integer PX milliseconds:integer EXAT unix-time-seconds:unix-time PXAT unix-time-milliseconds:unix-time KEEPTTL)?",
		"zunionstore":     "destination:key0 numkeys:integer key:key0+ WEIGHTS weight:double+? AGGREGATE sum-or-other:oneof(SUM MIN MAX)?",
		"xread":           "COUNT count:integer? BLOCK milliseconds:integer? STREAMS streams:block(key:key0+ id+)",
		"client|reply":    "on-or-other:oneof(ON OFF SKIP)",
		"client|tracking": "on-or-other:oneof(ON OFF) REDIRECT client-id? PREFIX prefix++? BCAST? OPTIN? OPTOUT? NOLOOP?",
		"bitop":           "and-or-other:oneof(AND OR XOR NOT) destkey:key0 key:key1+",
		"eval":            "script numkeys:integer key:key0+? arg+?",
		"config|get":      "parameter+",
		"xadd": "key:key0 NOMKSTREAM? maxlen-or-other-block:block(maxlen-or-other:oneof(MAXLEN MINID) =-or-other:oneof(= ~)? threshold LIMIT count:integer?)? " +
			"*-or-other:oneof(* id) field-block:block(field value)+",
		"geosearch": "key:key0 member-or-other:oneof(FROMMEMBER member FROMLONLAT fromlonlat:block(longitude:double latitude:double)) " +
			"radius-block-or-other:oneof(radius-block:block(BYRADIUS radius:double m-or-other:oneof(M KM FT MI)) bybox-block:block(BYBOX bybox:block(width:double height:double) m-or-other:oneof(M KM FT MI))) " +
			"asc-or-other:oneof(ASC DESC)? count-block:block(COUNT count:integer ANY?)? WITHCOORD? WITHDIST? WITHHASH?",
	} {
		if got := brief(table.Find([]byte(name)).Arguments()); got != want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, want)
		}
	}
}

// The syntax of every command can be read: nothing of it is lost, and all has a name.
func TestArgumentsOfAll(t *testing.T) {
	var look func(name string, list []Argument) (words int)
	look = func(name string, list []Argument) (words int) {
		for _, a := range list {
			if a.Name == "" || a.Name == "..." || a.Type == "" || (a.Text == "") != (len(a.Parts) > 0) {
				t.Errorf("%s: %+v", name, a)
			}
			if a.Token != "" {
				words++
			}
			if len(a.Parts) == 0 && a.Type != argToken {
				words++
			}
			words += look(name, a.Parts)
		}
		return words
	}
	for _, c := range NewTable().sorted {
		for _, each := range append([]*Command{c}, c.Subs...) {
			words := 0
			for _, w := range syntaxWords(each.Syntax) {
				if !strings.Contains("[]<>|...", w) {
					words++
				}
			}
			if got := look(each.Name, each.Arguments()); got > words || words > 0 && got == 0 || !strings.Contains(each.Syntax, "...") && got != words {
				t.Errorf("%s: %d words of %q, %d found", each.Name, words, each.Syntax, got)
			}
		}
	}
}
