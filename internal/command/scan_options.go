package command

import (
	"strconv"

	"tutti/internal/glob"
)

// scanCountDefault is the COUNT of a SCAN that gives none.
const scanCountDefault = 10

// scanOptions are the arguments of SCAN, HSCAN, SSCAN and ZSCAN.
type scanOptions struct {
	cursor uint64
	count  int
	match  []byte // nil: everything
	typ    string // type name in lower case, if typed; unknown names match nothing
	typed  bool
}

// scanOptions parses the cursor at argument at and the options after it, or
// answers the error. TYPE is for SCAN only, whose cursor is its first argument.
func (c *Ctx) scanOptions(at int) (opt scanOptions, ok bool) {
	opt.count = scanCountDefault
	var err error
	if opt.cursor, err = strconv.ParseUint(string(c.Args[at]), 10, 64); err != nil {
		c.Error("ERR invalid cursor")
		return opt, false
	}
	for i := at + 1; i < len(c.Args); i += 2 {
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
		case more && at == 1 && c.is(i, "TYPE"):
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
