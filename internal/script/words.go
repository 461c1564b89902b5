package script

import (
	"cmp"
	"regexp"
	"strings"
)

// The interpreter has other words than Lua for what goes wrong, and clients and tests go
// by Lua's.

var (
	wordsArgument   = regexp.MustCompile(`bad argument #(\d+) to (?:\w+ '(.*)'|(\w+)|\(anonymous\)|) \(`)
	wordsIndex      = regexp.MustCompile(`attempt to index a non-table object\((\w+)\) with key '.*'`)
	wordsArithmetic = regexp.MustCompile(`cannot perform \w+ operation between (\w+) and (\w+)`)
	wordsCompare    = regexp.MustCompile(`attempt to compare (\w+) with (\w+)`)
)

// inWordsOfLua puts an error into the words of Lua. names tells those of the variables
// that the instruction takes that has failed, "" if they have none.
func inWordsOfLua(s string, names func(operand int) string) string {
	switch {
	case strings.Contains(s, "bad argument #"):
		return wordsArgument.ReplaceAllStringFunc(s, func(found string) string {
			m := wordsArgument.FindStringSubmatch(found)
			return "bad argument #" + m[1] + " to '" + cmp.Or(m[2], m[3], "?") + "' ("
		})
	case strings.Contains(s, "non-table object"):
		return wordsIndex.ReplaceAllStringFunc(s, func(found string) string {
			return attempt("index", names(0), wordsIndex.FindStringSubmatch(found)[1])
		})
	case strings.Contains(s, "attempt to call a non-function object"):
		return strings.ReplaceAll(s, "attempt to call a non-function object", attempt("call", names(0), "nil"))
	case strings.Contains(s, "cannot perform "):
		return wordsArithmetic.ReplaceAllStringFunc(s, func(found string) string {
			m := wordsArithmetic.FindStringSubmatch(found)
			if m[1] != "number" {
				return attempt("perform arithmetic on", names(0), m[1])
			}
			return attempt("perform arithmetic on", names(1), m[2])
		})
	case strings.Contains(s, "attempt to compare "):
		return wordsCompare.ReplaceAllStringFunc(s, func(found string) string {
			if m := wordsCompare.FindStringSubmatch(found); m[1] == m[2] {
				return "attempt to compare two " + m[1] + " values"
			}
			return found
		})
	case strings.HasSuffix(s, "__len undefined"):
		return strings.TrimSuffix(s, "__len undefined") + attempt("get length of", names(0), "nil")
	case strings.HasSuffix(s, "__unm undefined"):
		return strings.TrimSuffix(s, "__unm undefined") + attempt("perform arithmetic on", names(0), "nil")
	case strings.Contains(s, ": for statement "):
		return strings.Replace(strings.Replace(s, ": for statement ", ": 'for' ", 1), "'for' init must", "'for' initial value must", 1)
	case strings.Contains(s, "can not yield from outside of a coroutine"):
		return "attempt to yield across metamethod/C-call boundary"
	}
	return s
}

// attempt says what was tried on a value, and which variable that was, if it has a name.
func attempt(what, name, kind string) string {
	if name == "" {
		return "attempt to " + what + " a " + kind + " value"
	}
	return "attempt to " + what + " " + name + " (a " + kind + " value)"
}

// syntaxWords puts what the parser says into the words of Lua.
func syntaxWords(s string) string {
	switch s = strings.TrimSpace(s); {
	case s == "syntax error", s == "parse error":
		return "unexpected symbol"
	case strings.HasPrefix(s, "unterminated multiline string"):
		return "unfinished long string"
	case strings.HasPrefix(s, "unterminated string"):
		return "unfinished string"
	}
	return s
}
