package resp

import "bytes"

// cutInline cuts one line of words, the form people type. A line of blanks is
// an empty command.
//
// A NUL hides the rest of the line, as it does in Redis, where lines are C
// strings: binary garbage such as a TLS greeting waits for the frame deadline
// and is never run.
func (r *Reader) cutInline() (bool, error) {
	tail := r.buf[r.pos:r.end]
	window := tail[:min(len(tail), r.lim.InlineLenMax+1)]
	end, found := lineEnd(window, r.scan)
	if !found {
		r.scan = end
		if len(tail) > r.lim.InlineLenMax {
			return false, r.fail("too big inline request")
		}
		return false, nil
	}
	line := bytes.TrimSuffix(tail[:end], []byte{'\r'})
	r.pos, r.scan = r.pos+end+1, 0
	return r.cutWords(line)
}

// lineEnd returns the index of the first line feed in b, of which the first
// scan bytes hold none. If it finds none, or a NUL before it, it returns where
// to look when there is more.
func lineEnd(b []byte, scan int) (int, bool) {
	if scan < len(b) && b[scan] == 0 {
		return scan, false // known, and not worth another look at what follows
	}
	end, found := len(b), false
	if i := bytes.IndexByte(b[scan:], '\n'); i >= 0 {
		end, found = scan+i, true
	}
	if i := bytes.IndexByte(b[scan:end], 0); i >= 0 {
		return scan + i, false
	}
	return end, found
}

// cutWords appends the words of line to the arguments. They are unquoted where
// they stand: a word is never longer than the text it was written as.
func (r *Reader) cutWords(line []byte) (bool, error) {
	for {
		for len(line) > 0 && isBlank(line[0]) {
			line = line[1:]
		}
		if len(line) == 0 {
			return true, nil
		}
		word, rest, balanced := nextWord(line)
		if !balanced {
			return false, r.fail("unbalanced quotes in request")
		}
		r.lent = true
		r.addArg(word)
		line = rest
	}
}

// nextWord unquotes the word that line begins with, in place, and returns it
// and what follows. It reports false if a quote is not closed, or closed in the
// middle of a word.
//
// The rules are those of Redis: "..." knows \n \r \t \b \a, \xHH and a
// backslash before any other byte; '...' knows \' only; quotes may begin inside
// a word.
func nextWord(line []byte) (word, rest []byte, balanced bool) {
	n := 0 // bytes of the word written; Invariant: n <= i
	quote := byte(0)
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case quote == '"' && c == '\\':
			var used int
			c, used = unescape(line[i:])
			i += used - 1
		case quote == '\'' && c == '\\' && i+1 < len(line) && line[i+1] == '\'':
			c = '\''
			i++
		case quote != 0 && c == quote:
			rest = line[i+1:]
			return line[:n:n], rest, len(rest) == 0 || isBlank(rest[0])
		case quote != 0:
		case c == ' ' || c == '\t' || c == '\r' || c == '\n':
			return line[:n:n], line[i:], true
		case c == '"' || c == '\'':
			quote = c
			continue
		}
		line[n] = c
		n++
	}
	return line[:n:n], nil, quote == 0
}

// unescape returns the byte that the escape sequence at the start of b stands
// for, and the length of the sequence.
func unescape(b []byte) (c byte, used int) {
	if len(b) >= 4 && b[1] == 'x' {
		high, ok1 := hexDigit(b[2])
		low, ok2 := hexDigit(b[3])
		if ok1 && ok2 {
			return high<<4 | low, 4
		}
	}
	if len(b) < 2 {
		return b[0], 1
	}
	switch b[1] {
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case 'b':
		return '\b', 2
	case 'a':
		return '\a', 2
	}
	return b[1], 2
}

// hexDigit returns the value of a hexadecimal digit.
func hexDigit(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

// isBlank reports whether c separates words, as isspace of C does.
func isBlank(c byte) bool {
	return c == ' ' || '\t' <= c && c <= '\r'
}
