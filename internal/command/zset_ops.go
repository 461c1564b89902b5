package command

import (
	"math"
	"slices"

	"tutti/internal/keyspace"
	"tutti/internal/resp"
)

// Unions, intersections and differences of sorted sets and sets.

func zunion(c *Ctx)      { c.answerSetOp(unionOf, takesWeights|takesWithScores) }
func zinter(c *Ctx)      { c.answerSetOp(interOf, takesWeights|takesWithScores) }
func zdiff(c *Ctx)       { c.answerSetOp(diffOf, takesWithScores) }
func zunionstore(c *Ctx) { c.storeSetOp(unionOf, takesWeights) }
func zinterstore(c *Ctx) { c.storeSetOp(interOf, takesWeights) }
func zdiffstore(c *Ctx)  { c.storeSetOp(diffOf, takesNothing) }

// zsetOp is what ZUNION and its like are asked for.
type zsetOp struct {
	sources    []zsetSource
	combine    func(a, b float64) float64
	withScores bool
	limit      int64 // ZINTERCARD; 0: none
}

// zsetSource is one input: a sorted set, or a set, whose members have score 1.
type zsetSource struct {
	o      *keyspace.Object // nil: empty
	weight float64
}

// setOpOptions says which options a command of the family takes.
type setOpOptions byte

const (
	takesWeights setOpOptions = 1 << iota // and AGGREGATE
	takesWithScores
	takesLimit

	takesNothing setOpOptions = 0
)

// answerSetOp evaluates ZUNION, ZINTER or ZDIFF.
func (c *Ctx) answerSetOp(eval func(c *Ctx, op *zsetOp) []keyspace.ZMember, options setOpOptions) {
	if op, ok := c.zsetOp(1, options); ok {
		ms := eval(c, op)
		slices.SortFunc(ms, keyspace.ZMember.Compare)
		c.zmembers(c.memberLook(op.withScores), ms)
	}
}

// storeSetOp evaluates ZUNIONSTORE, ZINTERSTORE or ZDIFFSTORE.
func (c *Ctx) storeSetOp(eval func(c *Ctx, op *zsetOp) []keyspace.ZMember, options setOpOptions) {
	if op, ok := c.zsetOp(2, options); ok {
		c.storeMembers(c.Args[1], eval(c, op))
	}
}

func zintercard(c *Ctx) {
	op, ok := c.zsetOp(1, takesLimit)
	if !ok {
		return
	}
	n := int64(0)
	op.eachCommon(func([]byte, float64) bool {
		n++
		return n != op.limit
	})
	c.Int(n)
}

// zsetOp parses the arguments from the number of keys on and opens the keys, or
// answers the error. Like Redis, it complains about keys before options.
func (c *Ctx) zsetOp(at int, options setOpOptions) (op *zsetOp, ok bool) {
	n, ok := c.int(at)
	switch {
	case !ok:
		return nil, false
	case n < 1:
		c.Error("ERR at least 1 input key is needed for '" + string(appendLower(nil, c.Args[0])) + "' command")
		return nil, false
	case n > int64(len(c.Args)-at-1):
		c.Error(TextSyntax)
		return nil, false
	}
	op = &zsetOp{sources: make([]zsetSource, n), combine: sumScores}
	for i := range op.sources {
		o := c.Tx.Open(c.DB, c.Args[at+1+i])
		if o != nil && o.Type != keyspace.TypeZSet && o.Type != keyspace.TypeSet {
			c.Error(errWrongType)
			return nil, false
		}
		op.sources[i] = zsetSource{o, 1}
	}
	return op, c.zsetOpOptions(op, at+1+int(n), options)
}

// zsetOpOptions parses the options from argument i on.
func (c *Ctx) zsetOpOptions(op *zsetOp, i int, options setOpOptions) (ok bool) {
	for i < len(c.Args) {
		more := len(c.Args) - i - 1
		switch {
		case options&takesWeights != 0 && more >= len(op.sources) && c.is(i, "WEIGHTS"):
			for k := range op.sources {
				i++
				if op.sources[k].weight, ok = parseFloat(c.Args[i]); !ok {
					c.Error("ERR weight value is not a float")
					return false
				}
			}
		case options&takesWeights != 0 && more >= 1 && c.is(i, "AGGREGATE"):
			i++
			if op.combine = aggregate(c.Args[i]); op.combine == nil {
				c.Error(TextSyntax)
				return false
			}
		case options&takesWithScores != 0 && c.is(i, "WITHSCORES"):
			op.withScores = true
		case options&takesLimit != 0 && more >= 1 && c.is(i, "LIMIT"):
			i++
			if op.limit, ok = c.intFrom(i, 0, "ERR LIMIT can't be negative"); !ok {
				return false
			}
		default:
			c.Error(TextSyntax)
			return false
		}
		i++
	}
	return true
}

// aggregate returns how the scores of a member of several inputs are combined,
// or nil for an unknown word.
func aggregate(word []byte) func(a, b float64) float64 {
	switch {
	case resp.IsWord(word, "SUM"):
		return sumScores
	case resp.IsWord(word, "MIN"):
		return minScore
	case resp.IsWord(word, "MAX"):
		return maxScore
	}
	return nil
}

// sumScores adds; infinities of opposite signs make 0.
func sumScores(a, b float64) float64 { return orZero(a + b) }

// minScore and maxScore, unlike min and max, keep a if b is not a number.
func minScore(a, b float64) float64 {
	if b < a {
		return b
	}
	return a
}

func maxScore(a, b float64) float64 {
	if b > a {
		return b
	}
	return a
}

func orZero(f float64) float64 {
	if math.IsNaN(f) {
		return 0
	}
	return f
}

func (s zsetSource) len() int {
	if s.o == nil {
		return 0
	}
	return s.o.Len()
}

// each calls f for the members with their weighted scores until it returns
// false. The member slice is valid during the call only.
func (s zsetSource) each(f func(member []byte, score float64) bool) {
	switch {
	case s.o == nil:
	case s.o.Type == keyspace.TypeSet:
		s.o.EachField(func(member, _ []byte) bool { return f(member, s.weight) })
	default:
		s.o.EachMember(keyspace.WholeZRange(), false, func(member []byte, score float64) bool {
			return f(member, orZero(score*s.weight))
		})
	}
}

// score returns the weighted score of a member, which may be NaN: infinity
// times 0 counts as 0 in a member's first input only, as in Redis.
func (s zsetSource) score(member []byte) (score float64, ok bool) {
	switch {
	case s.o == nil:
		return 0, false
	case s.o.Type == keyspace.TypeSet:
		return s.weight, s.o.HasField(member)
	}
	score, ok = s.o.Score(member)
	return score * s.weight, ok
}

// smallestFirst sorts the inputs by size, which is also the order in which
// Redis adds up their scores.
func (op *zsetOp) smallestFirst() {
	slices.SortStableFunc(op.sources, func(a, b zsetSource) int { return a.len() - b.len() })
}

func unionOf(c *Ctx, op *zsetOp) []keyspace.ZMember {
	op.smallestFirst()
	at := make(map[string]int, op.sources[len(op.sources)-1].len())
	var ms []keyspace.ZMember
	for _, s := range op.sources {
		s.each(func(member []byte, score float64) bool {
			if i, ok := at[string(member)]; ok {
				ms[i].Score = op.combine(ms[i].Score, score)
				return true
			}
			aside(c, 2*len(member)+asideEach+asideMap)
			name := string(member)
			at[name] = len(ms)
			ms = append(ms, keyspace.ZMember{Member: []byte(name), Score: score})
			return true
		})
	}
	return ms
}

func interOf(c *Ctx, op *zsetOp) (ms []keyspace.ZMember) {
	op.eachCommon(func(member []byte, score float64) bool {
		aside(c, len(member)+asideEach)
		ms = append(ms, keyspace.ZMember{Member: slices.Clone(member), Score: score})
		return true
	})
	return ms
}

// eachCommon calls f for the members of all inputs until it returns false: it
// walks the smallest input and looks them up in the others.
func (op *zsetOp) eachCommon(f func(member []byte, score float64) bool) {
	op.smallestFirst()
	op.sources[0].each(func(member []byte, sum float64) bool {
		for _, s := range op.sources[1:] {
			score, ok := s.score(member)
			if !ok {
				return true
			}
			sum = op.combine(sum, score)
		}
		return f(member, sum)
	})
}

// diffOf returns the members of the first input that no other one has. Of an
// input and what is left, it walks the smaller and looks up in the other.
func diffOf(c *Ctx, op *zsetOp) []keyspace.ZMember {
	left := make(map[string]float64, op.sources[0].len())
	op.sources[0].each(func(member []byte, score float64) bool {
		aside(c, len(member)+asideMap)
		left[string(member)] = score
		return c.Tx.Err() == nil
	})
	for _, s := range op.sources[1:] {
		if s.len() <= len(left) {
			s.each(func(member []byte, _ float64) bool {
				delete(left, string(member))
				return len(left) > 0
			})
			continue
		}
		for member := range left {
			if _, ok := s.score([]byte(member)); ok {
				delete(left, member)
			}
		}
	}
	ms := make([]keyspace.ZMember, 0, len(left))
	for member, score := range left {
		aside(c, len(member)+asideEach)
		ms = append(ms, keyspace.ZMember{Member: []byte(member), Score: score})
	}
	return ms
}
