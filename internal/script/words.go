package script

import (
	"regexp"
	"strings"
)

// The interpreter has other words than Lua for what goes wrong, and clients and tests go
// by Lua's. Which variable it was the interpreter does not say.

var (
	wordsArgument   = regexp.MustCompile(`bad argument #(\d+) to (\w+) \(`)
	wordsIndex      = regexp.MustCompile(`attempt to index a non-table object\((\w+)\) with key '.*'`)
	wordsArithmetic = regexp.MustCompile(`cannot perform \w+ operation between (\w+) and (\w+)`)
	wordsCompare    = regexp.MustCompile(`attempt to compare (\w+) with (\w+)`)
)

// inWordsOfLua puts an error into the words of Lua.
func inWordsOfLua(s string) string {
	switch {
	case strings.Contains(s, "bad argument #"):
		return wordsArgument.ReplaceAllString(s, "bad argument #$1 to '$2' (")
	case strings.Contains(s, "non-table object"):
		return wordsIndex.ReplaceAllString(s, "attempt to index a $1 value")
	case strings.Contains(s, "a non-function object"):
		return strings.ReplaceAll(s, "a non-function object", "a nil value")
	case strings.Contains(s, "cannot perform "):
		return wordsArithmetic.ReplaceAllStringFunc(s, func(found string) string {
			m := wordsArithmetic.FindStringSubmatch(found)
			bad := m[2]
			if m[1] != "number" {
				bad = m[1]
			}
			return "attempt to perform arithmetic on a " + bad + " value"
		})
	case strings.Contains(s, "attempt to compare "):
		return wordsCompare.ReplaceAllStringFunc(s, func(found string) string {
			if m := wordsCompare.FindStringSubmatch(found); m[1] == m[2] {
				return "attempt to compare two " + m[1] + " values"
			}
			return found
		})
	case strings.HasSuffix(s, "__len undefined"):
		return strings.TrimSuffix(s, "__len undefined") + "attempt to get length of a nil value"
	case strings.HasSuffix(s, "__unm undefined"):
		return strings.TrimSuffix(s, "__unm undefined") + "attempt to perform arithmetic on a nil value"
	case strings.Contains(s, ": for statement "):
		return strings.Replace(s, ": for statement ", ": 'for' ", 1)
	}
	return s
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
