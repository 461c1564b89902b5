package command

import (
	"bytes"
	"slices"

	"tutti/internal/keyspace"
	"tutti/internal/resp"
)

// Commands on ranges of a sorted set.

// rangeKind says what the bounds of a range are.
type rangeKind byte

const (
	byRank rangeKind = iota
	byScore
	byLex
)

// zrangeQuery is what ZRANGE and its like are asked for.
type zrangeQuery struct {
	kind       rangeKind
	dir        direction
	withScores bool
	skip       int64 // members left out at the beginning; negative: all
	limit      int64 // of members; negative: none

	first, last int64 // byRank
	scores      keyspace.ZRange
	lex         lexRange
}

func zrange(c *Ctx)           { c.zrange(&zrangeQuery{}, optionsFree) }
func zrevrange(c *Ctx)        { c.zrange(&zrangeQuery{dir: backward}, optionsFixed) }
func zrangebyscore(c *Ctx)    { c.zrange(&zrangeQuery{kind: byScore}, optionsFixed) }
func zrevrangebyscore(c *Ctx) { c.zrange(&zrangeQuery{kind: byScore, dir: backward}, optionsFixed) }
func zrangebylex(c *Ctx)      { c.zrange(&zrangeQuery{kind: byLex}, optionsFixed) }
func zrevrangebylex(c *Ctx)   { c.zrange(&zrangeQuery{kind: byLex, dir: backward}, optionsFixed) }

// zrangeOptions says which options a command of the family takes beside LIMIT.
type zrangeOptions byte

const (
	optionsFree  zrangeOptions = iota // BYSCORE, BYLEX, REV, WITHSCORES
	optionsFixed                      // WITHSCORES
	optionsStore                      // BYSCORE, BYLEX, REV
)

// zrange parses the arguments from the key on, and answers with the members.
func (c *Ctx) zrange(q *zrangeQuery, options zrangeOptions) {
	if !c.zrangeQuery(q, 1, options) {
		return
	}
	o, ok := c.open(c.Args[1], keyspace.TypeZSet)
	switch {
	case !ok:
	case o == nil:
		c.Array(0)
	default:
		look := c.memberLook(q.withScores)
		c.countedArray(func() (n int) {
			q.each(o, func(member []byte, score float64) bool {
				c.zmember(look, member, score)
				n += look.width()
				return true
			})
			return n
		})
	}
}

func zrangestore(c *Ctx) {
	var q zrangeQuery
	if !c.zrangeQuery(&q, 2, optionsStore) {
		return
	}
	o, ok := c.open(c.Args[2], keyspace.TypeZSet)
	if !ok {
		return
	}
	var ms []keyspace.ZMember
	if o != nil {
		q.each(o, func(member []byte, score float64) bool {
			ms = append(ms, keyspace.ZMember{Member: bytes.Clone(member), Score: score})
			return true
		})
	}
	c.storeMembers(c.Args[1], ms)
}

// storeMembers makes key the sorted set of ms, whatever it was before, and
// answers with their number.
func (c *Ctx) storeMembers(key []byte, ms []keyspace.ZMember) {
	if old := c.Tx.Open(c.DB, key); old != nil {
		old.Delete()
	}
	if len(ms) > 0 {
		o := c.Tx.New(c.DB, key, keyspace.TypeZSet)
		o.FillMembers(ms)
		o.Save()
	}
	c.Int(int64(len(ms)))
}

// countedArray answers with an array whose length is known only when write,
// which returns it, has appended the elements.
func (c *Ctx) countedArray(write func() int) {
	var room [24]byte
	at := len(c.Out)
	n := write()
	c.Out = slices.Insert(c.Out, at, resp.AppendArray(room[:0], n)...)
}

// zrangeQuery parses the two bounds behind the key, which is argument key, and
// the options behind them, or answers the error.
func (c *Ctx) zrangeQuery(q *zrangeQuery, key int, options zrangeOptions) bool {
	q.limit = -1
	typed := options == optionsFixed // the kind of bounds is settled
	for i := key + 3; i < len(c.Args); i++ {
		switch {
		case c.is(i, "WITHSCORES") && options != optionsStore:
			q.withScores = true
		case c.is(i, "LIMIT") && i+2 < len(c.Args):
			var ok bool
			if q.skip, ok = c.int(i + 1); !ok {
				return false
			}
			if q.limit, ok = c.int(i + 2); !ok {
				return false
			}
			i += 2
		case c.is(i, "REV") && options != optionsFixed && q.dir == forward:
			q.dir = backward
		case c.is(i, "BYLEX") && !typed:
			q.kind, typed = byLex, true
		case c.is(i, "BYSCORE") && !typed:
			q.kind, typed = byScore, true
		default:
			c.Error(TextSyntax)
			return false
		}
	}
	switch {
	case q.limit != -1 && q.kind == byRank:
		c.Error("ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX")
		return false
	case q.withScores && q.kind == byLex:
		c.Error("ERR syntax error, WITHSCORES not supported in combination with BYLEX")
		return false
	}
	return c.zrangeBounds(q, key)
}

// zrangeBounds parses the bounds. Those of scores and members are given in the
// order of the walk, high before low if it is backward.
func (c *Ctx) zrangeBounds(q *zrangeQuery, key int) (ok bool) {
	lo, hi := key+1, key+2
	if q.dir == backward && q.kind != byRank {
		lo, hi = hi, lo
	}
	switch q.kind {
	case byScore:
		q.scores, ok = c.scoreRange(lo, hi)
	case byLex:
		q.lex, ok = c.lexRange(lo, hi)
	case byRank:
		if q.first, ok = c.int(lo); ok {
			q.last, ok = c.int(hi)
		}
	}
	return ok
}

// each calls f for the members that are asked for, in their order, until it
// returns false.
func (q *zrangeQuery) each(o *keyspace.Object, f func(member []byte, score float64) bool) {
	if q.kind == byRank {
		if first, end := clampRange(q.first, q.last, o.Len()); first < end {
			o.EachRank(first, end-1, q.dir == backward, f)
		}
		return
	}
	if q.skip < 0 || q.skip >= int64(o.Len()) || q.limit == 0 {
		return
	}
	skip, limit := q.skip, q.limit
	window := func(member []byte, score float64) bool {
		if skip > 0 {
			skip--
			return true
		}
		limit--
		return f(member, score) && limit != 0
	}
	if q.kind == byScore {
		o.EachMember(q.scores, q.dir == backward, window)
	} else {
		q.lex.each(o, q.dir, window)
	}
}

func zcount(c *Ctx) {
	r, ok := c.scoreRange(2, 3)
	if !ok {
		return
	}
	o, ok := c.open(c.Args[1], keyspace.TypeZSet)
	switch {
	case !ok:
	case o == nil:
		c.Int(0)
	default:
		c.Int(int64(o.CountRange(r)))
	}
}

func zlexcount(c *Ctx) {
	r, ok := c.lexRange(2, 3)
	if !ok {
		return
	}
	o, ok := c.open(c.Args[1], keyspace.TypeZSet)
	if !ok {
		return
	}
	n := 0
	if o != nil {
		if score, ok := o.OneScore(); ok {
			n = o.CountRange(r.at(score))
		} else {
			r.each(o, forward, func([]byte, float64) bool { n++; return true })
		}
	}
	c.Int(int64(n))
}

func zremrangebyrank(c *Ctx) {
	start, ok := c.int(2)
	if !ok {
		return
	}
	stop, ok := c.int(3)
	if !ok {
		return
	}
	c.removeRange(func(o *keyspace.Object) int {
		first, end := clampRange(start, stop, o.Len())
		if first < end {
			o.DeleteRanks(first, end-1)
		}
		return end - first
	})
}

func zremrangebyscore(c *Ctx) {
	if r, ok := c.scoreRange(2, 3); ok {
		c.removeRange(func(o *keyspace.Object) int { return o.DeleteRange(r) })
	}
}

func zremrangebylex(c *Ctx) {
	r, ok := c.lexRange(2, 3)
	if !ok {
		return
	}
	c.removeRange(func(o *keyspace.Object) int {
		if score, ok := o.OneScore(); ok {
			return o.DeleteRange(r.at(score))
		}
		var ms []keyspace.ZMember
		r.each(o, forward, func(member []byte, score float64) bool {
			ms = append(ms, keyspace.ZMember{Member: bytes.Clone(member), Score: score})
			return true
		})
		o.DeleteMembers(ms)
		return len(ms)
	})
}

// removeRange answers with the number of members that remove has removed.
func (c *Ctx) removeRange(remove func(o *keyspace.Object) int) {
	o, ok := c.open(c.Args[1], keyspace.TypeZSet)
	if !ok {
		return
	}
	n := 0
	if o != nil {
		n = remove(o)
	}
	if n > 0 {
		o.Save()
	}
	c.Int(int64(n))
}
