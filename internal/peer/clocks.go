package peer

import (
	"slices"
	"sync"
)

// clocks keeps how far the wall clocks of the peers are from this node's, in
// milliseconds, late by the time a frame takes. They are a hint for the pace
// of shard time, nothing more.
type clocks struct {
	mu      sync.Mutex // guards offsets
	offsets map[uint64]int64
}

func (c *clocks) sample(node uint64, offset int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.offsets == nil {
		c.offsets = make(map[uint64]int64)
	}
	c.offsets[node] = offset
}

// MedianOffset returns the median of the wall clocks of this node and of those
// members it has heard of, relative to its own, in milliseconds (of two middle
// ones the lower: time must not run ahead); ok is false unless a majority of
// the members is known.
func (l *Links) MedianOffset(members []uint64) (offset int64, ok bool) {
	var known []int64
	l.clocks.mu.Lock()
	for _, m := range members {
		if m == l.cfg.Node {
			known = append(known, 0)
		} else if o, heard := l.clocks.offsets[m]; heard {
			known = append(known, o)
		}
	}
	l.clocks.mu.Unlock()
	if len(known) <= len(members)/2 {
		return 0, false
	}
	slices.Sort(known)
	return known[(len(known)-1)/2], true
}
