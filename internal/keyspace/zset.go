package keyspace

import (
	"bytes"
	"cmp"
	"math"
	"slices"
)

// ZMember is a member of a sorted set with its score.
type ZMember struct {
	Member []byte
	Score  float64
}

// Compare orders members as a sorted set does, by score, then by bytes.
func (m ZMember) Compare(other ZMember) int {
	if c := cmp.Compare(m.Score, other.Score); c != 0 {
		return c
	}
	return bytes.Compare(m.Member, other.Member)
}

// Score returns the score of a member of a sorted set.
func (o *Object) Score(member []byte) (score float64, ok bool) {
	if !o.rowed {
		if i := o.find(member); i >= 0 {
			return o.items[i].score, true
		}
		return 0, false
	}
	t := o.tx
	t.buf = subRow(t.buf[:0], o.slot, o.id, member)
	var room [8]byte
	v, ok := t.Get(t.buf, room[:0])
	if !ok || len(v) != 8 && !o.damaged("score of %d bytes", len(v)) {
		return 0, false
	}
	return ScoreOf(v), true
}

// AddMember adds a member that is not in the sorted set. The object keeps the
// slice until Save. score must not be NaN.
func (o *Object) AddMember(member []byte, score float64) {
	score = plusZero(score)
	if o.rowed {
		o.putScore(member, score)
		o.count++
		return
	}
	o.items = slices.Insert(o.items, o.indexOf(BeforeMember(score, member)), item{sub: member, score: score})
	if o.overflows() {
		o.writeMembers(o.startRows())
	}
}

// plusZero makes -0 and 0 one score.
func plusZero(score float64) float64 {
	if score == 0 {
		return 0
	}
	return score
}

// writeMembers writes the first members of an object that has just become one
// of rows, in order.
func (o *Object) writeMembers(items []item) {
	o.head = orderedFloat(items[0].score)
	for _, it := range items {
		o.putScore(it.sub, it.score)
	}
	o.count = uint64(len(items))
}

// MoveMember changes the score of a member from old, which is what Score
// returned, to score.
func (o *Object) MoveMember(member []byte, old, score float64) {
	if score = plusZero(score); old == score {
		return
	}
	if !o.rowed {
		i := o.indexOf(BeforeMember(old, member))
		member = o.items[i].sub
		o.items = slices.Delete(o.items, i, i+1)
		o.AddMember(member, score)
		return
	}
	o.deleteScore(member, old)
	o.putScore(member, score)
}

// putScore writes the two rows of a member.
func (o *Object) putScore(member []byte, score float64) {
	t := o.tx
	t.buf = subRow(t.buf[:0], o.slot, o.id, member)
	t.put(t.buf, be.AppendUint64(make([]byte, 0, 8), math.Float64bits(score)))
	t.buf = scoreRow(t.buf[:0], o.slot, o.id, score, member)
	t.put(t.buf, []byte{})
	o.head = min(o.head, orderedFloat(score))
}

// deleteScore deletes the score row of a member.
func (o *Object) deleteScore(member []byte, score float64) {
	t := o.tx
	t.buf = scoreRow(t.buf[:0], o.slot, o.id, score, member)
	t.Delete(t.buf)
	o.headLow = o.headLow || orderedFloat(score) == o.head
}

// raiseHead finds the first score again after the first member has gone. A
// queue takes from the low end all the time, and without this every look at
// it would step over the tombstones of all that was ever taken.
func (o *Object) raiseHead() {
	o.EachMember(WholeZRange(), false, func(_ []byte, score float64) bool {
		o.head = orderedFloat(score)
		return false
	})
	o.headLow = false
}

// DeleteMember removes a member of a sorted set and reports whether it was there.
func (o *Object) DeleteMember(member []byte) bool {
	score, ok := o.Score(member)
	if ok {
		o.deleteKnown(member, score)
	}
	return ok
}

// deleteKnown removes a member that has that score.
func (o *Object) deleteKnown(member []byte, score float64) {
	if !o.rowed {
		i := o.indexOf(BeforeMember(score, member))
		o.items = slices.Delete(o.items, i, i+1)
		return
	}
	t := o.tx
	t.buf = subRow(t.buf[:0], o.slot, o.id, member)
	t.Delete(t.buf)
	o.deleteScore(member, score)
	o.count--
}

// DeleteMembers removes members that are in the sorted set with those scores.
func (o *Object) DeleteMembers(ms []ZMember) {
	if len(ms) == o.Len() {
		o.clear()
		return
	}
	for _, m := range ms {
		o.deleteKnown(m.Member, m.Score)
	}
}

// clear removes all members; Save then finds nothing and removes the key.
func (o *Object) clear() {
	o.Delete()
	o.items, o.val, o.headLow = nil, nil, false
}

// DeleteRange removes the members of a range and returns how many they were.
//
// More than a command may write is not even collected: the command fails
// anyway, and what it wrote is taken back.
func (o *Object) DeleteRange(r ZRange) int {
	var ms []ZMember
	size := 0
	o.EachMember(r, false, func(member []byte, score float64) bool {
		ms = append(ms, ZMember{bytes.Clone(member), score})
		size += 2 * (scorePrefixLen + len(member))
		return size <= WriteSetMax
	})
	if size > WriteSetMax && o.within(r) {
		n := o.Len()
		o.clear()
		return n
	}
	o.DeleteMembers(ms)
	return len(ms)
}

// DeleteRanks removes the members with ranks first to last inclusive.
// Invariant: 0 <= first <= last < Len.
func (o *Object) DeleteRanks(first, last int) {
	if last-first+1 == o.Len() {
		o.clear()
		return
	}
	ms := make([]ZMember, 0, min(last-first+1, roomMax))
	o.EachRank(first, last, false, func(member []byte, score float64) bool {
		ms = append(ms, ZMember{bytes.Clone(member), score})
		return true
	})
	o.DeleteMembers(ms)
}

// PopMembers removes the first n members, or with reverse the last, at most
// all, and returns them in the order of the walk. n must be positive.
func (o *Object) PopMembers(n int, reverse bool) []ZMember {
	n = min(n, o.Len())
	ms := make([]ZMember, 0, min(n, roomMax))
	next := o.head
	o.EachMember(WholeZRange(), reverse, func(member []byte, score float64) bool {
		if len(ms) == n {
			next = orderedFloat(score) // spares raiseHead its seek
			return false
		}
		ms = append(ms, ZMember{bytes.Clone(member), score})
		return true
	})
	o.DeleteMembers(ms)
	if o.rowed && !reverse {
		o.head, o.headLow = next, false
	}
	return ms
}

// FillMembers gives a new object its members, which differ from each other. It
// sorts ms, and the object keeps their slices until Save.
func (o *Object) FillMembers(ms []ZMember) {
	slices.SortFunc(ms, ZMember.Compare)
	o.items = make([]item, len(ms))
	for i, m := range ms {
		o.items[i] = item{sub: m.Member, score: plusZero(m.Score)}
	}
	if o.overflows() {
		o.writeMembers(o.startRows())
	}
}
