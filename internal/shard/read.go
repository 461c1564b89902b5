package shard

import (
	"errors"
	"slices"
	"time"

	"go.etcd.io/raft/v3"

	"tutti/internal/cluster"
	"tutti/internal/eval"
	"tutti/internal/peer"
	"tutti/internal/store"
)

// Reads. They go in rounds: all that have come while one was on its way share the next.
// Where the way is long, up to roundsMax are on it at a time, so that who comes late need
// not wait for it nearly twice. A follower asks its leader, see vouch.go; the leader has a
// majority confirm that it still leads (ReadIndex). Every attempt has a context of its own,
// which includes the node's incarnation: etcd served stale reads in 2025 because it used
// one context for two attempts. The answer carries the leader's time beside the index;
// clocks decide nothing here.
//
// A round that takes long is asked again. Attempts are numbered in their order, and all of
// a round came before its first one, so the answer to that or any later attempt is theirs:
// were it the latest one's only, a round that takes longer than the time to the next
// attempt would never end.

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
	next    []asker       // of the next round
	rounds  []round       // on their way, oldest first
	spare   [][]asker     // memory of rounds that have ended
	count   uint64        // the latest attempt
	took    time.Duration // how long the last round was
	slow    time.Duration // how long the slowest of the last few was
	waiting []waiter
	passing passing
	timer   *time.Timer // see watch
	armed   bool
	later   bool // see startLater
}

// round is askers who wait for the same answer.
type round struct {
	first  uint64        // attempt: the answer to it or to a later one is theirs
	asked  uint64        // tick of their latest attempt
	since  time.Duration // when it began, on the monotonic clock
	askers []asker
}

// waiter knows its index and waits for the replica to get there.
type waiter struct {
	read  *Read
	index uint64
}

const (
	// roundsMax is how many rounds are on their way at a time, and roundPace how long after
	// another one begins at least: on a short way the first is back before that.
	roundsMax = 4
	roundPace = time.Millisecond
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

// startRound starts a round for all who wait, unless they had better wait for one that is
// on its way.
func (rd *reads) startRound() {
	if len(rd.next) == 0 {
		return
	}
	now, n := rd.r.host.cfg.Clock.Mono(), len(rd.rounds)
	if n >= roundsMax {
		return
	}
	if n > 0 {
		if left := rd.rounds[n-1].since + max(roundPace, rd.took/roundsMax) - now; left > 0 {
			rd.startLater(left)
			return
		}
	}
	if !rd.attempt() {
		return
	}
	rd.rounds = append(rd.rounds, round{first: rd.count, asked: rd.r.ticks, since: now, askers: rd.next})
	rd.next = nil
	if n := len(rd.spare); n > 0 {
		rd.next, rd.spare = rd.spare[n-1], rd.spare[:n-1]
	}
}

// startLater starts the next round soon, where the way is so long that the one before is
// not likely to be back by then: all who are here may have asked, so nobody else comes.
func (rd *reads) startLater(left time.Duration) {
	if rd.later || rd.took < roundPace {
		return
	}
	rd.later = true
	time.AfterFunc(left, func() {
		rd.r.loop.post(inLoop{rd.r, func() {
			rd.later = false
			rd.startRound()
		}})
	})
}

// attempt asks under a number of its own, and reports whether there is somebody to ask.
func (rd *reads) attempt() bool {
	lead := rd.r.lead.Load()
	self := lead.Node == rd.r.host.cfg.Node
	if lead.Node == 0 || self && !rd.r.leading() {
		return false
	}
	rd.count++
	if !self {
		rd.question(lead.Node)
		return true
	}
	ctx := be.AppendUint64(nil, rd.r.host.cfg.Incarnation)
	rd.r.raft.ReadIndex(be.AppendUint64(ctx, rd.count))
	rd.r.loop.touch(rd.r)
	if rd.r.outbox.quickest.first != nil {
		rd.watch()
	}
	return true
}

// current reports whether a round waits for the answer to an attempt.
func (rd *reads) current(id uint64) bool {
	return len(rd.rounds) > 0 && id >= rd.rounds[0].first && id <= rd.count
}

// confirmed ends a round at the leader.
func (rd *reads) confirmed(rs raft.ReadState) {
	if len(rs.RequestCtx) != 16 || be.Uint64(rs.RequestCtx) != rd.r.host.cfg.Incarnation || !rd.current(be.Uint64(rs.RequestCtx[8:])) || !rd.r.leading() {
		return
	}
	now, _ := rd.r.leader.clock.now()
	rd.endRounds(be.Uint64(rs.RequestCtx[8:]), rs.Index, max(now, rd.r.machine.applied.Time))
}

// endRounds ends the rounds whose answer is that to an attempt.
func (rd *reads) endRounds(id, index uint64, now int64) {
	mono := rd.r.host.cfg.Clock.Mono()
	for len(rd.rounds) > 0 && rd.rounds[0].first <= id {
		ended := rd.rounds[0]
		rd.rounds = slices.Delete(rd.rounds, 0, 1)
		rd.took = mono - ended.since
		rd.slow = max(rd.took, rd.slow-rd.slow/8)
		rd.r.host.meter.round.Add(rd.took, 1)
		for _, a := range ended.askers {
			rd.answer(a, index, now)
		}
		clear(ended.askers)
		rd.spare = append(rd.spare, ended.askers[:0])
	}
	rd.startRound()
}

// answer tells one who waited for a round.
func (rd *reads) answer(a asker, index uint64, now int64) {
	switch {
	case a.read != nil:
		a.read.Now = now
		rd.await(waiter{a.read, index})
	case a.batch != nil:
		if a.batch.Term == rd.r.term && rd.r.leading() {
			rd.r.leader.queue.answerBatch(a.batch)
		}
	default:
		rd.tell(a.node, a.id, index, now)
	}
}

// tell answers the round of a follower.
func (rd *reads) tell(node cluster.NodeID, id, index uint64, now int64) {
	rd.r.host.cfg.Links.Queue(node, peer.Control, kindReadTell, func(dst []byte) []byte {
		dst = be.AppendUint64(be.AppendUint64(dst, uint64(rd.r.id)), id)
		return be.AppendUint64(be.AppendUint64(dst, index), uint64(now))
	})
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
		rd.endRounds(id, index, now)
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
	for i := range rd.rounds {
		rd.rounds[i].askers = rd.expire(rd.rounds[i].askers)
	}
	rd.rounds = slices.DeleteFunc(rd.rounds, func(x round) bool { return len(x.askers) == 0 })
	rd.next = rd.expire(rd.next)
	if len(rd.rounds) > 0 && rd.r.ticks-rd.rounds[0].asked >= readRetryTicks && rd.attempt() {
		for i := range rd.rounds {
			rd.rounds[i].asked = rd.r.ticks
		}
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

// termChanged puts the readers of rounds on their way back in line; what
// only the leader of the old term could answer is dropped: the groups of its
// batches have been answered, and followers ask again.
func (rd *reads) termChanged() {
	var all []asker
	for _, x := range rd.rounds {
		all = append(all, x.askers...)
	}
	all = append(all, rd.next...)
	rd.rounds, rd.next = nil, nil
	for _, a := range all {
		if a.read != nil {
			rd.next = append(rd.next, a)
		}
	}
	rd.startRound()
}

// watch has somebody else asked if the oldest round takes longer than it is to.
func (rd *reads) watch() {
	if rd.armed {
		return
	}
	rd.armed = true
	if rd.timer == nil {
		rd.timer = time.AfterFunc(rd.patience(), func() { rd.r.loop.post(inLoop{rd.r, rd.impatient}) })
	} else {
		rd.timer.Reset(rd.patience())
	}
}

// patience is how long those have who are asked alone: some times what a slow round took of
// late, see patienceMin. Whom a leader does not ask is asked in the next tick anyway; beside one
// by way of whom a question goes nobody is asked.
func (rd *reads) patience() time.Duration {
	most := rd.r.host.cfg.Tick
	if rd.r.leader == nil {
		most *= readRetryTicks / 2
	}
	return min(max(4*rd.slow, patienceMin), most)
}

// impatient has others asked if the oldest round takes long.
func (rd *reads) impatient() {
	rd.armed = false
	if len(rd.rounds) == 0 {
		return
	}
	if left := rd.patience() - (rd.r.host.cfg.Clock.Mono() - rd.rounds[0].since); left > 0 {
		rd.armed = true
		rd.timer.Reset(left)
		return
	}
	rd.askOthers()
}

// askOthers has those asked who were not, if a round is on its way.
func (rd *reads) askOthers() {
	switch {
	case len(rd.rounds) == 0:
	case rd.r.leading() && rd.r.outbox.quickest.first != nil:
		rd.r.outbox.quickest.first = nil // all are asked
		rd.attempt()
	case rd.r.leader == nil && rd.passing.used:
		rd.passing.turn, rd.passing.until = rd.passing.turn+1, rd.r.ticks+passRestTicks
		rd.attempt()
	}
}
