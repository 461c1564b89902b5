package shard

import (
	"log/slog"
	"math"
	"slices"
	"time"

	"tutti/internal/audit"
	"tutti/internal/cluster"
	"tutti/internal/peer"
)

// A leader whose way to a majority is long asks the other voters for theirs, and
// leaves its links if they are the slow ones: see audit.Reach. As long as its way
// is short nobody is asked.

// reach returns how long the way from this node to a majority of the voters and
// back is, now and at the worst within half a minute.
func (r *Replica) reach() (recent, worst time.Duration, ok bool) {
	var now, long []time.Duration
	for _, node := range r.members.voters {
		if node == r.host.cfg.Node {
			continue
		}
		if a, b, known := peer.Trip(r.host.cfg.Links, node); known {
			now, long = append(now, a), append(long, b)
		}
	}
	recent, ok = audit.ToMajority(now, len(r.members.voters))
	worst, _ = audit.ToMajority(long, len(r.members.voters))
	return recent, worst, ok
}

// reachAsked tells a leader how far away a majority is from here.
func (r *Replica) reachAsked(from cluster.NodeID) {
	_, worst, ok := r.reach()
	if !ok || !slices.Contains(r.members.voters, r.host.cfg.Node) {
		return
	}
	r.host.cfg.Links.Queue(from, peer.Control, kindReachTell, func(dst []byte) []byte {
		return be.AppendUint64(be.AppendUint64(dst, uint64(r.id)), uint64(worst))
	})
}

// reachTold takes how far away a majority is from another voter.
func (r *Replica) reachTold(from cluster.NodeID, way uint64) {
	if r.leading() && slices.Contains(r.members.voters, from) {
		r.leader.reach.Told(from, time.Duration(min(way, math.MaxInt64/8)), r.ticks)
	}
}

// watchLinks hands leadership over if this node's links are the slow ones.
func (l *leadership) watchLinks() {
	r := l.r
	if r.ticks%audit.ReachEvery != 0 || joint(r.members.conf) {
		return
	}
	own, _, ok := r.reach()
	if !ok {
		return // who does not answer at all is not slow: raft sees to that
	}
	ask, to := l.reach.Look(own, r.members.voters, r.ticks)
	if ask {
		for _, node := range r.members.voters {
			if node != r.host.cfg.Node {
				r.host.cfg.Links.Queue(node, peer.Control, kindReachAsk, func(dst []byte) []byte { return be.AppendUint64(dst, uint64(r.id)) })
			}
		}
	}
	if len(to) == 0 {
		return
	}
	r.host.cfg.Logger.Warn("the links here are slow, leadership moves", slog.Uint64("shard", uint64(r.id)), slog.Uint64("to", uint64(to[0])), slog.Duration("way", own))
	nearest, _ := r.members.desc.On(to[0])
	r.elections.transfer(nearest.ID, func(node cluster.NodeID) bool { return slices.Contains(to, node) && r.hasRoom(node) })
}
