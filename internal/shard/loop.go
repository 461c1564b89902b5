package shard

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"

	"tutti/internal/cluster"
	"tutti/internal/group"
	"tutti/internal/spike"
	"tutti/internal/store"
)

// loop is one event loop: it owns replicas and is the only goroutine that
// touches them. It takes all that waits, does it as one batch, and answers.
type loop struct {
	host     *Host
	replicas []*Replica

	mu     sync.Mutex // guards inbox, closed
	inbox  []any
	closed bool
	wake   chan struct{}   // capacity 1: a signal
	ctx    context.Context // ends when the loop is to end
	cancel context.CancelFunc
	wg     sync.WaitGroup // goroutines that work for the loop

	dirty    []*Replica // with work for raft or for the next batch
	applying []applying // in the state batch of this cycle
	beside   *beside    // a large batch that is being committed; nil: none
	waiting  []applying // to be applied after it; at is not set yet
	ticks    uint64
}

// beside is a state batch that is committed beside the loop, which goes on with
// everything but applying: inserting 300,000 rows was measured to take 200 ms,
// near the time after which followers elect somebody else.
type beside struct {
	batch *store.Batch
	list  []applying
	done  chan error // capacity 1
}

// besideMin is the size from which a batch is committed beside the loop: it
// takes longer than waking a goroutine twice.
const besideMin = 512 << 10

// What others post into a loop beside *Group and *Read.
type (
	appended struct {
		r     *Replica
		m     *pb.Message
		epoch uint64
	}
	applying struct {
		r  *Replica
		at store.Applied
		m  *pb.Message
	}
	received struct { // a raft message from a peer
		r    *Replica
		from cluster.NodeID
		m    *pb.Message
	}
	readAsk struct {
		r    *Replica
		node cluster.NodeID
		id   uint64
	}
	questioned struct {
		r    *Replica
		from cluster.NodeID
		q    question
	}
	readTell struct {
		r         *Replica
		id, index uint64
		now       int64
	}
	tickAsk struct {
		r *Replica
		t int64
	}
	linkChange struct {
		node cluster.NodeID
		up   bool
	}
	steppedDown struct { // a leader says that it does not lead any more
		r    *Replica
		node cluster.NodeID
		term uint64
	}
	call   struct{ f func() } // administration and tests
	inLoop struct {           // rare things about a replica
		r *Replica
		f func()
	}
)

func newLoop(h *Host) *loop {
	ctx, cancel := context.WithCancel(context.Background())
	return &loop{host: h, wake: make(chan struct{}, 1), ctx: ctx, cancel: cancel}
}

// post puts something into the inbox; it never blocks. Groups and reads are
// bounded where they are admitted, raft messages by raft's own flow control.
// After the host has been closed what comes is answered as if it had been in
// the inbox then, but for groups: their sender may hold a lock that Done takes.
func (l *loop) post(x any) {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		if _, ok := x.(*group.Group); !ok {
			l.drop(x)
		}
		return
	}
	l.inbox = append(l.inbox, x)
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// touch puts a replica on the list of those with work.
func (l *loop) touch(r *Replica) {
	if !r.dirty {
		r.dirty = true
		l.dirty = append(l.dirty, r)
	}
}

func (l *loop) run() {
	tick := time.NewTicker(l.host.cfg.Tick)
	defer tick.Stop()
	var spare []any
	for {
		select {
		case <-l.ctx.Done():
			return
		case <-l.wake:
		case <-tick.C:
			l.tick()
		}
		began := l.host.cfg.Clock.Mono()
		l.mu.Lock()
		work := l.inbox
		l.inbox = spare[:0]
		l.mu.Unlock()
		for _, x := range work {
			l.take(x)
		}
		clear(work)
		spare = work
		if err := l.cycle(); err != nil {
			l.host.fatal(err)
			return
		}
		took := l.host.cfg.Clock.Mono() - began
		l.host.meter.cycle.Add(took, 1)
		l.host.cfg.Spikes.Note(spike.Loop, took)
		if took > cycleSlow {
			l.host.cfg.Logger.Warn("slow cycle of the event loop", slog.Duration("took", took), slog.Int("inbox", len(work)))
		}
	}
}

// cycleSlow is how long a cycle may take without being worth a line in the log:
// half an election time-out is near.
const cycleSlow = 100 * time.Millisecond

func (l *loop) tick() {
	for _, r := range l.replicas {
		r.tick()
	}
	if l.ticks++; l == l.host.loops[0] && l.ticks%changeTicks == 0 {
		l.host.askForLost()
	}
}

// take gives one thing from the inbox to its replica.
func (l *loop) take(x any) {
	if r := about(x); r != nil && r.gone {
		l.drop(x)
		return
	}
	switch x := x.(type) {
	case *group.Group:
		if r := l.host.replica(x.Shard); r != nil && r.loop == l {
			r.admit(x)
			return
		}
		l.drop(x)
	case *Read:
		if r := l.host.replica(x.Shard); r != nil && r.loop == l {
			r.reads.read(x)
			return
		}
		l.drop(x)
	case appended:
		x.r.appends.done(x.m, x.epoch)
	case received:
		x.r.receiveMsg(x.from, x.m)
	case readAsk:
		x.r.reads.askedBy(x.node, x.id)
	case questioned:
		x.r.reads.questioned(x.from, x.q)
	case readTell:
		x.r.reads.told(x.id, x.index, x.now)
	case hashMsg:
		x.r.audit.heard(x.from, x.kind, x.index, x.hash)
	case *beside:
		if err := l.settle(x); err != nil {
			l.host.fatal(err)
		}
	case evaluated:
		if x.l == x.l.r.leader { // else of a term that has ended
			x.l.heavy.evaluated(x)
		}
	case scrubbed:
		x.r.audit.hashed(x)
	case tickAsk:
		if l := x.r.leader; l != nil {
			l.tickTime(x.t)
		}
	case sweepFound:
		if l := x.s.l; l == l.r.leader && x.s == l.sweep { // else of a term or of slots that it has no more
			x.s.work.Add(x.work, x.s.l.clock.mono())
			x.s.look(nil)
		}
	case snapshotSent:
		x.r.raft.ReportSnapshot(x.to, x.status)
		l.touch(x.r)
	case snapshotReceived:
		x.r.snapshots.offer(x)
	case steppedDown:
		if x.r.lead.Load().Term == x.term {
			x.r.elections.leaderGone(x.node)
		}
	case linkChange:
		for _, r := range l.replicas {
			if !x.up {
				r.elections.leaderGone(x.node)
				r.reads.askOthers()
			}
			if r.leader != nil {
				r.leader.waiters.link(x.node, x.up)
			}
		}
	case inLoop:
		x.f()
	case call:
		x.f()
	default:
		panic(fmt.Sprintf("shard: %T in the inbox", x))
	}
}

// about returns the replica that something from the inbox is about.
func about(x any) *Replica {
	switch x := x.(type) {
	case appended:
		return x.r
	case received:
		return x.r
	case readAsk:
		return x.r
	case questioned:
		return x.r
	case readTell:
		return x.r
	case hashMsg:
		return x.r
	case evaluated:
		return x.l.r
	case scrubbed:
		return x.r
	case tickAsk:
		return x.r
	case sweepFound:
		return x.s.l.r
	case snapshotSent:
		return x.r
	case snapshotReceived:
		return x.r
	case steppedDown:
		return x.r
	case inLoop:
		return x.r
	}
	return nil
}

// cycle works until no replica has anything left to do. All entries that become
// applicable together, of all replicas, are one batch of the state store.
func (l *loop) cycle() error {
	for len(l.dirty) > 0 || l.beside == nil && len(l.waiting) > 0 {
		b := l.host.cfg.State.NewBatch()
		if l.beside == nil {
			if err := l.applyWaiting(b); err != nil {
				return err
			}
		}
		for i := 0; i < len(l.dirty); i++ {
			r := l.dirty[i]
			r.dirty = false
			if err := r.work(b); err != nil {
				return err
			}
		}
		l.dirty = l.dirty[:0]
		if b.Bytes() > besideMin || b.Waits() {
			l.commitBeside(b)
			continue
		}
		if err := l.commit(b); err != nil {
			return err
		}
	}
	for _, r := range l.replicas {
		r.outbox.flush()
	}
	l.host.cfg.Links.Flush()
	return nil
}

// commit makes what was applied visible and lets the replies go.
func (l *loop) commit(b *store.Batch) error {
	done := l.applying
	l.applying = nil
	return l.committed(b.Commit(), b, done)
}

func (l *loop) committed(err error, b *store.Batch, done []applying) error {
	if err != nil {
		return fmt.Errorf("apply: %w", err)
	}
	for _, a := range done {
		if err := a.r.machine.done(a.at, a.m, b.Databases || b.Users, b.Meta); err != nil {
			return err
		}
	}
	return nil
}

func (l *loop) commitBeside(b *store.Batch) {
	x := &beside{batch: b, list: l.applying, done: make(chan error, 1)}
	l.beside, l.applying = x, nil
	l.wg.Go(func() {
		x.done <- b.Commit()
		l.post(x)
	})
}

// settle takes the end of the commit x, and waits for it if it is not over.
func (l *loop) settle(x *beside) error {
	if x == nil || x != l.beside {
		return nil
	}
	l.beside = nil
	return l.committed(<-x.done, x.batch, x.list)
}

// settleAll leaves nothing applied by halves: a snapshot takes its place, or its
// replica ends. It is not for a cycle: what lies in the batch of that is not committed.
func (l *loop) settleAll() error {
	if len(l.applying) > 0 {
		panic("shard: a batch is open")
	}
	for {
		if err := l.settle(l.beside); err != nil || len(l.waiting) == 0 {
			return err
		}
		b := l.host.cfg.State.NewBatch()
		if err := l.applyWaiting(b); err != nil {
			return err
		}
		if err := l.commit(b); err != nil {
			return err
		}
	}
}

func (l *loop) applyWaiting(b *store.Batch) error {
	list := l.waiting
	l.waiting = nil
	for _, a := range list {
		if err := a.r.machine.apply(b, a.m); err != nil {
			return err
		}
	}
	return nil
}

// work handles what raft has ready, and proposes what waits. A batch is evaluated
// only while raft has nothing ready: an entry that raft appended meanwhile, for
// a change of the configuration or at its own, would take the batch's index.
func (r *Replica) work(b *store.Batch) error {
	for {
		switch {
		case r.raft.HasReady():
			if err := r.handle(b); err != nil {
				return err
			}
		case r.leading() && r.leader.changes.propose():
		default:
			r.snapshots.dropOffer()
			if r.leading() {
				if err := r.leader.propose(); err != nil {
					return err
				}
			}
			if !r.raft.HasReady() {
				return nil
			}
		}
	}
}
