package script

import "errors"

// Patterns of Lua. The interpreter's own matcher can't be ended, and there are patterns
// that take for ever on a few bytes, so this one counts.

const (
	capturesMax = 32
	matchesMax  = 200 // how deep a match may lie in others
)

var (
	errPatternEnd     = errors.New("malformed pattern (ends with '%')")
	errPatternBracket = errors.New("malformed pattern (missing ']')")
	errPatternBalance = errors.New("unbalanced pattern")
	errPatternFront   = errors.New("missing '[' after '%f' in pattern")
	errCapture        = errors.New("invalid pattern capture")
	errCaptureIndex   = errors.New("invalid capture index")
	errCaptures       = errors.New("too many captures")
	errComplex        = errors.New("pattern too complex")
)

const (
	captureOpen     = -1
	capturePosition = -2
)

type capture struct{ start, length int } // length may be one of the above

// match is one attempt to match a pattern. Errors are panics of the errors above, which
// whoever begins the attempt recovers.
type match struct {
	s, p     string
	captures []capture
	depth    int
	count    func(work int) // may panic
	work     int
}

// at matches the pattern from its byte p on, at byte s of the subject, and returns where
// the match ends, or -1.
func (m *match) at(s, p int) int {
	if m.depth++; m.depth > matchesMax {
		panic(errComplex)
	}
	defer func() { m.depth-- }()
	for {
		if m.work++; m.work >= 1024 {
			m.count(m.work)
			m.work = 0
		}
		if p == len(m.p) {
			return s
		}
		switch m.p[p] {
		case '(':
			if p+1 < len(m.p) && m.p[p+1] == ')' {
				return m.open(s, p+2, capturePosition)
			}
			return m.open(s, p+1, captureOpen)
		case ')':
			return m.close(s, p+1)
		case '$':
			if p+1 == len(m.p) {
				if s == len(m.s) {
					return s
				}
				return -1
			}
		case '%':
			if p+1 < len(m.p) {
				switch c := m.p[p+1]; {
				case c == 'b':
					if s = m.balanced(s, p+2); s < 0 {
						return -1
					}
					p += 4
					continue
				case c == 'f':
					end := m.frontier(s, p+2)
					if end < 0 {
						return -1
					}
					p = end
					continue
				case isDigit(c):
					if s = m.again(s, c); s < 0 {
						return -1
					}
					p += 2
					continue
				}
			}
		}
		end := m.classEnd(p)
		suffix := byte(0)
		if end < len(m.p) {
			suffix = m.p[end]
		}
		fits := s < len(m.s) && m.single(m.s[s], p, end)
		switch suffix {
		case '?':
			if fits {
				if r := m.at(s+1, end+1); r >= 0 {
					return r
				}
			}
			p = end + 1
		case '*':
			return m.most(s, p, end)
		case '+':
			if !fits {
				return -1
			}
			return m.most(s+1, p, end)
		case '-':
			return m.fewest(s, p, end)
		default:
			if !fits {
				return -1
			}
			s, p = s+1, end
		}
	}
}

func (m *match) most(s, p, end int) int {
	n := 0
	for s+n < len(m.s) && m.single(m.s[s+n], p, end) {
		n++
	}
	m.work += n
	for ; n >= 0; n-- {
		if r := m.at(s+n, end+1); r >= 0 {
			return r
		}
	}
	return -1
}

func (m *match) fewest(s, p, end int) int {
	for {
		if r := m.at(s, end+1); r >= 0 {
			return r
		}
		if s >= len(m.s) || !m.single(m.s[s], p, end) {
			return -1
		}
		s++
	}
}

func (m *match) open(s, p, what int) int {
	if len(m.captures) >= capturesMax {
		panic(errCaptures)
	}
	m.captures = append(m.captures, capture{s, what})
	r := m.at(s, p)
	if r < 0 {
		m.captures = m.captures[:len(m.captures)-1]
	}
	return r
}

func (m *match) close(s, p int) int {
	i := len(m.captures) - 1
	for ; i >= 0 && m.captures[i].length != captureOpen; i-- {
	}
	if i < 0 {
		panic(errCapture)
	}
	m.captures[i].length = s - m.captures[i].start
	r := m.at(s, p)
	if r < 0 {
		m.captures[i].length = captureOpen
	}
	return r
}

// again matches what a capture has matched.
func (m *match) again(s int, digit byte) int {
	i := int(digit) - '1'
	if i < 0 || i >= len(m.captures) || m.captures[i].length == captureOpen {
		panic(errCaptureIndex)
	}
	c := m.captures[i]
	n := max(c.length, 0)
	if len(m.s)-s < n || m.s[c.start:c.start+n] != m.s[s:s+n] {
		return -1
	}
	return s + n
}

func (m *match) balanced(s, p int) int {
	if p+1 >= len(m.p) {
		panic(errPatternBalance)
	}
	if s >= len(m.s) || m.s[s] != m.p[p] {
		return -1
	}
	open, shut, depth := m.p[p], m.p[p+1], 1
	for i := s + 1; i < len(m.s); i++ {
		m.work++
		switch m.s[i] {
		case shut:
			if depth--; depth == 0 {
				return i + 1
			}
		case open:
			depth++
		}
	}
	return -1
}

// frontier returns where the pattern goes on, or -1.
func (m *match) frontier(s, p int) int {
	if p >= len(m.p) || m.p[p] != '[' {
		panic(errPatternFront)
	}
	end := m.classEnd(p)
	var before, here byte
	if s > 0 {
		before = m.s[s-1]
	}
	if s < len(m.s) {
		here = m.s[s]
	}
	if m.set(before, p, end-1) || !m.set(here, p, end-1) {
		return -1
	}
	return end
}

// classEnd returns where the class that begins at p ends.
func (m *match) classEnd(p int) int {
	c := m.p[p]
	p++
	switch c {
	case '%':
		if p >= len(m.p) {
			panic(errPatternEnd)
		}
		return p + 1
	case '[':
		if p < len(m.p) && m.p[p] == '^' {
			p++
		}
		for first := true; first || p >= len(m.p) || m.p[p] != ']'; first = false {
			if p >= len(m.p) {
				panic(errPatternBracket)
			}
			if m.p[p] == '%' {
				if p++; p >= len(m.p) {
					panic(errPatternBracket)
				}
			}
			p++
		}
		return p + 1
	}
	return p
}

// single reports whether a byte is of the class in p to end.
func (m *match) single(c byte, p, end int) bool {
	switch m.p[p] {
	case '.':
		return true
	case '%':
		return class(c, m.p[p+1])
	case '[':
		return m.set(c, p, end-1)
	}
	return m.p[p] == c
}

// set reports whether a byte is in the set whose brackets stand at p and last.
func (m *match) set(c byte, p, last int) bool {
	is := true
	if p++; m.p[p] == '^' {
		is = false
		p++
	}
	for ; p < last; p++ {
		switch {
		case m.p[p] == '%':
			if p++; class(c, m.p[p]) {
				return is
			}
		case p+2 < last && m.p[p+1] == '-':
			if m.p[p] <= c && c <= m.p[p+2] {
				return is
			}
			p += 2
		case m.p[p] == c:
			return is
		}
	}
	return !is
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// class reports whether a byte is of the class that a letter names, or not of it if the
// letter is a capital; what is no letter stands for itself.
func class(c, name byte) bool {
	lower, upper := 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z'
	is := false
	switch name | 0x20 {
	case 'a':
		is = lower || upper
	case 'c':
		is = c < 0x20 || c == 0x7f
	case 'd':
		is = isDigit(c)
	case 'l':
		is = lower
	case 'p':
		is = c > 0x20 && c < 0x7f && !lower && !upper && !isDigit(c)
	case 's':
		is = c == ' ' || '\t' <= c && c <= '\r'
	case 'u':
		is = upper
	case 'w':
		is = lower || upper || isDigit(c)
	case 'x':
		is = isDigit(c) || 'a' <= c|0x20 && c|0x20 <= 'f'
	case 'z':
		is = c == 0
	default:
		return name == c
	}
	switch {
	case 'a' <= name && name <= 'z':
		return is
	case 'A' <= name && name <= 'Z':
		return !is
	}
	return name == c
}
