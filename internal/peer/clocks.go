package peer

import (
	"slices"
	"sync"

	"tutti/internal/cluster"
)

// clocks keeps what the wall clocks of the peers were ahead of this node's
// monotonic clock, in milliseconds, late by the time a frame takes. Not of its
// wall clock: should that jump, all peers would seem to have jumped with it
// until they are heard again. They are a hint for the pace of shard time,
// nothing more.
type clocks struct {
	mu    sync.Mutex // guards ahead
	ahead map[cluster.NodeID]int64
}

func (c *clocks) sample(node cluster.NodeID, ahead int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ahead == nil {
		c.ahead = make(map[cluster.NodeID]int64)
	}
	c.ahead[node] = ahead
}

func (c *clocks) forget(node cluster.NodeID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.ahead, node)
}

// MedianWall returns the median of the wall clocks of this node and of those
// members it has heard of, now, in milliseconds (of two middle ones the lower:
// time must not run ahead); ok is false unless a majority of the members is
// known.
func (l *Links) MedianWall(members []cluster.NodeID) (wall int64, ok bool) {
	var known []int64
	mono := l.cfg.Mono().Milliseconds()
	l.clocks.mu.Lock()
	for _, m := range members {
		if m == l.cfg.Node {
			known = append(known, l.cfg.Wall())
		} else if ahead, heard := l.clocks.ahead[m]; heard {
			known = append(known, mono+ahead)
		}
	}
	l.clocks.mu.Unlock()
	if len(known) <= len(members)/2 {
		return 0, false
	}
	slices.Sort(known)
	return known[(len(known)-1)/2], true
}
