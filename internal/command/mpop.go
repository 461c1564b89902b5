package command

// popArgs are the arguments of commands that pop from the first of several
// keys that exists: "numkeys key [key ...] end [COUNT count]".
type popArgs struct {
	keys   [][]byte
	second bool // which of the two words for an end was given
	count  int64
}

// popArgs parses them from argument at on, or answers the error. The words for
// the ends are in upper case.
func (c *Ctx) popArgs(at int, first, second string) (p popArgs, ok bool) {
	n, ok := c.intFrom(at, 1, "ERR numkeys should be greater than 0")
	if !ok {
		return p, false
	}
	if n > int64(len(c.Args)-at-2) {
		c.Error(TextSyntax)
		return p, false
	}
	end := at + 1 + int(n)
	p.keys, p.second, p.count = c.Args[at+1:end], c.is(end, second), 1
	more := len(c.Args) - end - 1
	if !p.second && !c.is(end, first) || more > 0 && !(more >= 2 && c.is(end+1, "COUNT")) {
		c.Error(TextSyntax)
		return p, false
	}
	if more > 0 {
		if p.count, ok = c.intFrom(end+2, 1, "ERR count should be greater than 0"); !ok {
			return p, false
		}
	}
	if more > 2 {
		c.Error(TextSyntax)
		return p, false
	}
	return p, true
}
