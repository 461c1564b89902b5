package command

import (
	"math"

	"tutti/internal/keyspace"
	"tutti/internal/resp"
)

// Commands on single members of a sorted set.

func zadd(c *Ctx) {
	opt, at := c.zaddOptions(2)
	pairs := len(c.Args) - at
	switch {
	case pairs == 0 || pairs%2 != 0:
		c.Error(TextSyntax)
	case opt.nx && opt.xx:
		c.Error("ERR XX and NX options at the same time are not compatible")
	case opt.gt && opt.nx || opt.lt && opt.nx || opt.gt && opt.lt:
		c.Error("ERR GT, LT, and/or NX options at the same time are not compatible")
	case opt.incr && pairs > 2:
		c.Error("ERR INCR option supports a single increment-element pair")
	default:
		c.addMembers(opt, at)
	}
}

func zincrby(c *Ctx) { c.addMembers(zaddOptions{incr: true}, 2) }

// zaddOptions are the options of ZADD.
type zaddOptions struct {
	conditions
	ch, incr bool
}

// zaddOptions parses the options of ZADD from argument i on and returns where
// the scores begin.
func (c *Ctx) zaddOptions(i int) (opt zaddOptions, at int) {
	for ; i < len(c.Args); i++ {
		switch {
		case opt.take(c, i):
		case c.is(i, "CH"):
			opt.ch = true
		case c.is(i, "INCR"):
			opt.incr = true
		default:
			return opt, i
		}
	}
	return opt, i
}

// score returns the score that ZADD gives a member whose score is old, if it
// exists, and whether it gives one at all.
func (opt *zaddOptions) score(score, old float64, exists bool) (float64, bool) {
	switch {
	case !exists:
		return score, !opt.xx
	case opt.nx:
		return old, false
	case opt.incr:
		score += old
	}
	return score, !(opt.gt && score <= old || opt.lt && score >= old)
}

// addMembers evaluates ZADD and ZINCRBY for the pairs of score and member in
// the arguments from at on.
func (c *Ctx) addMembers(opt zaddOptions, at int) {
	var room [8]float64
	scores := room[:0]
	for i := at; i < len(c.Args); i += 2 {
		score, ok := c.float(i)
		if !ok {
			return
		}
		scores = append(scores, score)
	}
	addScores(c, opt, scores, at+1, 2)
}

// addScores gives scores to the members that are every step-th argument from at on.
func addScores(c *Ctx, opt zaddOptions, scores []float64, at, step int) {
	o, ok := c.create(c.Args[1], keyspace.TypeZSet)
	if !ok {
		return
	}
	added, moved, taken := 0, 0, 0
	var score float64
	for i, given := range scores {
		member := c.Args[at+step*i]
		old, exists := o.Score(member)
		if score, ok = opt.score(given, old, exists); math.IsNaN(score) {
			c.Error("ERR resulting score is not a number (NaN)")
			return
		} else if !ok {
			continue
		}
		taken++
		switch {
		case !exists:
			o.AddMember(member, score)
			added++
		case score != old:
			o.MoveMember(member, old, score)
			moved++
		}
	}
	if added+moved > 0 {
		o.Save()
	}
	switch {
	case opt.incr && taken == 0:
		c.Null()
	case opt.incr:
		c.Double(score)
	case opt.ch:
		c.Int(int64(added + moved))
	default:
		c.Int(int64(added))
	}
}

func zrem(c *Ctx) {
	o, ok := c.open(c.Args[1], keyspace.TypeZSet)
	if !ok {
		return
	}
	gone := 0
	if o != nil {
		for _, member := range c.Args[2:] {
			if o.DeleteMember(member) {
				gone++
			}
		}
	}
	if gone > 0 {
		o.Save()
	}
	c.Int(int64(gone))
}

func zcard(c *Ctx) { c.size(keyspace.TypeZSet) }

func zscore(c *Ctx) {
	if o, ok := c.open(c.Args[1], keyspace.TypeZSet); ok {
		c.scoreOf(o, c.Args[2])
	}
}

func zmscore(c *Ctx) {
	o, ok := c.open(c.Args[1], keyspace.TypeZSet)
	if !ok {
		return
	}
	c.Array(len(c.Args) - 2)
	for _, member := range c.Args[2:] {
		c.scoreOf(o, member)
	}
}

// scoreOf answers with the score of a member, or null if there is none; o may
// be nil.
func (c *Ctx) scoreOf(o *keyspace.Object, member []byte) {
	if o != nil {
		if score, ok := o.Score(member); ok {
			c.Double(score)
			return
		}
	}
	c.Null()
}

func zrank(c *Ctx)    { c.rank(forward) }
func zrevrank(c *Ctx) { c.rank(backward) }

func (c *Ctx) rank(dir direction) {
	withScore := len(c.Args) == 4
	switch {
	case len(c.Args) > 4:
		c.wrongArity()
		return
	case withScore && !c.is(3, "WITHSCORE"):
		c.Error(TextSyntax)
		return
	}
	o, ok := c.open(c.Args[1], keyspace.TypeZSet)
	if !ok {
		return
	}
	var rank int
	var score float64
	if ok = o != nil; ok {
		rank, score, ok = o.Rank(c.Args[2])
	}
	if ok && dir == backward {
		rank = o.Len() - 1 - rank
	}
	switch {
	case !ok && withScore:
		c.NullArray()
	case !ok:
		c.Null()
	case withScore:
		c.Array(2)
		c.Int(int64(rank))
		c.Double(score)
	default:
		c.Int(int64(rank))
	}
}

// zscan answers scores as strings in both protocols.
func zscan(c *Ctx) {
	c.scanFields(keyspace.TypeZSet, func(dst, sub, val []byte) []byte {
		return resp.AppendDouble(resp.AppendBulk(dst, sub), 2, keyspace.ScoreOf(val))
	}, 2)
}

func zrandmember(c *Ctx) {
	if len(c.Args) == 2 {
		o, ok := c.open(c.Args[1], keyspace.TypeZSet)
		switch {
		case !ok:
		case o == nil:
			c.Null()
		default:
			member, _ := o.RandomField()
			c.Bulk(member)
		}
		return
	}
	count, ok := c.signedCount(2)
	if !ok {
		return
	}
	withScores := len(c.Args) == 4 && c.is(3, "WITHSCORES")
	switch {
	case len(c.Args) > 3 && !withScores:
		c.Error(TextSyntax)
		return
	case count < -randomCountMax || withScores && count > math.MaxInt64/2:
		c.Error("ERR value is out of range")
		return
	}
	o, ok := c.open(c.Args[1], keyspace.TypeZSet)
	switch {
	case !ok:
	case o == nil || count == 0:
		c.Array(0)
	default:
		look := c.memberLook(withScores)
		c.Array(sampleLen(o, count) * look.width())
		c.randomFields(o, count, func(sub, val []byte) {
			c.zmember(look, sub, keyspace.ScoreOf(val))
		})
	}
}

// memberLook is how a reply shows members of a sorted set.
type memberLook byte

const (
	bareMembers  memberLook = iota
	flatScores              // each member followed by its score
	pairedScores            // each member and its score as an array
)

// memberLook returns how WITHSCORES shows members in the protocol version.
func (c *Ctx) memberLook(withScores bool) memberLook {
	switch {
	case !withScores:
		return bareMembers
	case c.Proto < 3:
		return flatScores
	}
	return pairedScores
}

// width is the number of replies that a member adds to its array.
func (l memberLook) width() int {
	if l == flatScores {
		return 2
	}
	return 1
}

// zmember answers with one member.
func (c *Ctx) zmember(look memberLook, member []byte, score float64) {
	if look == pairedScores {
		c.Array(2)
	}
	c.Bulk(member)
	if look != bareMembers {
		c.Double(score)
	}
}

// zmembers answers with members.
func (c *Ctx) zmembers(look memberLook, ms []keyspace.ZMember) {
	c.Array(len(ms) * look.width())
	for _, m := range ms {
		c.zmember(look, m.Member, m.Score)
	}
}
