package shard

import (
	"errors"
	"time"

	"go.etcd.io/raft/v3"

	"tutti/internal/cluster"
	"tutti/internal/eval"
	"tutti/internal/peer"
	"tutti/internal/store"
)

// Reads. One ReadIndex round per replica is in flight; reads that come
// meanwhile join the next. Every round has a context of its own, which includes
// the node's incarnation: etcd served stale reads in 2025 because it used one
// context for two attempts. A follower asks its leader, whose answer carries
// the leader's time beside the index; clocks decide nothing here.
//
// A round that takes long is asked again, for those who are in it and nobody
// else. All of them came before its first attempt, so the answer to any attempt
// is theirs: were it the latest one's only, a round that takes longer than the
// time to the next attempt would never end.

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
	batch *eval.Batch    // a batch without effects
	node  cluster.NodeID // a follower's round
	id    uint64
}

// reads is who waits for a view.
type reads struct {
	r       *Replica
	next    []asker
	round   []asker
	first   uint64 // attempt of the round; 0: no round in flight
	id      uint64 // of the latest attempt
	count   uint64
	asked   uint64        // tick of the latest attempt
	since   time.Duration // when the round began, by the monotonic clock
	took    time.Duration // how long the last round was
	waiting []waiter
}

// waiter knows its index and waits for the replica to get there.
type waiter struct {
	read  *Read
	index uint64
}

const (
	// readRetryTicks is when a round is asked again, as a frame may have been lost.
	readRetryTicks = 8
	// readMaxTicks is when a reader is told that nobody confirms: as soon as a
	// writer would be (router.TimeoutDefault), before clients give up by themselves.
	readMaxTicks = 165
)

func (rd *reads) read(q *Read) {
	q.born = rd.r.ticks
	if q.MinIndex > 0 {
		rd.await(waiter{q, q.MinIndex})
		return
	}
	rd.ask(asker{read: q})
}

func (rd *reads) ask(a asker) {
	rd.next = append(rd.next, a)
	rd.startRound()
}

// confirm holds the replies of a batch without effects until a round that
// begins now has shown that this node still leads.
func (rd *reads) confirm(b *eval.Batch) { rd.ask(asker{batch: b}) }

// startRound starts a round for all who wait, unless one is in flight.
func (rd *reads) startRound() {
	if rd.first != 0 || len(rd.next) == 0 {
		return
	}
	if !rd.attempt() {
		return
	}
	rd.first, rd.since = rd.id, rd.r.host.cfg.Clock.Mono()
	rd.round, rd.next = rd.next, rd.round[:0]
}

// attempt asks for a round under an id of its own, and reports whether there is
// somebody to ask.
func (rd *reads) attempt() bool {
	lead := rd.r.lead.Load()
	self := lead.Node == rd.r.host.cfg.Node
	if lead.Node == 0 || self && !rd.r.leading() {
		return false
	}
	rd.count++
	rd.id, rd.asked = rd.count, rd.r.ticks
	if self {
		ctx := be.AppendUint64(nil, rd.r.host.cfg.Incarnation)
		rd.r.raft.ReadIndex(be.AppendUint64(ctx, rd.id))
		rd.r.loop.touch(rd.r)
		rd.r.outbox.quickest.wait(rd)
		return true
	}
	rd.r.host.cfg.Links.Queue(lead.Node, peer.Control, kindReadAsk, func(dst []byte) []byte {
		return be.AppendUint64(be.AppendUint64(dst, uint64(rd.r.id)), rd.id)
	})
	return true
}

// current reports whether id is an attempt of the round in flight.
func (rd *reads) current(id uint64) bool {
	return rd.first != 0 && id >= rd.first && id <= rd.id
}

// confirmed ends a round at the leader.
func (rd *reads) confirmed(rs raft.ReadState) {
	if len(rs.RequestCtx) != 16 || be.Uint64(rs.RequestCtx) != rd.r.host.cfg.Incarnation || !rd.current(be.Uint64(rs.RequestCtx[8:])) || !rd.r.leading() {
		return
	}
	now, _ := rd.r.leader.clock.now()
	rd.endRound(rs.Index, max(now, rd.r.machine.applied.Time))
}

func (rd *reads) endRound(index uint64, now int64) {
	rd.took = rd.r.host.cfg.Clock.Mono() - rd.since
	rd.r.host.meter.round.Add(rd.took, 1)
	done := rd.round
	rd.first, rd.round = 0, nil
	for _, a := range done {
		switch {
		case a.read != nil:
			a.read.Now = now
			rd.await(waiter{a.read, index})
		case a.batch != nil:
			if a.batch.Term == rd.r.term && rd.r.leading() {
				rd.r.leader.queue.answerBatch(a.batch)
			}
		default:
			rd.r.host.cfg.Links.Queue(a.node, peer.Control, kindReadTell, func(dst []byte) []byte {
				dst = be.AppendUint64(be.AppendUint64(dst, uint64(rd.r.id)), a.id)
				return be.AppendUint64(be.AppendUint64(dst, index), uint64(now))
			})
		}
	}
	clear(done)
	if rd.round == nil {
		rd.round = done[:0]
	}
	rd.startRound()
}

// askedBy takes the round of a follower.
func (rd *reads) askedBy(node cluster.NodeID, id uint64) {
	if rd.r.leading() {
		rd.ask(asker{node: node, id: id})
	}
}

// told takes the leader's answer to this follower's round.
func (rd *reads) told(id, index uint64, now int64) {
	if rd.current(id) && rd.r.state != raft.StateLeader {
		rd.endRound(index, now)
	}
}

// await serves a read as soon as the applied state is recent enough.
func (rd *reads) await(w waiter) {
	if !rd.serve(w) {
		rd.waiting = append(rd.waiting, w)
		rd.wantTime(w.read)
	}
}

func (rd *reads) serve(w waiter) bool {
	if rd.r.machine.view == nil || rd.r.machine.applied.Index < w.index || rd.r.machine.applied.Time < w.read.MinTime {
		return false
	}
	w.read.Done(rd.r.machine.view.Acquire(), max(w.read.Now, rd.r.machine.applied.Time), nil)
	return true
}

func (rd *reads) serveAll() {
	keep := rd.waiting[:0]
	for _, w := range rd.waiting {
		if !rd.serve(w) {
			keep = append(keep, w)
		}
	}
	clear(rd.waiting[len(keep):])
	rd.waiting = keep
}

// wantTime makes the leader record a shard time that a reader waits for: one
// entry for all who wait.
func (rd *reads) wantTime(q *Read) {
	lead := rd.r.lead.Load()
	switch {
	case rd.r.machine.applied.Time >= q.MinTime || lead.Node == 0:
	case lead.Node == rd.r.host.cfg.Node:
		if l := rd.r.leader; l != nil {
			l.tickTime(q.MinTime)
		}
	default:
		rd.r.host.cfg.Links.Queue(lead.Node, peer.Control, kindTick, func(dst []byte) []byte {
			return be.AppendUint64(be.AppendUint64(dst, uint64(rd.r.id)), uint64(q.MinTime))
		})
	}
}

func (l *leadership) tickTime(t int64) {
	l.tickTo = max(l.tickTo, t)
	l.r.loop.touch(l.r)
}

// tick asks again what may have been lost and gives up what is too old.
func (rd *reads) tick() {
	if rd.round = rd.expire(rd.round); len(rd.round) == 0 {
		rd.first = 0
	}
	rd.next = rd.expire(rd.next)
	if rd.first != 0 && rd.r.ticks-rd.asked >= readRetryTicks {
		rd.attempt()
	}
	keep := rd.waiting[:0]
	for _, w := range rd.waiting {
		if rd.r.ticks-w.read.born > readMaxTicks {
			w.read.Done(nil, 0, ErrUnavailable)
			continue
		}
		keep = append(keep, w)
		if rd.r.ticks%readRetryTicks == 0 {
			rd.wantTime(w.read)
		}
	}
	clear(rd.waiting[len(keep):])
	rd.waiting = keep
	rd.startRound()
}

func (rd *reads) expire(list []asker) []asker {
	keep := list[:0]
	for _, a := range list {
		if a.read != nil && rd.r.ticks-a.read.born > readMaxTicks {
			a.read.Done(nil, 0, ErrUnavailable)
			continue
		}
		keep = append(keep, a)
	}
	clear(list[len(keep):])
	return keep
}

// termChanged puts the readers of the round in flight back in line; what
// only the leader of the old term could answer is dropped: the groups of its
// batches have been answered, and followers ask again.
func (rd *reads) termChanged() {
	all := append(rd.round, rd.next...)
	rd.first, rd.round, rd.next = 0, nil, nil
	for _, a := range all {
		if a.read != nil {
			rd.next = append(rd.next, a)
		}
	}
	rd.startRound()
}
