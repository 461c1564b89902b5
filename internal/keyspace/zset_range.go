package keyspace

import (
	"bytes"
	"cmp"
	"math"
	"slices"
	"sort"
)

// ZCut is a place between two neighbours in the (score, member) order of a
// sorted set. Every range of scores, of members and of both is a pair of cuts,
// and a cut is the beginning of a row key, so that walking a range is nothing
// but walking the rows between two keys.
type ZCut struct {
	order  uint64 // orderedFloat of the score
	member []byte
}

// BeforeScore is the cut before all members with that score.
func BeforeScore(score float64) ZCut { return ZCut{order: orderedFloat(score)} }

// AfterScore is the cut behind all members with that score.
func AfterScore(score float64) ZCut { return ZCut{order: orderedFloat(score) + 1} }

// BeforeMember is the cut before a member, which need not exist. It refers to
// the slice.
func BeforeMember(score float64, member []byte) ZCut { return ZCut{orderedFloat(score), member} }

// AfterMember is the cut behind a member, which need not exist.
func AfterMember(score float64, member []byte) ZCut {
	// The next string in byte order is the member and a zero byte.
	return ZCut{orderedFloat(score), append(member[:len(member):len(member)], 0)}
}

func (c ZCut) compare(d ZCut) int {
	if r := cmp.Compare(c.order, d.order); r != 0 {
		return r
	}
	return bytes.Compare(c.member, d.member)
}

// ZRange is the members of a sorted set from one cut to another. It is empty if
// the second is not behind the first.
type ZRange struct{ From, To ZCut }

// WholeZRange is the range of all members.
func WholeZRange() ZRange { return ZRange{To: ZCut{order: math.MaxUint64}} }

// indexOf returns the number of packed members before a cut.
func (o *Object) indexOf(c ZCut) int {
	items := o.items
	return sort.Search(len(items), func(i int) bool {
		return BeforeMember(items[i].score, items[i].sub).compare(c) >= 0
	})
}

// packedRange returns the packed members of a range.
func (o *Object) packedRange(r ZRange) []item {
	from, to := o.indexOf(r.From), o.indexOf(r.To)
	return o.items[min(from, to):to]
}

// rangeIter iterates over the score rows of a range. It never looks at rows
// before the first member: there lie the tombstones of what was popped.
func (o *Object) rangeIter(r ZRange) Iterator {
	if r.From.order < o.head {
		r.From = ZCut{order: o.head}
	}
	if r.From.compare(r.To) >= 0 {
		return &emptyIter{}
	}
	prefix := scorePrefix(make([]byte, 0, scoreRowLen+len(r.From.member)), o.slot, o.id)
	lower := append(be.AppendUint64(prefix, r.From.order), r.From.member...)
	upper := append(make([]byte, 0, scoreRowLen+len(r.To.member)), prefix...)
	upper = append(be.AppendUint64(upper, r.To.order), r.To.member...)
	return o.tx.Iter(lower, upper)
}

// scorePrefixLen and scoreRowLen are the lengths of a score row before the
// score and before the member.
const (
	scorePrefixLen = 12
	scoreRowLen    = scorePrefixLen + 8
)

// roomMax bounds the room that is made for members before they are read.
const roomMax = 1024

// memberOfRow cuts a score row.
func memberOfRow(row []byte) (member []byte, score float64) {
	return row[scoreRowLen:], floatOfOrdered(be.Uint64(row[scorePrefixLen:]))
}

// EachMember calls f for the members of a range in (score, member) order, or
// the reverse of it, until f returns false. The member slice is valid during
// the call only; f must not change the object.
func (o *Object) EachMember(r ZRange, reverse bool, f func(member []byte, score float64) bool) {
	if !o.rowed {
		items := o.packedRange(r)
		for i := range items {
			if reverse {
				i = len(items) - 1 - i
			}
			if !f(items[i].sub, items[i].score) {
				return
			}
		}
		return
	}
	it := o.rangeIter(r)
	defer it.Close()
	for ok := firstRow(it, reverse); ok; ok = nextRow(it, reverse) {
		if len(it.Key()) < scoreRowLen {
			o.damaged("score row of %d bytes", len(it.Key()))
			return
		}
		if !f(memberOfRow(it.Key())) {
			return
		}
	}
}

func firstRow(it Iterator, reverse bool) bool {
	if reverse {
		return it.Last()
	}
	return it.First()
}

func nextRow(it Iterator, reverse bool) bool {
	if reverse {
		return it.Prev()
	}
	return it.Next()
}

// aloneMax is the number of members that CountRange counts before it begins to
// count those outside of the range too.
const aloneMax = 64

// CountRange returns the number of members in a range. It walks the range and
// what lies outside of it side by side, so the cost is that of the smaller.
func (o *Object) CountRange(r ZRange) int {
	if !o.rowed {
		return len(o.packedRange(r))
	}
	if r.From.compare(r.To) >= 0 {
		return 0
	}
	in := counter{it: o.rangeIter(r)}
	defer in.close()
	for range aloneMax {
		if !in.next() {
			return in.n
		}
	}
	whole := WholeZRange()
	below := counter{it: o.rangeIter(ZRange{whole.From, r.From})}
	defer below.close()
	above := counter{it: o.rangeIter(ZRange{r.To, whole.To})}
	defer above.close()
	for {
		if !in.next() {
			return in.n
		}
		if !below.next() && !above.next() {
			return int(o.count) - below.n - above.n
		}
	}
}

// counter counts the rows that an iterator passes.
type counter struct {
	it      Iterator
	n       int
	started bool
	ended   bool
}

// next counts one row more, if there is one.
func (c *counter) next() bool {
	if c.ended {
		return false
	}
	if !c.started {
		c.started, c.ended = true, !c.it.First()
	} else {
		c.ended = !c.it.Next()
	}
	if !c.ended {
		c.n++
	}
	return !c.ended
}

func (c *counter) close() { c.it.Close() }

// within reports whether all members are within a range.
func (o *Object) within(r ZRange) bool {
	whole := WholeZRange()
	return !o.any(ZRange{whole.From, r.From}) && !o.any(ZRange{r.To, whole.To})
}

// any reports whether a range has a member.
func (o *Object) any(r ZRange) (found bool) {
	o.EachMember(r, false, func([]byte, float64) bool {
		found = true
		return false
	})
	return found
}

// Rank returns the number of members before a member, and its score.
func (o *Object) Rank(member []byte) (rank int, score float64, ok bool) {
	if score, ok = o.Score(member); !ok {
		return 0, 0, false
	}
	return o.CountRange(ZRange{To: BeforeMember(score, member)}), score, true
}

// EachRank is EachMember for the members with ranks first to last inclusive,
// counted in the order of the walk. Invariant: 0 <= first <= last < Len. It
// walks in from the nearer end.
func (o *Object) EachRank(first, last int, reverse bool, f func(member []byte, score float64) bool) {
	n := o.Len()
	if !o.rowed || last+1 <= n-first {
		i, more := 0, true
		o.EachMember(WholeZRange(), reverse, func(member []byte, score float64) bool {
			i++
			more = i <= first || f(member, score) && i <= last
			return more
		})
		if more {
			o.damaged("sorted set of %d members that ends at %d", n, i)
		}
		return
	}
	ms := make([]ZMember, 0, min(last-first+1, roomMax))
	i := n
	o.EachMember(WholeZRange(), !reverse, func(member []byte, score float64) bool {
		if i--; i <= last {
			ms = append(ms, ZMember{bytes.Clone(member), score})
		}
		return i > first
	})
	if i > first {
		o.damaged("sorted set of %d members that begins at %d", n, i)
	}
	for _, m := range slices.Backward(ms) {
		if !f(m.Member, m.Score) {
			return
		}
	}
}

// OneScore returns the score that all members have, if they have one score
// only. It may say no shortly after a change of the object.
func (o *Object) OneScore() (score float64, ok bool) {
	first := floatOfOrdered(o.head)
	if !o.rowed {
		first = o.items[0].score
	}
	o.EachMember(WholeZRange(), true, func(_ []byte, last float64) bool {
		score, ok = first, first == last
		return false
	})
	return score, ok
}
