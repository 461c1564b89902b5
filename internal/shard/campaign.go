package shard

import (
	"log/slog"
	"slices"
	"time"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"

	"tutti/internal/cluster"
	"tutti/internal/peer"
	"tutti/internal/spike"
)

// Who leads next. raft elects when a leader has been silent; here is what makes
// it sooner.

// elections is this replica's part in deciding who leads next.
type elections struct {
	r         *Replica
	splitTerm uint64 // whose vote was split
	handed    uint64 // term whose leader has told this replica to follow it
	// successor is closed when another node leads; nil: nobody waits for that.
	successor chan struct{}
	// since is when the leader was missed, by the monotonic clock; 0: one is known.
	since time.Duration
}

// knows is told whether a leader is known, and notes how long none was.
func (e *elections) knows(leader bool) {
	now := e.r.host.cfg.Clock.Mono()
	switch {
	case !leader && e.since == 0:
		e.since = now
	case leader && e.since != 0:
		e.r.host.cfg.Spikes.Note(spike.Election, now-e.since)
		e.since = 0
	}
}

// missed returns for how long no leader has been known.
func (e *elections) missed() time.Duration {
	if e.since == 0 {
		return 0
	}
	return e.r.host.cfg.Clock.Mono() - e.since
}

// stepDown tells the others that this node has given up leading: it hears no
// majority. One that is only deaf would else have been obeyed until now and be
// missed for another election time-out from now on.
func (e *elections) stepDown() {
	for _, node := range e.r.members.voters {
		if node != e.r.host.cfg.Node {
			e.r.host.cfg.Links.Queue(node, peer.Control, kindStepDown, func(dst []byte) []byte {
				return be.AppendUint64(be.AppendUint64(dst, uint64(e.r.id)), e.r.term)
			})
		}
	}
}

// begin is the first thing in the loop: whoever is the only voter need not wait for
// others to be heard of, and where all nodes begin again nobody leads. If there
// is a leader, pre-vote keeps the others from listening, and its next heartbeat ends it.
func (e *elections) begin() {
	voters := e.r.members.conf.GetVoters()
	if !slices.Contains(voters, uint64(e.r.self)) {
		return
	}
	if len(voters) > 1 || joint(e.r.members.conf) {
		e.campaignSoon(campaigns)
		return
	}
	e.r.loop.touch(e.r)
	if err := e.r.raft.Campaign(); err != nil {
		e.r.host.cfg.Logger.Debug("campaign", slog.Uint64("shard", uint64(e.r.id)), slog.Any("error", err))
	}
}

// leaderGone starts an election at once when the connection to the leader
// broke: a killed process is noticed long before it is missed. Pre-vote keeps
// this harmless if the leader is alive: the others still hear it.
func (e *elections) leaderGone(node cluster.NodeID) {
	if e.r.lead.Load().Node != node || node == e.r.host.cfg.Node {
		return
	}
	e.r.loop.touch(e.r)
	if err := e.r.raft.ForgetLeader(); err != nil {
		return
	}
	e.campaignSoon(campaigns)
}

// campaigns is how often a replica tries after it lost its leader: the first
// attempt may reach the others before they have noticed, and they then refuse.
const campaigns = 5

// campaignSoon campaigns unless another has been quicker: whoever runs against
// an election that is under way makes both fail, as its vote is given and its
// log may be behind.
func (e *elections) campaignSoon(left int) {
	tick, term := e.r.host.cfg.Tick, e.r.term
	pause := time.Duration(e.r.host.cfg.Rand(uint64(tick)))
	if left < campaigns {
		pause += tick
	}
	e.r.loop.after(pause, func() {
		// raft may have heard of one in this cycle, whose end makes it known.
		if e.r.lead.Load().Node != 0 || e.r.raft.BasicStatus().Lead != 0 || left == 0 || e.r.state == raft.StateCandidate {
			return
		}
		if e.r.term != term {
			e.campaignSoon(left - 1)
			return
		}
		e.r.loop.touch(e.r)
		if err := e.r.raft.Campaign(); err == nil {
			e.campaignSoon(left - 1)
		}
	})
}

// campaignAgain ends a split vote: two replicas asked for votes in the same tick,
// each has its own and refuses the other, and raft would let both wait for
// another election time-out. Two to five ticks decide it. (Time-outs are drawn
// from ten ticks, so of two followers that miss a leader at once one pair in ten
// collides.) It takes a refusal: answers that are late come from slow disks, and
// a new term would only have them begin again.
func (e *elections) campaignAgain(refusal *pb.Message) {
	tick, term := e.r.host.cfg.Tick, e.r.term
	if e.r.state != raft.StateCandidate || refusal.GetTerm() != term || e.splitTerm == term {
		return
	}
	e.splitTerm = term
	e.r.loop.after(2*tick+time.Duration(e.r.host.cfg.Rand(uint64(3*tick))), func() {
		if e.r.state != raft.StateCandidate || e.r.term != term {
			return
		}
		e.r.loop.touch(e.r)
		if err := e.r.raft.Campaign(); err != nil {
			e.r.host.cfg.Logger.Debug("campaign", slog.Uint64("shard", uint64(e.r.id)), slog.Any("error", err))
		}
	})
}
