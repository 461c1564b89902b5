package shard

import (
	"log/slog"

	pb "go.etcd.io/raft/v3/raftpb"

	"tutti/internal/cluster"
)

// A leader leaves a slow disk.
//
// Raft notices a leader that is dead, not one that limps: a disk whose fsyncs
// take 300 ms lets heartbeats through, and every write of the cluster waits for
// it, because a leader applies an entry only when it is durable here too. The
// leader therefore compares, for every entry it proposes, how long its own log
// took with how long the quickest follower took to hold the same entry. If it
// is the only slow one, it hands over.
//
// Slow compared with the followers, not slow in itself: when all disks are slow
// leadership stays, as moving it would gain nothing. Time is counted in ticks,
// which a paused process or a starved machine does not see: neither takes its
// own absence for a slow disk.

// health is what a leader knows of its disk in this term.
type health struct {
	since uint64 // tick at which the term's first entry was applied here
	entry entryTimes
	spent uint64 // ticks lost to entries that only this disk was slow for, in a row
}

// entryTimes follows one entry, the latest that was proposed and measured.
type entryTimes struct {
	index    uint64            // 0: none
	proposed uint64            // tick
	durable  bool              // here
	first    uint64            // tick at which the first follower held it
	by       cluster.ReplicaID // that follower's replica; 0: none yet
}

const (
	// slowTicks is how long an append may take before it counts as slow: 150 ms,
	// far above what a healthy disk needs with others at work on it.
	slowTicks = 5
	// slowFactor is how many times quicker a follower must have been.
	slowFactor = 4
	// leaveTicks is how much time a slow disk may cost before it is left: 0.6 s,
	// two fsyncs of 300 ms. One hiccup below that is sat out.
	leaveTicks = 20
	// stayTicks is how long a new leader stays in any case: 3 s. It bounds how
	// often leadership can move however the disks behave.
	stayTicks = 100
)

// begin starts the judgement of a term.
func (h *health) begin(tick uint64) { *h = health{since: tick} }

// propose notes that an entry is on its way. An entry that is still being
// written goes on being measured instead: it is the older one.
func (h *health) propose(index, tick uint64) {
	if h.entry.index == 0 || h.entry.durable {
		h.entry = entryTimes{index: index, proposed: tick}
	}
}

// held notes that a follower holds the log up to index.
func (h *health) held(by cluster.ReplicaID, index, tick uint64) {
	if e := &h.entry; e.index != 0 && index >= e.index && e.by == 0 {
		e.first, e.by = tick, by
	}
}

// appended notes that this node's own log is durable up to index.
func (h *health) appended(index, tick uint64) {
	e := &h.entry
	if e.index == 0 || e.durable || index < e.index {
		return
	}
	e.durable = true
	if e.lags(tick) {
		h.spent += tick - e.proposed
	} else {
		h.spent = 0
	}
}

// lags reports whether the entry, durable here now or not even yet, took long
// here while a follower was quick.
func (e *entryTimes) lags(tick uint64) bool {
	took := tick - e.proposed
	return took >= slowTicks && e.by != 0 && (e.first-e.proposed)*slowFactor <= took
}

// leave reports whether leadership should move away from this disk.
func (h *health) leave(tick uint64) bool {
	if tick-h.since < stayTicks {
		return false
	}
	spent := h.spent
	if e := &h.entry; e.index != 0 && !e.durable && e.lags(tick) {
		spent += tick - e.proposed
	}
	return spent >= leaveTicks
}

// watchHealth hands leadership over if this node's disk is the slow one.
func (r *Replica) watchHealth() {
	if !r.leading() || !r.health.leave(r.ticks) {
		return
	}
	quickest := r.health.entry.by
	r.host.cfg.Logger.Warn("the disk here is slow, leadership moves", slog.Uint64("shard", uint64(r.id)), slog.Uint64("to", uint64(r.nodeOf(uint64(quickest)))))
	r.health.begin(r.ticks) // judged anew, should nobody take it
	r.transfer(quickest, r.hasRoom)
}

// noteAck takes what a follower's answer tells about the log it holds.
func (r *Replica) noteAck(m *pb.Message) {
	if m.GetType() == pb.MsgAppResp && !m.GetReject() {
		r.health.held(cluster.ReplicaID(m.GetFrom()), m.GetIndex(), r.ticks)
	}
}
