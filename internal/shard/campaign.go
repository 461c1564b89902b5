package shard

import (
	"log/slog"
	"time"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"

	"tutti/internal/cluster"
	"tutti/internal/peer"
)

// Who leads next. raft elects when a leader has been silent; here is what makes
// it sooner.

// stepDown tells the others that this node has given up leading: it hears no
// majority. One that is only deaf would else have been obeyed until now and be
// missed for another election time-out from now on.
func (r *Replica) stepDown() {
	for _, node := range r.voters {
		if node != r.host.cfg.Node {
			r.host.cfg.Links.Queue(node, peer.Control, kindStepDown, func(dst []byte) []byte {
				return be.AppendUint64(be.AppendUint64(dst, uint64(r.id)), r.term)
			})
		}
	}
}

// leaderGone starts an election at once when the connection to the leader
// broke: a killed process is noticed long before it is missed. Pre-vote keeps
// this harmless if the leader is alive: the others still hear it.
func (r *Replica) leaderGone(node cluster.NodeID) {
	if r.lead.Load().Node != node || node == r.host.cfg.Node {
		return
	}
	r.loop.touch(r)
	if err := r.raft.ForgetLeader(); err != nil {
		return
	}
	r.campaignSoon(campaigns)
}

// campaigns is how often a replica tries after it lost its leader: the first
// attempt may reach the others before they have noticed, and they then refuse.
const campaigns = 5

// campaignSoon campaigns unless another has been quicker: whoever runs against
// an election that is under way makes both fail, as its vote is given and its
// log may be behind.
func (r *Replica) campaignSoon(left int) {
	tick, term := r.host.cfg.Tick, r.term
	pause := time.Duration(r.host.cfg.Rand(uint64(tick)))
	if left < campaigns {
		pause += tick
	}
	r.loop.after(pause, func() {
		if r.lead.Load().Node != 0 || left == 0 || r.state == raft.StateCandidate {
			return
		}
		if r.term != term {
			r.campaignSoon(left - 1)
			return
		}
		r.loop.touch(r)
		if err := r.raft.Campaign(); err == nil {
			r.campaignSoon(left - 1)
		}
	})
}

// campaignAgain ends a split vote: two replicas asked for votes in the same tick,
// each has its own and refuses the other, and raft would let both wait for
// another election time-out. Two to five ticks decide it. (Time-outs are drawn
// from ten ticks, so of two followers that miss a leader at once one pair in ten
// collides.) It takes a refusal: answers that are late come from slow disks, and
// a new term would only have them begin again.
func (r *Replica) campaignAgain(refusal *pb.Message) {
	tick, term := r.host.cfg.Tick, r.term
	if r.state != raft.StateCandidate || refusal.GetTerm() != term || r.splitTerm == term {
		return
	}
	r.splitTerm = term
	r.loop.after(2*tick+time.Duration(r.host.cfg.Rand(uint64(3*tick))), func() {
		if r.state != raft.StateCandidate || r.term != term {
			return
		}
		r.loop.touch(r)
		if err := r.raft.Campaign(); err != nil {
			r.host.cfg.Logger.Debug("campaign", slog.Uint64("shard", uint64(r.id)), slog.Any("error", err))
		}
	})
}
