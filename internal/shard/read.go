package shard

import (
	"errors"

	"go.etcd.io/raft/v3"

	"tutti/internal/cluster"
	"tutti/internal/peer"
	"tutti/internal/store"
)

// Reads. One ReadIndex round per replica is in flight; reads that come
// meanwhile join the next. Every round has a context of its own, which includes
// the node's incarnation: etcd served stale reads in 2025 because it used one
// context for two attempts. A follower asks its leader, whose answer carries
// the leader's time beside the index; clocks decide nothing here.

// ErrUnavailable says that no majority confirmed a read in time.
var ErrUnavailable = errors.New("no majority answered in time")

// Read asks for a view to read from.
type Read struct {
	Shard cluster.ShardID
	// MinIndex, if not 0, is an applied index that is recent enough: the reader
	// has seen an entry with it being applied after its request began. No
	// ReadIndex round is needed then, and Now is the time that belongs to it.
	MinIndex uint64
	// Now is the time to answer times to live from; with MinIndex 0 it is set
	// by the round.
	Now int64
	// MinTime asks for a view whose shard time has reached it.
	MinTime int64
	// Done takes a view with a reference of its own, or an error, on the
	// goroutine of the shard's loop. It must not block.
	Done func(v *store.View, now int64, err error)

	born uint64 // tick
}

// asker is one who waits for a round.
type asker struct {
	read  *Read          // a reader here
	batch *batch         // a batch without effects
	node  cluster.NodeID // a follower's round
	id    uint64
}

type reads struct {
	next    []asker
	round   []asker
	id      uint64 // of the round; 0: none in flight
	count   uint64
	began   uint64 // tick
	waiting []waiter
}

// waiter knows its index and waits for the replica to get there.
type waiter struct {
	read  *Read
	index uint64
}

const (
	// readRetryTicks is when a round is asked again.
	readRetryTicks = 8
	// readMaxTicks is when a reader is told that nobody confirms.
	readMaxTicks = 300
)

func (r *Replica) read(q *Read) {
	q.born = r.ticks
	if q.MinIndex > 0 {
		r.await(waiter{q, q.MinIndex})
		return
	}
	r.ask(asker{read: q})
}

func (r *Replica) ask(a asker) {
	r.reads.next = append(r.reads.next, a)
	r.startRound()
}

// confirm holds the replies of a batch without effects until a round that
// begins now has shown that this node still leads.
func (r *Replica) confirm(b *batch) { r.ask(asker{batch: b}) }

// startRound starts a round for all who wait, unless one is in flight.
func (r *Replica) startRound() {
	q := &r.reads
	if q.id != 0 || len(q.next) == 0 {
		return
	}
	lead := r.lead.Load()
	self := lead.Node == r.host.cfg.Node
	if lead.Node == 0 || self && !r.leading() {
		return
	}
	q.count++
	q.id, q.began = q.count, r.ticks
	q.round, q.next = q.next, q.round[:0]
	if self {
		ctx := be.AppendUint64(nil, r.host.cfg.Incarnation)
		r.raft.ReadIndex(be.AppendUint64(ctx, q.id))
		r.loop.touch(r)
		return
	}
	r.host.cfg.Links.Queue(lead.Node, peer.Control, kindReadAsk, func(dst []byte) []byte {
		return be.AppendUint64(be.AppendUint64(dst, uint64(r.id)), q.id)
	})
}

// readConfirmed ends a round at the leader.
func (r *Replica) readConfirmed(rs raft.ReadState) {
	q := &r.reads
	if len(rs.RequestCtx) != 16 || be.Uint64(rs.RequestCtx) != r.host.cfg.Incarnation || be.Uint64(rs.RequestCtx[8:]) != q.id || !r.leading() {
		return
	}
	now, _ := r.clock.now()
	r.endRound(rs.Index, max(now, r.applied.Time))
}

func (r *Replica) endRound(index uint64, now int64) {
	q := &r.reads
	done := q.round
	q.id, q.round = 0, nil
	for _, a := range done {
		switch {
		case a.read != nil:
			a.read.Now = now
			r.await(waiter{a.read, index})
		case a.batch != nil:
			if a.batch.term == r.term && r.leading() {
				r.answerBatch(a.batch)
			}
		default:
			r.host.cfg.Links.Queue(a.node, peer.Control, kindReadTell, func(dst []byte) []byte {
				dst = be.AppendUint64(be.AppendUint64(dst, uint64(r.id)), a.id)
				return be.AppendUint64(be.AppendUint64(dst, index), uint64(now))
			})
		}
	}
	clear(done)
	if q.round == nil {
		q.round = done[:0]
	}
	r.startRound()
}

// asked takes the round of a follower.
func (r *Replica) asked(node cluster.NodeID, id uint64) {
	if r.leading() {
		r.ask(asker{node: node, id: id})
	}
}

// told takes the leader's answer to this follower's round.
func (r *Replica) told(id, index uint64, now int64) {
	if id == r.reads.id && r.state != raft.StateLeader {
		r.endRound(index, now)
	}
}

// await serves a read as soon as the applied state is recent enough.
func (r *Replica) await(w waiter) {
	if !r.serve(w) {
		r.reads.waiting = append(r.reads.waiting, w)
		r.wantTime(w.read)
	}
}

func (r *Replica) serve(w waiter) bool {
	if r.applied.Index < w.index || r.applied.Time < w.read.MinTime {
		return false
	}
	w.read.Done(r.view.Acquire(), max(w.read.Now, r.applied.Time), nil)
	return true
}

func (r *Replica) serveReads() {
	keep := r.reads.waiting[:0]
	for _, w := range r.reads.waiting {
		if !r.serve(w) {
			keep = append(keep, w)
		}
	}
	clear(r.reads.waiting[len(keep):])
	r.reads.waiting = keep
}

// wantTime makes the leader record a shard time that a reader waits for: one
// entry for all who wait.
func (r *Replica) wantTime(q *Read) {
	lead := r.lead.Load()
	switch {
	case r.applied.Time >= q.MinTime || lead.Node == 0:
	case lead.Node == r.host.cfg.Node:
		r.tickTime(q.MinTime)
	default:
		r.host.cfg.Links.Queue(lead.Node, peer.Control, kindTick, func(dst []byte) []byte {
			return be.AppendUint64(be.AppendUint64(dst, uint64(r.id)), uint64(q.MinTime))
		})
	}
}

func (r *Replica) tickTime(t int64) {
	r.tickTo = max(r.tickTo, t)
	r.loop.touch(r)
}

// tickReads asks again what may have been lost and gives up what is too old.
func (r *Replica) tickReads() {
	q := &r.reads
	if q.id != 0 && r.ticks-q.began >= readRetryTicks {
		q.next, q.round, q.id = append(q.round, q.next...), nil, 0
		r.startRound()
	}
	q.next = r.expireAskers(q.next)
	keep := q.waiting[:0]
	for _, w := range q.waiting {
		if r.ticks-w.read.born > readMaxTicks {
			w.read.Done(nil, 0, ErrUnavailable)
			continue
		}
		keep = append(keep, w)
		if r.ticks%readRetryTicks == 0 {
			r.wantTime(w.read)
		}
	}
	clear(q.waiting[len(keep):])
	q.waiting = keep
	r.startRound()
}

func (r *Replica) expireAskers(list []asker) []asker {
	keep := list[:0]
	for _, a := range list {
		if a.read != nil && r.ticks-a.read.born > readMaxTicks {
			a.read.Done(nil, 0, ErrUnavailable)
			continue
		}
		keep = append(keep, a)
	}
	clear(list[len(keep):])
	return keep
}

// readsTermChanged puts the readers of the round in flight back in line; what
// only the leader of the old term could answer is dropped: the groups of its
// batches have been answered, and followers ask again.
func (r *Replica) readsTermChanged() {
	q := &r.reads
	all := append(q.round, q.next...)
	q.id, q.round, q.next = 0, nil, nil
	for _, a := range all {
		if a.read != nil {
			q.next = append(q.next, a)
		}
	}
	r.startRound()
}
