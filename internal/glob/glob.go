// Package glob matches the patterns of KEYS, of CONFIG GET and of users' rights.
package glob

// Match reports whether s matches a glob-style pattern: ? stands for one
// byte, * for any number of them, [a-z] and [^a-z] for one of a class, and \
// takes away the meaning of what follows. Details are Redis's: an unclosed
// class ends with the pattern, and nothing but the empty pattern matches the
// empty string.
//
// Everything but * stands for exactly one byte, so after a mismatch it is
// enough to let the last * swallow one byte more: the time is at most the
// product of the lengths.
func Match(pattern, s []byte) bool {
	if len(s) == 0 {
		return len(pattern) == 0
	}
	rest := pattern
	var afterStar, starred []byte // where to go on after a mismatch
	for len(s) > 0 {
		if len(rest) > 0 && rest[0] == '*' {
			rest = skipStars(rest)
			if len(rest) == 0 {
				return true
			}
			afterStar, starred = rest, s
			continue
		}
		if next, ok := oneByte(rest, s[0]); ok {
			rest, s = next, s[1:]
			continue
		}
		if afterStar == nil {
			return false
		}
		starred = starred[1:]
		rest, s = afterStar, starred
	}
	return len(skipStars(rest)) == 0
}

func skipStars(pattern []byte) []byte {
	for len(pattern) > 0 && pattern[0] == '*' {
		pattern = pattern[1:]
	}
	return pattern
}

// oneByte matches one byte with the head of pattern, which is not a star,
// and returns what remains of pattern.
func oneByte(pattern []byte, b byte) (rest []byte, ok bool) {
	if len(pattern) == 0 {
		return nil, false
	}
	switch pattern[0] {
	case '?':
		return pattern[1:], true
	case '[':
		return class(pattern[1:], b)
	case '\\':
		if len(pattern) > 1 {
			pattern = pattern[1:]
		}
	}
	return pattern[1:], pattern[0] == b
}

// class matches b with a class whose opening bracket is already cut off.
func class(pattern []byte, b byte) (rest []byte, ok bool) {
	negated := len(pattern) > 0 && pattern[0] == '^'
	if negated {
		pattern = pattern[1:]
	}
	found := false
	for len(pattern) > 0 && pattern[0] != ']' {
		switch {
		case pattern[0] == '\\' && len(pattern) > 1:
			found = found || pattern[1] == b
			pattern = pattern[2:]
		case len(pattern) > 2 && pattern[1] == '-':
			lo, hi := min(pattern[0], pattern[2]), max(pattern[0], pattern[2])
			found = found || lo <= b && b <= hi
			pattern = pattern[3:]
		default:
			found = found || pattern[0] == b
			pattern = pattern[1:]
		}
	}
	if len(pattern) > 0 {
		pattern = pattern[1:] // the closing bracket
	}
	return pattern, found != negated
}

// Literal reports whether pattern has no special bytes, so that it matches
// itself only.
func Literal(pattern []byte) bool {
	for _, b := range pattern {
		switch b {
		case '*', '?', '[', '\\':
			return false
		}
	}
	return true
}
