package shard

import (
	"math"
	"slices"
	"sync/atomic"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"

	"tutti/internal/store"
)

// appends is what raft has given to the log of this replica, and what waits for
// that being durable.
type appends struct {
	r         *Replica
	log       *store.ShardLog
	lastIndex uint64 // of the log, unstable entries included
	vote      uint64
	commit    uint64
	saved     ballot
	appending int        // appends under way in the log
	deferred  []deferred // oldest first
	epoch     uint64     // counts installed snapshots
	cut       uint64     // bytes that the log had taken when it was cut last
	// away says, for everybody, that the last entries that came were dropped, see
	// noRoomFor.
	away atomic.Bool
}

// append passes a write of the raft log to its writer. The responses that raft
// attached leave once it is durable.
func (ap *appends) append(m *pb.Message) error {
	if ap.r.snapshots.installing != nil {
		ap.r.snapshots.behind = append(ap.r.snapshots.behind, m)
		return nil
	}
	if !raft.IsEmptySnap(m.GetSnapshot()) {
		return ap.r.snapshots.install(m)
	}
	a := &store.Append{Shard: ap.r.id, Entries: m.GetEntries()}
	urgent := len(a.Entries) > 0
	if m.Term != nil {
		a.Hard = &pb.HardState{Term: new(m.GetTerm()), Vote: new(m.GetVote()), Commit: new(m.GetCommit())}
		urgent = urgent || m.GetTerm() != ap.saved.term || m.GetVote() != ap.saved.vote
		ap.saved = ballot{m.GetTerm(), m.GetVote()}
	}
	if urgent {
		epoch := ap.epoch
		a.Done = func() { ap.r.loop.post(appended{ap.r, m, epoch}) }
		ap.appending++
	}
	if urgent || a.Hard != nil {
		ap.r.host.cfg.Log.Append(a)
	}
	if urgent {
		return nil
	}
	// Nothing that must be durable, so the responses only wait for what is
	// under way before them; a commit index costs no fsync.
	if ap.appending > 0 {
		ap.deferred = append(ap.deferred, deferred{m, ap.appending})
	} else {
		ap.r.respond(m)
	}
	return nil
}

// ballot is the term and vote that were last given to the log.
type ballot struct{ term, vote uint64 }

// deferred is an append without anything to write, whose responses wait for
// the appends before it.
type deferred struct {
	m     *pb.Message
	after int // how many
}

// done runs once an append is durable. What was under way when a
// snapshot replaced the log is not in the log any more.
func (ap *appends) done(m *pb.Message, epoch uint64) {
	if epoch == ap.epoch {
		ap.log.Appended(m.GetEntries())
	}
	if n := len(m.GetEntries()); n > 0 && ap.r.leader != nil {
		ap.r.leader.health.Appended(m.GetEntries()[n-1].GetIndex(), ap.r.ticks)
		ap.r.leader.durableTo(m.GetEntries()[n-1].GetIndex())
	}
	ap.appending--
	ap.r.respond(m)
	ready := 0
	for i := range ap.deferred {
		if ap.deferred[i].after--; ap.deferred[i].after <= 0 {
			ready++
		}
	}
	for _, d := range ap.deferred[:ready] {
		ap.r.respond(d.m)
	}
	ap.deferred = slices.Delete(ap.deferred, 0, ready)
}

// installed begins the log anew behind a snapshot.
func (ap *appends) installed(at store.Applied) {
	hs := &pb.HardState{Term: new(ap.r.term), Vote: new(ap.vote), Commit: new(at.Index)}
	ap.log.Installed(at.Index, at.Term, hs)
	ap.lastIndex = max(ap.lastIndex, at.Index)
}

// rest cuts the log as far as the state holds it durably, but for so many bytes.
func (ap *appends) rest(keep uint64) error {
	first, _ := ap.log.FirstIndex()
	cut := ap.log.Beyond(keep)
	if l := ap.r.leader; l != nil {
		cut = min(cut, l.copying.behind())
	}
	durable, err := ap.r.host.cfg.State.DurablyApplied(ap.r.id)
	if err != nil {
		return err
	}
	if cut = min(cut, durable.Index); cut < first {
		return nil
	}
	return ap.log.Truncate(cut)
}

// truncate drops what the state store holds durably, and makes it flush when
// the log has grown.
func (ap *appends) truncate() {
	first, _ := ap.log.FirstIndex()
	keep, bytes := uint64(keepEntries), ap.r.host.cfg.LogBytesMax
	if ap.r.host.cfg.Space.Full() {
		keep, bytes = keepEntriesFull, bytes/fullFlushDiv
	}
	taken := ap.log.Taken()
	if ap.r.ticks%truncateTicks != 0 && taken < ap.cut+truncateBytes {
		return
	}
	ap.cut = taken
	if ap.r.loop.beside == nil && store.WriteBack(ap.r.host.cfg.State, ap.r.id, bytes) && ap.r.machine.view != nil {
		ap.r.machine.publish() // what was late need not stay in memory for those who only read
	}
	needed, near := uint64(math.MaxUint64), uint64(math.MaxUint64)
	if l := ap.r.leader; l != nil && !ap.r.host.cfg.Space.Full() {
		needed = l.copying.behind() // also where nothing is to be truncated: who has caught up is forgotten
		near = followed(ap.r.raft.Status().Progress)
	}
	beyond := ap.log.Beyond(min(keepBytes, ap.r.host.cfg.Log.Keeps()))
	if ap.r.machine.applied.Index < first+keep && beyond < first {
		return
	}
	if ap.r.loop.beside == nil { // else it would wait with that, and the loop with it
		ap.r.host.cfg.State.FlushIfLarge(bytes)
	}
	durable, err := ap.r.host.cfg.State.DurablyApplied(ap.r.id)
	if err != nil {
		ap.r.host.fatal(err)
		return
	}
	cut := min(beyond, durable.Index)
	if durable.Index > first+keep {
		cut = max(cut, durable.Index-keep)
	}
	if near < cut {
		cut = max(near, min(cut, ap.log.Beyond(keepBytes)))
	}
	if err := ap.log.Truncate(min(cut, needed)); err != nil {
		ap.r.host.fatal(err)
	}
}

const (
	// truncateTicks is how often the log is cut, truncateBytes how much it takes until it is
	// cut sooner: what is cut while it lies in a memtable is never written as a table.
	truncateTicks = 20
	truncateBytes = 4 << 20
	// keepEntries stay in the log for followers that are a little behind, but no more
	// bytes of them than the log store keeps cheaply: an entry may have 16 MiB. For
	// followers that are there and need them it is keepBytes.
	keepEntries = 256
	keepBytes   = 64 << 20
	// On a full disk the log is cut sooner and shorter: such followers get a
	// snapshot instead.
	keepEntriesFull = 8
	fullFlushDiv    = 8
)
