package command

import (
	"strconv"
	"strings"

	"tutti/internal/glob"
)

// scanCountDefault is the COUNT of a SCAN that gives none.
const scanCountDefault = 10

// scanOptions are the arguments of SCAN, HSCAN, SSCAN and ZSCAN.
type scanOptions struct {
	count int
	match []byte // nil: everything
	typ   string // type name in lower case, if typed; unknown names match nothing
	typed bool
}

// scanCursor parses argument i as a cursor, or answers the error. It takes what C's
// strtoul does, without blanks ahead: nothing at all is 0, and a minus sign wraps.
func (c *Ctx) scanCursor(i int) (cursor uint64, ok bool) {
	digits := string(c.Args[i])
	negative := strings.HasPrefix(digits, "-")
	if negative || strings.HasPrefix(digits, "+") {
		digits = digits[1:]
	}
	if digits == "" && len(c.Args[i]) == 0 {
		return 0, true
	}
	cursor, err := strconv.ParseUint(digits, 10, 64)
	if err != nil {
		c.Error("ERR invalid cursor")
		return 0, false
	}
	if negative {
		cursor = -cursor
	}
	return cursor, true
}

// scanOptions parses the options from argument at on, or answers the error. TYPE is
// for SCAN only, whose options begin at its second argument.
func (c *Ctx) scanOptions(at int) (opt scanOptions, ok bool) {
	opt.count = scanCountDefault
	for i := at; i < len(c.Args); i += 2 {
		switch more := i+1 < len(c.Args); {
		case more && c.is(i, "COUNT"):
			n, ok := c.int(i + 1)
			if !ok {
				return opt, false
			}
			if n < 1 {
				c.Error(TextSyntax)
				return opt, false
			}
			opt.count = int(n)
		case more && c.is(i, "MATCH"):
			if opt.match = c.Args[i+1]; string(opt.match) == "*" {
				opt.match = nil
			}
		case more && at == 2 && c.is(i, "TYPE"):
			opt.typ, opt.typed = string(appendLower(nil, c.Args[i+1])), true
		default:
			c.Error(TextSyntax)
			return opt, false
		}
	}
	return opt, true
}

// matches reports whether an element passes MATCH.
func (opt *scanOptions) matches(b []byte) bool {
	return opt.match == nil || glob.Match(opt.match, b)
}

// scanResult answers with the next cursor and n elements, which are given as
// replies already encoded: their number is known only after the scan.
func (c *Ctx) scanResult(next uint64, n int, elements []byte) {
	var buf [20]byte
	c.Array(2)
	c.Bulk(strconv.AppendUint(buf[:0], next, 10))
	c.Array(n)
	c.Out = append(c.Out, elements...)
}
