package shard

import (
	"context"

	"go.etcd.io/raft/v3/tracker"

	"tutti/internal/cluster"
)

// Resign hands leadership of all shards that this node leads to the follower
// that is furthest, and returns when another leads or ctx ends: until then its
// vote may be needed.
func (h *Host) Resign(ctx context.Context) error {
	var successors []chan struct{}
	for id := range *h.replicas.Load() {
		if h.Lead(id).Node != h.cfg.Node {
			continue
		}
		led := make(chan struct{})
		if err := h.call(ctx, id, func(r *Replica) { r.elections.resign(led) }); err != nil {
			return err
		}
		successors = append(successors, led)
	}
	for _, led := range successors {
		select {
		case <-led:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// resign hands leadership over until another leads; led is closed then, at once
// if there is no other voter.
func (e *elections) resign(led chan struct{}) {
	e.successor = led
	if l := e.r.lead.Load(); len(e.r.members.voters) < 2 || l.Node != 0 && l.Node != e.r.host.cfg.Node {
		e.succeeded()
	}
	e.handOver()
}

// succeeded tells who waits for it that another node leads.
func (e *elections) succeeded() {
	if e.successor != nil {
		close(e.successor)
		e.successor = nil
	}
}

// handOver makes an attempt if one is due. It runs every tick too: a follower
// may not have been able to take over. It prefers a node with room: another
// would hand leadership on at once.
func (e *elections) handOver() {
	if e.successor == nil {
		return
	}
	if e.transfer(0, e.r.hasRoom) == 0 {
		e.transfer(0, func(cluster.NodeID) bool { return true })
	}
}

// transfer hands leadership to the follower that is furthest among those whose
// nodes may have it, of those equally far to the preferred replica. It returns
// the node that is to take it, 0 if there is none.
func (e *elections) transfer(preferred cluster.ReplicaID, may func(node cluster.NodeID) bool) cluster.NodeID {
	if !e.r.leading() {
		return 0
	}
	st := e.r.raft.Status()
	if st.LeadTransferee != 0 {
		return e.r.members.nodeOf(st.LeadTransferee)
	}
	best, match := cluster.ReplicaID(0), uint64(0)
	for raftID, p := range st.Progress {
		id := cluster.ReplicaID(raftID)
		if id == e.r.self || p.IsLearner || p.State != tracker.StateReplicate || !e.r.host.cfg.Links.Up(e.r.members.nodeOf(raftID)) || !may(e.r.members.nodeOf(raftID)) {
			continue
		}
		if best == 0 || p.Match > match || p.Match == match && id == preferred {
			best, match = id, p.Match
		}
	}
	if best != 0 {
		e.r.loop.touch(e.r)
		e.r.raft.TransferLeader(uint64(best))
	}
	return e.r.members.nodeOf(uint64(best))
}
