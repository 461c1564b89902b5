package command

import "tutti/internal/keyspace"

// trimLimit is how many entries go at once where nobody says, and more may stay.
const trimLimit = 10_000

// trimming is how XADD and XTRIM trim.
type trimming struct {
	trim    keyspace.StreamTrim
	trims   bool
	limited bool // a LIMIT was given
}

// addition is the arguments of XADD before the fields.
type addition struct {
	trimming
	noMake bool
	given  bool // an id, and not "*"
	auto   bool // its sequence is to be found
	id     keyspace.StreamID
}

// addArgs parses the arguments of XADD, and returns where the id is, or answers the
// error.
func addArgs(c *Ctx) (a addition, at int, ok bool) {
	i := 2
	for ; i < len(c.Args); i++ {
		if string(c.Args[i]) == "*" {
			break
		}
		next, known, ok := a.option(c, i)
		switch {
		case !ok:
			return a, 0, false
		case known:
			i = next
			continue
		case c.is(i, "NOMKSTREAM"):
			a.noMake = true
			continue
		}
		if a.id, a.auto, ok = parseStreamID(c.Args[i], 0); !ok {
			c.Error(errStreamID)
			return a, 0, false
		}
		a.given = true
		break
	}
	return a, i, a.check(c)
}

// option parses an option about trimming at argument i, and returns its last argument,
// or answers the error.
func (t *trimming) option(c *Ctx, i int) (last int, known, ok bool) {
	more := len(c.Args) - i - 1
	switch {
	case more > 0 && (c.is(i, "MAXLEN") || c.is(i, "MINID")):
		last, ok = t.threshold(c, i)
		return last, true, ok
	case more > 0 && c.is(i, "LIMIT"):
		n, ok := c.int(i + 1)
		if ok && n < 0 {
			c.Error("ERR The LIMIT argument must be >= 0.")
			return i, true, false
		}
		t.trim.Limit, t.limited = uint64(n), true
		return i + 1, true, ok
	}
	return i, false, true
}

// threshold parses MAXLEN or MINID with what follows.
func (t *trimming) threshold(c *Ctx, i int) (last int, ok bool) {
	if t.trims {
		c.Error("ERR syntax error, MAXLEN and MINID options at the same time are not compatible")
		return i, false
	}
	t.trims, t.trim.ByID = true, c.is(i, "MINID")
	at := i + 1
	if len(c.Args)-at > 1 {
		switch string(c.Args[at]) {
		case "~":
			t.trim.Roughly = true
			at++
		case "=":
			at++
		}
	}
	if t.trim.ByID {
		t.trim.MinID, ok = streamID(c, at)
		return at, ok
	}
	n, ok := c.int(at)
	if ok && n < 0 {
		c.Error("ERR The MAXLEN argument must be >= 0.")
		return at, false
	}
	t.trim.Keep = uint64(n)
	return at, ok
}

// check answers the error if options do not go together.
func (t *trimming) check(c *Ctx) bool {
	switch {
	case t.trim.Limit > 0 && !t.trims:
		c.Error("ERR syntax error, LIMIT cannot be used without specifying a trimming strategy")
	case t.limited && !t.trim.Roughly:
		c.Error("ERR syntax error, LIMIT cannot be used without the special ~ option")
	default:
		if t.trim.Roughly && !t.limited {
			t.trim.Limit = trimLimit
		}
		return true
	}
	return false
}

func xtrim(c *Ctx) {
	var t trimming
	for i := 2; i < len(c.Args); i++ {
		last, known, ok := t.option(c, i)
		if !ok {
			return
		}
		if !known {
			c.Error(TextSyntax)
			return
		}
		i = last
	}
	switch {
	case t.trim.Limit > 0 && !t.trims: // the error of check comes first
	case !t.trims:
		c.Error("ERR syntax error, XTRIM must be called with a trimming strategy")
		return
	}
	if !t.check(c) {
		return
	}
	s, ok := stream(c, c.Args[1])
	if !ok {
		return
	}
	if s == nil {
		c.Int(0)
		return
	}
	n := s.Trim(t.trim)
	if n > 0 {
		s.Save()
	}
	c.Int(int64(n))
}
