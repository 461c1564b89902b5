package task

import (
	"slices"
	"time"

	"tutti/internal/keyspace"
)

// Lead is what the leader of a shard remembers of tasks in one term: which are
// ready, since when workers are silent, when the next timer is due. It is learned
// from batches that were applied, and from the applied state, and decides nothing
// that rows do not say. It belongs to the loop of its replica.
//
// One batch is evaluated at a time. What it does beside its rows is kept apart, to
// be forgotten when the next one begins: it may be taken back, or never be applied.
type Lead struct {
	term  uint64
	seq   uint64 // of tokens
	state keyspace.Reader
	mono  time.Duration // of this batch

	queues map[string]*lanes
	waking []*lanes // queues whose rate those who wait are waiting for
	leases leases
	timers timers
	outbox []Ref // tasks that ended and for which others wait, oldest first

	raises  []raise
	reports reports
	meter   *Meter
	moments moments
	tallies tallies

	orders    uint64 // given in this batch
	rollbacks int    // that were seen in this batch
	touched   []*lanes
	stopping  []*Task  // taken from their workers in this batch
	spans     spans    // of this batch
	busy      []uint16 // slots whose timers this batch works off
}

// queuesMax bounds the queues that are remembered. Beyond it all are forgotten, and
// learned anew as they are needed.
const queuesMax = 10_000

// tokenSeqBits are those of a token that count the claims of a term.
const tokenSeqBits = 40

// NewLead returns the memory of a leader that begins. It tells m, if that is not nil,
// how long tasks took.
func NewLead(m *Meter) *Lead {
	return &Lead{
		queues: make(map[string]*lanes), leases: newLeases(), timers: timers{first: make(map[uint16]int64)},
		tallies: newTallies(), reports: newReports(), meter: m, spans: make(spans),
	}
}

// Forget forgets all that is learned from rows: some may have been another leader's
// meanwhile. What is found in the state anew is to be restored. No batch may be under
// way.
func (l *Lead) Forget() {
	fresh := NewLead(l.meter)
	fresh.term, fresh.seq, fresh.moments = l.term, l.seq, l.moments
	*l = *fresh
}

// Batch is to be called before a batch is evaluated over an applied state, in the
// leader's term, at a time of its monotonic clock.
func (l *Lead) Batch(state keyspace.Reader, term uint64, mono time.Duration) {
	l.state, l.term, l.mono = state, term, mono
	l.orders, l.rollbacks = 0, 0
	for _, q := range l.touched {
		q.reset()
	}
	l.touched = l.touched[:0]
	clear(l.spans)
	l.reports.batch = l.reports.batch[:0]
	clear(l.stopping)
	l.stopping = l.stopping[:0]
	if len(l.queues) > queuesMax {
		clear(l.queues)
	}
}

// recheck looks whether something was taken back in this batch: then tasks that were
// claimed may be ready again.
func (l *Lead) recheck(tx *keyspace.Tx) {
	if n := tx.Rollbacks(); n != l.rollbacks {
		l.rollbacks = n
		for _, q := range l.touched {
			q.rewind()
		}
	}
}

// order returns the next place in lists of the batch.
func (l *Lead) order(tx *keyspace.Tx) uint64 {
	l.orders++
	return tx.Index<<orderBits | l.orders
}

// orderBits are those of an order that count within a batch.
const orderBits = 20

func (l *Lead) token() uint64 {
	l.seq++
	return l.term<<tokenSeqBits | l.seq
}

// lanes returns what is remembered of a queue, for use in this batch.
func (l *Lead) lanes(queue []byte) *lanes {
	q := l.queues[string(queue)]
	if q == nil {
		q = &lanes{name: string(queue), filled: l.mono}
		l.queues[string(queue)] = q
	}
	if !q.touched {
		q.touched = true
		l.touched = append(l.touched, q)
	}
	return q
}

// ready notes that a task has become ready in this batch.
func (l *Lead) ready(t *Task) {
	ln := &l.lanes(t.Queue).lane[t.Prio]
	ln.added = append(ln.added, entry{t.Order, t.Ref})
}

// peek returns the next candidate of a priority, which may have been claimed in this
// batch already.
func (l *Lead) peek(tx *keyspace.Tx, ls *lanes, q *Queue, prio uint8) (entry, bool) {
	ln := &ls.lane[prio]
	if !ln.loaded {
		ln.loaded, ln.more, ln.last = true, true, max(q.first[prio], 1)-1
	}
	if ln.at == len(ln.page) && ln.more {
		if err := ln.fill(l.state, q.Name, prio); err != nil {
			tx.Fail(err)
			return entry{}, false
		}
	}
	switch {
	case ln.at < len(ln.page):
		return ln.page[ln.at], true
	case ln.addedAt < len(ln.added):
		return ln.added[ln.addedAt], true
	}
	return entry{}, false
}

// allowed reports whether the queue's rate lets another task be claimed now.
func (l *Lead) allowed(ls *lanes, q *Queue) bool {
	if q.Rate == 0 {
		return true
	}
	ls.refill(q.Rate, l.mono)
	if ls.bucket-float64(ls.taken) >= 1 {
		return true
	}
	if ls.wake == 0 {
		l.waking = append(l.waking, ls)
	}
	ls.wake = l.mono + time.Duration(float64(time.Second)*(1+float64(ls.taken)-ls.bucket)/float64(q.Rate))
	return false
}

// heard notes a sign of life of a worker.
func (l *Lead) heard(worker []byte) {
	if w := l.leases.workers[string(worker)]; w != nil {
		w.heard = l.mono
	}
}

// waited notes how long a task that is claimed has been ready.
func (l *Lead) waited(t *Task, tx *keyspace.Tx) {
	at, ok := tx.Now, t.Order>>orderBits == tx.Index // it became ready in this batch
	if !ok {
		at, ok = l.moments.of(t.Order)
	}
	if ok {
		l.spans.waited(t, ms(max(0, tx.Now-at)))
	}
}

// stop notes that a task is to be taken from its worker.
func (l *Lead) stop(t *Task) { l.stopping = append(l.stopping, t) }

// Stop is a task that its worker need not go on with.
type Stop struct {
	Queue []byte
	Ref
}

func (l *Lead) beat(worker []byte) []Stop {
	w := l.leases.workers[string(worker)]
	if w == nil {
		return nil
	}
	w.heard = l.mono
	return w.told(l.mono)
}

// Applied learns from a batch that is applied now. Its transaction is the one that
// was evaluated last; wrote says that it wrote rows of tasks.
func (l *Lead) Applied(tx *keyspace.Tx, wrote bool) {
	for _, q := range l.touched {
		q.bucket -= float64(q.taken)
		q.taken = 0
	}
	if l.orders > 0 || len(l.moments.list) == 0 {
		l.moments.note(tx.Index, tx.Now)
	}
	l.reports.applied(l.mono)
	if wrote {
		tx.Effects(l.put, l.delete)
	}
	for _, t := range l.stopping {
		l.leases.stop(t, l.mono)
	}
}

func (l *Lead) put(row, val []byte) {
	slot, rest, ok := keyspace.TaskRow(row)
	if !ok {
		return
	}
	switch rest[0] {
	case kindReady:
		if ln, order := l.laneOf(rest); ln != nil {
			if ref, err := refIn(val); err == nil {
				ln.append(entry{order, ref})
			}
		}
	case kindClaim:
		if lease, worker, ok := decodeClaim(val); ok {
			ref := Ref{slot, be.Uint64(rest[1:])}
			l.leases.add(ref, worker, lease, l.mono)
			l.meter.applied(l.spans, ref)
			l.reports.forget(ref)
		}
	case kindQueue:
		l.tallies.put(rest[1:], val)
	case kindTimer:
		if t, ok := timerOf(row); ok {
			l.timers.add(slot, t.due)
		}
	case kindOutbox:
		l.outbox = append(l.outbox, Ref{slot, be.Uint64(rest[1:])})
	}
}

func (l *Lead) delete(row []byte) {
	slot, rest, ok := keyspace.TaskRow(row)
	if !ok {
		return
	}
	switch rest[0] {
	case kindReady:
		if ln, order := l.laneOf(rest); ln != nil {
			ln.remove(order)
		}
	case kindClaim:
		ref := Ref{slot, be.Uint64(rest[1:])}
		l.leases.remove(ref)
		l.meter.applied(l.spans, ref)
		l.reports.forget(ref)
	case kindOutbox:
		if i := slices.Index(l.outbox, Ref{slot, be.Uint64(rest[1:])}); i >= 0 {
			l.outbox = slices.Delete(l.outbox, i, i+1)
		}
	case kindQueue:
		delete(l.queues, string(rest[1:]))
		l.tallies.delete(rest[1:])
	}
}

// laneOf finds the lane of a ready row, if it is remembered.
func (l *Lead) laneOf(rest []byte) (*lane, uint64) {
	n := 2 + int(rest[1])
	q := l.queues[string(rest[2:n])]
	if q == nil {
		return nil, 0
	}
	return &q.lane[prioMax-rest[n]], be.Uint64(rest[n+1:])
}
