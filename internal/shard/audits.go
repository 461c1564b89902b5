package shard

import (
	"fmt"
	"log/slog"
	"slices"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"

	"tutti/internal/audit"
	"tutti/internal/cluster"
	"tutti/internal/peer"
)

// Replicas compare what they have applied. Every applied entry is chained into
// a hash; now and then the leader asks the others for theirs at its newest
// index. Whoever differs from a majority has a defective memory, disk or
// program: its node stops and is rebuilt from the others. If all have told and
// no majority agrees, nobody can say who is right, and the leader stops and
// reports it.
//
// The scrub compares what the replicas hold. The leader writes the shard's
// scrub row; every replica takes a view exactly at that entry, hashes a piece of
// its rows beside the loop, and tells the leader, who judges. Piece by piece the
// scrub goes through all rows. So a row that differs is found though nobody
// reads it. Beside that every node compares the checksums of its files: rows
// that come from memory say nothing about the disk.

const (
	// ScrubEveryDefault is how often a scrub of all rows begins, if the one
	// before has ended.
	ScrubEveryDefault = 30 * time.Second
	// scrubWaitTicks is how long the leader waits for the others.
	scrubWaitTicks = 333
	// hashTicks is how often the leader asks for chained hashes: about every ten
	// seconds.
	hashTicks = 333
)

// audits is how a leader has the replicas compared.
type audits struct {
	l        *leadership
	question audit.Comparison // of chained hashes

	due   uint64           // tick of the next mark of the scrub
	began uint64           // tick of the newest one
	mark  bool             // the next batch writes the scrub row
	from  []byte           // with this
	round audit.Comparison // of the hashes of a piece
}

// tick begins the next piece, at the leader.
func (u *audits) tick() {
	r := u.l.r
	if len(r.members.voters) < 2 || joint(r.members.conf) || u.mark || r.ticks < u.due {
		return
	}
	if u.round.Index != 0 && r.audit.piece.index == u.round.Index {
		u.from = r.audit.piece.next // whether all have told in time or not
	}
	u.mark = true
	r.loop.touch(r)
}

// every is the pause between two scrubs in ticks.
func (u *audits) every() uint64 {
	return uint64(u.l.r.host.cfg.ScrubEvery / u.l.r.host.cfg.Tick)
}

// begin leaves a new leader some time.
func (u *audits) begin() {
	u.due = u.l.r.ticks + u.every()
}

// marked notes that the scrub row was proposed at index.
func (u *audits) marked(index uint64) {
	u.mark, u.began = false, u.l.r.ticks
	u.due = u.l.r.ticks + max(scrubWaitTicks, u.every())
	u.round = audit.Compare(index)
}

// told takes the result of a voter, at the leader. Once all have told, the
// next piece can begin.
func (u *audits) told(node cluster.NodeID, index, hash uint64) {
	r := u.l.r
	if u.round.Index != index || !slices.Contains(r.members.voters, node) {
		return
	}
	u.round.Told[node] = hash
	u.judge(&u.round, kindScrubOdd)
	if len(u.round.Told) < len(r.members.voters) || r.audit.piece.index != index {
		return
	}
	u.due = r.ticks
	if r.audit.piece.next == nil {
		r.host.cfg.Logger.Debug("scrubbed", slog.Uint64("shard", uint64(r.id)), slog.Uint64("index", index))
		u.due = u.began + u.every()
	}
}

// compare starts a comparison, at the leader.
func (u *audits) compare() {
	r := u.l.r
	if r.ticks%hashTicks != 0 || joint(r.members.conf) {
		return
	}
	hash, ok := r.audit.hashes.At(r.machine.applied.Index)
	if !ok {
		return
	}
	u.question = audit.Compare(r.machine.applied.Index)
	u.question.Told[r.host.cfg.Node] = hash
	for _, node := range r.members.voters {
		if node != r.host.cfg.Node {
			r.audit.tell(node, kindHashAsk, r.machine.applied.Index, 0)
		}
	}
}

// judge tells those who differ from a majority.
func (u *audits) judge(c *audit.Comparison, kind peer.Kind) {
	r := u.l.r
	odd, majority, tie := c.Odd(len(r.members.voters))
	if tie {
		r.host.fatal(fmt.Errorf("shard %d: the replicas differ at entry %d and no majority agrees: %x. Nobody can say which is right; keep all folders", r.id, c.Index, c.Told))
	}
	for _, node := range odd {
		r.host.cfg.Logger.Error("a replica has diverged", slog.Uint64("shard", uint64(r.id)), slog.Uint64("node", uint64(node)), slog.Uint64("index", c.Index))
		if node == r.host.cfg.Node {
			r.audit.heard(node, kind, c.Index, majority)
		} else {
			r.audit.tell(node, kind, c.Index, majority)
		}
	}
}

// watchDisk hands leadership over if this node's disk is the slow one.
func (l *leadership) watchDisk() {
	if !l.health.Leave(l.r.ticks) {
		return
	}
	quickest := l.health.Quickest()
	l.r.host.cfg.Logger.Warn("the disk here is slow, leadership moves", slog.Uint64("shard", uint64(l.r.id)), slog.Uint64("to", uint64(l.r.members.nodeOf(uint64(quickest)))))
	l.health.Begin(l.r.ticks) // judged anew, should nobody take it
	l.r.elections.transfer(quickest, l.r.hasRoom)
}

// heardAck takes what a follower's answer tells: that it is there, and what of
// the log it holds.
func (l *leadership) heardAck(m *pb.Message) {
	l.answers.note(m, l.r.term, l.r.host.cfg.Clock.Mono())
	if m.GetType() == pb.MsgAppResp && !m.GetReject() {
		l.health.Held(cluster.ReplicaID(m.GetFrom()), m.GetIndex(), l.r.ticks)
	}
}
