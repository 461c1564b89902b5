package command

import (
	"bytes"

	"tutti/internal/keyspace"
)

const (
	errScoreRange = "ERR min or max is not a float"
	errLexRange   = "ERR min or max not valid string range item"
)

// scoreRange parses arguments lo and hi as bounds of scores, such as "1.5",
// "(1.5" for an exclusive one, and "-inf", or answers the error.
func (c *Ctx) scoreRange(lo, hi int) (r keyspace.ZRange, ok bool) {
	from, fromOpen, ok := parseScoreBound(c.Args[lo])
	to, toOpen, ok2 := parseScoreBound(c.Args[hi])
	if !ok || !ok2 {
		c.Error(errScoreRange)
		return r, false
	}
	r = keyspace.ZRange{From: keyspace.BeforeScore(from), To: keyspace.AfterScore(to)}
	if fromOpen {
		r.From = keyspace.AfterScore(from)
	}
	if toOpen {
		r.To = keyspace.BeforeScore(to)
	}
	return r, true
}

// parseScoreBound takes what strtod does, which is more than parseFloat: blanks
// ahead, numbers out of range, and nothing at all for 0.
func parseScoreBound(b []byte) (score float64, open, ok bool) {
	if open = len(b) > 0 && b[0] == '('; open {
		b = b[1:]
	}
	if len(b) == 0 {
		return 0, open, true
	}
	score, ok = strtod(bytes.TrimLeft(b, " \t\n\v\f\r"))
	return score, open, ok
}

// lexBound is one end of a range of members.
type lexBound struct {
	member []byte
	open   bool // the member itself is not in the range
	end    int8 // -1 for "-", before all members; 1 for "+", behind all
}

func parseLexBound(b []byte) (l lexBound, ok bool) {
	switch {
	case string(b) == "-":
		return lexBound{end: -1}, true
	case string(b) == "+":
		return lexBound{end: 1}, true
	case len(b) > 0 && (b[0] == '[' || b[0] == '('):
		return lexBound{member: b[1:], open: b[0] == '('}, true
	}
	return l, false
}

// lexRange is a range of members, whatever their scores are.
type lexRange struct{ from, to lexBound }

// lexRange parses arguments lo and hi as bounds of members, such as "[a", "(a"
// for an exclusive one, "-" and "+", or answers the error.
func (c *Ctx) lexRange(lo, hi int) (r lexRange, ok bool) {
	from, ok := parseLexBound(c.Args[lo])
	to, ok2 := parseLexBound(c.Args[hi])
	if !ok || !ok2 {
		c.Error(errLexRange)
		return r, false
	}
	return lexRange{from, to}, true
}

// under reports whether a member lies before the range, and over whether it
// lies behind it.
func (r *lexRange) under(member []byte) bool {
	cmp := bytes.Compare(member, r.from.member)
	return r.from.end > 0 || r.from.end == 0 && (cmp < 0 || cmp == 0 && r.from.open)
}

func (r *lexRange) over(member []byte) bool {
	cmp := bytes.Compare(member, r.to.member)
	return r.to.end < 0 || r.to.end == 0 && (cmp > 0 || cmp == 0 && r.to.open)
}

// at returns the range among members of one score.
func (r *lexRange) at(score float64) (z keyspace.ZRange) {
	switch {
	case r.from.end < 0:
		z.From = keyspace.BeforeScore(score)
	case r.from.end > 0:
		z.From = keyspace.AfterScore(score)
	case r.from.open:
		z.From = keyspace.AfterMember(score, r.from.member)
	default:
		z.From = keyspace.BeforeMember(score, r.from.member)
	}
	switch {
	case r.to.end < 0:
		z.To = keyspace.BeforeScore(score)
	case r.to.end > 0:
		z.To = keyspace.AfterScore(score)
	case r.to.open:
		z.To = keyspace.BeforeMember(score, r.to.member)
	default:
		z.To = keyspace.AfterMember(score, r.to.member)
	}
	return z
}

// each calls f for the members of o in the range until it returns false. With
// one score they lie together; with several Redis says nothing about the
// result, and this is what it does with small sets: from the first member that
// is not before the range to the last that is not behind it.
func (r *lexRange) each(o *keyspace.Object, dir direction, f func(member []byte, score float64) bool) {
	if score, ok := o.OneScore(); ok {
		o.EachMember(r.at(score), dir == backward, f)
		return
	}
	before, behind := r.under, r.over
	if dir == backward {
		before, behind = behind, before
	}
	inside := false
	o.EachMember(keyspace.WholeZRange(), dir == backward, func(member []byte, score float64) bool {
		if !inside && before(member) {
			return true
		}
		inside = true
		return !behind(member) && f(member, score)
	})
}
