package audit

import (
	"cmp"
	"slices"
	"time"

	"tutti/internal/cluster"
)

// A leader leaves slow links.
//
// Raft sees a leader that is cut off, not one that is far away: each write and
// each read waits for the way from the leader to a majority and back, and each
// node for its way to the leader. So a leader whose way to a majority is long asks
// the other voters for theirs. If one has a clearly shorter one, and that lasts,
// it hands over.
//
// Long compared with the others', not long in itself: when all links are slow
// leadership stays. The others tell the longest that theirs was within half a
// minute, so of links that are slow now and then none is worth moving for, and a
// node stays for a while after it has been elected: however links behave,
// leadership moves for their sake once in ReachStay at most.

// Reach is what a leader knows in this term of who reaches a majority how fast.
type Reach struct {
	since uint64 // tick at which the term began, or leadership was to move last
	slow  int    // looks in a row at which another was clearly nearer
	told  map[cluster.NodeID]reached
}

// reached is what another voter has told of its way to a majority and back.
type reached struct {
	way  time.Duration
	tick uint64
}

const (
	// ReachEvery is how many ticks lie between two looks: a second.
	ReachEvery = 33
	// ReachStay is how many ticks a leader stays in any case: 10 s.
	ReachStay = 333
	// longWay is what is not worth moving for: near the time of an fsync.
	longWay = 20 * time.Millisecond
	// nearer is how many times shorter the way of another must be.
	nearer = 4
	// slowLooks is at how many looks in a row that must be so.
	slowLooks = 3
	// toldTicks is how long what another has told counts.
	toldTicks = 2*ReachEvery + ReachEvery/2
)

// Begin starts the judgement of a term.
func (h *Reach) Begin(tick uint64) {
	*h = Reach{since: tick, told: make(map[cluster.NodeID]reached)}
}

// Told notes how long the way of another voter to a majority and back is.
func (h *Reach) Told(node cluster.NodeID, way time.Duration, tick uint64) {
	h.told[node] = reached{way, tick}
}

// Look judges this node's own way, once every ReachEvery ticks. ask says that the
// others should tell theirs; to lists the voters that leadership should move to,
// the nearest first, if it should.
func (h *Reach) Look(own time.Duration, voters []cluster.NodeID, tick uint64) (ask bool, to []cluster.NodeID) {
	if own < longWay {
		h.slow = 0
		return false, nil
	}
	for _, node := range voters {
		if t, ok := h.told[node]; ok && tick-t.tick <= toldTicks && t.way*nearer <= own {
			to = append(to, node)
		}
	}
	if h.slow++; len(to) == 0 {
		h.slow = 0
	}
	if h.slow < slowLooks || tick-h.since < ReachStay {
		return true, nil
	}
	told := h.told
	slices.SortStableFunc(to, func(a, b cluster.NodeID) int { return cmp.Compare(told[a].way, told[b].way) })
	h.Begin(tick) // judged anew, should nobody take it
	return true, to
}

// ToMajority returns how long the way to a majority of the voters and back is,
// for a voter whose ways to the others, as far as they are known, are given. ok is
// false if so few are known that it has no majority.
func ToMajority(ways []time.Duration, voters int) (way time.Duration, ok bool) {
	others := voters / 2 // beside itself
	if len(ways) < others {
		return 0, false
	}
	if others == 0 {
		return 0, true
	}
	slices.Sort(ways)
	return ways[others-1], true
}
