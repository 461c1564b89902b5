package shard

import (
	"math"

	"go.etcd.io/raft/v3/tracker"

	"tutti/internal/cluster"
)

// copying is the replicas that this leader has sent a snapshot and that have not
// caught up behind it. The log keeps what they need next: copies are slow (see
// copyRate), and under writes a log that is truncated meanwhile would have each
// copy followed by another one, for ever. A full disk keeps nothing for them.
type copying struct {
	l  *leadership
	to map[uint64]bool // by raft's ids
}

func (c *copying) begin(id uint64) {
	if c.to == nil {
		c.to = make(map[uint64]bool)
	}
	c.to[id] = true
}

// behind is the entry behind which the log is needed by those who are being
// copied to.
func (c *copying) behind() uint64 {
	needed := uint64(math.MaxUint64)
	if len(c.to) == 0 {
		return needed
	}
	r := c.l.r
	progress := r.raft.Status().Progress
	for id := range c.to {
		p, ok := progress[id]
		at := p.Match
		if p.State == tracker.StateSnapshot {
			at = p.PendingSnapshot
		}
		switch {
		case !ok, p.State == tracker.StateReplicate && at+keepEntries > r.machine.applied.Index, c.silent(cluster.ReplicaID(id)):
			// It is gone, has caught up, or is not there: then it gets another.
			delete(c.to, id)
		case at > 0:
			needed = min(needed, at)
		}
	}
	return needed
}

// followed is the entry behind which the log is needed by some follower that is there and
// takes entries.
func followed(progress map[uint64]tracker.Progress) uint64 {
	needed := uint64(math.MaxUint64)
	for _, p := range progress {
		if p.RecentActive && p.State == tracker.StateReplicate {
			needed = min(needed, p.Match)
		}
	}
	return needed
}

// silent reports whether a replica has not answered for longer than one may that
// is there.
func (c *copying) silent(id cluster.ReplicaID) bool {
	x, ok := c.l.r.members.desc.Replica(id)
	if !ok {
		return true
	}
	d, _ := c.l.silent(x)
	return d > ConfirmedWithin
}
