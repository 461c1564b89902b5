package task

import (
	"container/heap"
	"fmt"
	"slices"
	"time"

	"tutti/internal/keyspace"
)

// What time asks for is done in steps inside of batches: timers by shard time,
// leases by the monotonic clock of the leader, and the children of tasks that ended.

// stepMax bounds the tasks of each kind that one step works on.
const stepMax = 256

// Found is what a new leader has to know of a state that may be far from its first
// rows.
type Found struct {
	claims []foundClaim
	timers []timer // the first of each slot
	outbox []Ref
	queues []foundQueue
}

type foundClaim struct {
	ref    Ref
	worker []byte
	lease  time.Duration
}

// Find looks through the slots [first, end) of a state, which takes long.
func Find(r keyspace.Reader, first, end int) (f Found, err error) {
	it, err := r.Iter(keyspace.SlotPrefix(nil, first), keyspace.SlotPrefix(nil, end))
	if err != nil {
		return f, err
	}
	for ok := it.First(); ok; {
		slot := be.Uint16(it.Key()[1:])
		for ok = it.SeekGE(prefix(nil, slot, kindClaim)); ok && isKind(it.Key(), slot, kindClaim); ok = it.Next() {
			if lease, worker, is := decodeClaim(it.Value()); is && len(it.Key()) == numberRowLen {
				f.claims = append(f.claims, foundClaim{Ref{slot, be.Uint64(it.Key()[prefixLen:])}, append([]byte(nil), worker...), lease})
			}
		}
		if ok && isTask(it.Key(), slot) {
			for ok = it.SeekGE(prefix(nil, slot, kindTimer)); ok && isKind(it.Key(), slot, kindTimer); ok = it.Next() {
				if t, is := timerOf(it.Key()); is {
					f.timers = append(f.timers, t)
					break
				}
			}
			for ok = it.SeekGE(prefix(nil, slot, kindOutbox)); ok && isKind(it.Key(), slot, kindOutbox); ok = it.Next() {
				if len(it.Key()) == numberRowLen {
					f.outbox = append(f.outbox, Ref{slot, be.Uint64(it.Key()[prefixLen:])})
				}
			}
		}
		if ok && isTask(it.Key(), slot) {
			for ok = it.SeekGE(prefix(nil, slot, kindQueue)); ok && isKind(it.Key(), slot, kindQueue) && len(f.queues) < talliesMax; ok = it.Next() {
				f.queues = append(f.queues, foundQueue{string(it.Key()[prefixLen:]), append([]byte(nil), it.Value()...)})
			}
		}
		ok = it.SeekGE(keyspace.SlotPrefix(nil, int(slot)+1))
	}
	return f, it.Close()
}

func isTask(row []byte, slot uint16) bool {
	s, _, ok := keyspace.TaskRow(row)
	return ok && s == slot
}

func isKind(row []byte, slot uint16, kind byte) bool {
	s, rest, ok := keyspace.TaskRow(row)
	return ok && s == slot && rest[0] == kind
}

// Restore takes over what was found. What was learned since is newer.
func (l *Lead) Restore(f Found, mono time.Duration) {
	for _, c := range f.claims {
		l.leases.restore(c, mono)
	}
	for _, t := range f.timers {
		l.timers.add(t.ref.Slot, t.due)
	}
	l.tallies.restore(f.queues)
	for _, found := range f.queues { // an earlier leader may not have come to the end
		if q, err := DecodeQueue([]byte(found.name), found.val); err == nil && q.KeyLimit > 1 && q.Now[Waiting] > 0 {
			l.raised(q.Name)
		}
	}
	known := make(map[Ref]bool, len(l.outbox))
	for _, ref := range l.outbox {
		known[ref] = true
	}
	for _, ref := range f.outbox {
		if !known[ref] {
			l.outbox = append(l.outbox, ref)
		}
	}
}

// Due reports whether there is something to do at a shard time and a time of the
// monotonic clock. The shard time is asked for only if it matters.
func (l *Lead) Due(now func() (int64, bool), mono time.Duration) bool {
	if len(l.outbox) > 0 || len(l.raises) > 0 {
		return true
	}
	if t, ok := l.leases.next(); ok && t <= mono || l.reports.due != 0 && l.reports.due <= mono {
		return true
	}
	for _, q := range l.waking {
		if q.wake <= mono {
			return true
		}
	}
	if len(l.timers.heap) == 0 {
		return false
	}
	t, ok := now()
	return ok && l.timers.heap[0].due <= t
}

// Step does a part of what is due, inside of a batch. The next call of Settle says
// that the batch has been applied, or not.
func (l *Lead) Step(tx *keyspace.Tx) {
	c := step{Begin(tx, l)}
	c.dueTimers()
	c.children()
	c.lostWorkers()
	c.raisedLimits()
	c.lateReports()
	c.End()
	l.wake(tx)
}

// wake tells those who wait for queues whose rate allows another claim.
func (l *Lead) wake(tx *keyspace.Tx) {
	l.waking = slices.DeleteFunc(l.waking, func(q *lanes) bool {
		if q.wake > l.mono {
			return false
		}
		q.wake = 0
		tx.Signal(QueueTopic([]byte(q.name)))
		return true
	})
}

// Settle looks again at what the last step worked on, in the applied state.
func (l *Lead) Settle(state keyspace.Reader) error {
	for _, slot := range l.busy {
		lower := prefix(nil, slot, kindTimer)
		it, err := state.Iter(lower, keyspace.PrefixEnd(nil, lower))
		if err != nil {
			return err
		}
		for ok := it.First(); ok; ok = it.Next() {
			if t, is := timerOf(it.Key()); is {
				l.timers.add(slot, t.due)
				break
			}
		}
		if err := it.Close(); err != nil {
			return err
		}
	}
	l.busy = l.busy[:0]
	return nil
}

// step is a change that time asks for.
type step struct{ *Change }

// guarded does something about one task. If a row of it can't be read, nothing of
// that is done but what otherwise does: it is not to be met again and again.
func (c step) guarded(do, otherwise func()) {
	c.End() // what was done before stays
	mark := c.tx.Mark()
	defer c.tx.Release(mark)
	do()
	c.End()
	bad, foreign := c.tx.TakeRowError(), c.tx.TakeForeign()
	if bad == nil && !foreign {
		return
	}
	c.q = nil
	c.tx.Rollback(mark)
	if bad != nil {
		c.tx.ReportRow(bad)
		otherwise()
	}
}

func (c step) dueTimers() {
	l, n := c.lead, 0
	for len(l.timers.heap) > 0 && l.timers.heap[0].due <= c.now && n < stepMax {
		slot, ok := l.timers.pop()
		if !ok {
			continue
		}
		l.busy = append(l.busy, slot)
		for _, t := range c.timersOf(slot, stepMax-n) {
			n++
			remove := func() { c.delete(timerRow(c.row[:0], t.ref, t.due, t.kind)) }
			c.guarded(func() { remove(); c.fire(t) }, remove)
		}
		n++
	}
}

// timersOf lists the timers of a slot that are due.
func (c step) timersOf(slot uint16, n int) (due []timer) {
	lower := prefix(nil, slot, kindTimer)
	it := c.tx.Iter(lower, keyspace.PrefixEnd(nil, lower))
	defer it.Close()
	for ok := it.First(); ok && len(due) < n; ok = it.Next() {
		t, whole := timerOf(it.Key())
		if !whole {
			continue // no version writes that, so it is nobody's
		}
		if t.due > c.now {
			break
		}
		due = append(due, t)
	}
	return due
}

// fire does what a timer is for, if it still is the task's.
func (c step) fire(tm timer) {
	t, q := c.load(tm.ref, nil)
	if t == nil {
		return
	}
	switch tm.kind {
	case timerRun:
		if t.State == Scheduled && t.RunAt == tm.due {
			c.leave(t, q)
			c.advance(t, q)
			c.save(t)
		}
	case timerTimeout:
		if t.State == Running && t.Times.Timeout == tm.due {
			c.lead.stop(t)
			c.leave(t, q)
			c.fail(t, q, Failure{Text: fmt.Appendf(nil, "timed out after %d ms", t.Options.Timeout), Wait: -1})
		}
	case timerExpiry:
		switch {
		case t.Expires != tm.due:
		case t.State == Running: // it may finish; there will be no other attempt
		default:
			c.leave(t, q)
			t.Expires = 0
			t.note([]byte("it was not running within its TTL"))
			c.end(t, q, Dead)
		}
	case timerKeep:
		if t.State.Ended() && t.Ended+t.kept() == tm.due {
			q.Now[t.State]--
			c.erase(t)
		}
	}
}

// children tells tasks of the end of those that they wait for: many parents in one
// step, since a task may wait for many that end together.
func (c step) children() {
	l, n := c.lead, 0
	kept := l.outbox[:0]
	for i, parent := range l.outbox {
		if n >= stepMax {
			kept = append(kept, l.outbox[i:]...)
			break
		}
		told, gone := c.tell(parent, stepMax-n)
		n += 1 + told
		if !gone {
			kept = append(kept, parent)
		}
	}
	l.outbox = kept
}

// tell tells up to n children of the end of their parent. It reports how many it told,
// and whether the parent's row is gone from the applied state: until then what was
// done here may never be applied.
func (c step) tell(parent Ref, n int) (told int, gone bool) {
	row := numberRow(nil, kindOutbox, parent)
	val, ok := c.tx.Get(row, nil)
	if !ok {
		return 0, c.isGone(row)
	}
	lower := childPrefix(nil, parent)
	it := c.tx.Iter(lower, keyspace.PrefixEnd(nil, lower))
	var children []Ref
	for ok := it.First(); ok && len(children) < n; ok = it.Next() {
		if len(it.Key()) == len(lower)+refLen {
			children = append(children, refOf(it.Key()[len(lower):]))
		}
	}
	it.Close()
	how := Dead
	if len(val) == 2 && val[0] == version {
		how = State(val[1])
	}
	for _, child := range children {
		remove := func() { c.delete(childRow(c.row[:0], parent, child)) }
		c.guarded(func() { remove(); c.parentEnded(child, parent, how) }, remove)
	}
	if len(children) < n {
		c.delete(row)
	}
	return len(children), false
}

// isGone reports whether the applied state lacks a row.
func (c step) isGone(row []byte) bool {
	_, ok, err := c.lead.state.Get(row, nil)
	if err != nil {
		c.tx.Fail(err)
	}
	return !ok && err == nil
}

func (c step) parentEnded(child, parent Ref, how State) {
	t, q := c.load(child, nil)
	if t == nil || t.State != Waiting || t.Deps == 0 {
		return
	}
	if how != Done {
		c.leave(t, q)
		t.note(fmt.Appendf(nil, "task %s that it waits for ended %s", c.nameOf(parent), how))
		c.end(t, q, Dead)
		return
	}
	if t.Deps--; t.Deps == 0 {
		c.leave(t, q)
		c.advance(t, q)
	}
	c.save(t)
}

// nameOf is the id of a task, or, if it is not kept any more and so nobody knows its
// queue, where it lay.
func (c step) nameOf(ref Ref) []byte {
	if t := loadTask(c.tx, ref, nil); t != nil {
		return AppendID(nil, t.Queue, ref)
	}
	return fmt.Appendf(nil, "%d in slot %d, not kept any more,", ref.Number, ref.Slot)
}

// lostWorkers takes claims from a worker whose lease has ended.
func (c step) lostWorkers() {
	l := c.lead
	w := l.leases.expired(l.mono)
	if w == nil {
		return
	}
	why := fmt.Appendf(nil, "worker %.128q was silent for its lease of %v", w.name, w.lease)
	for _, ref := range w.some(stepMax) {
		row := numberRow(nil, kindClaim, ref)
		val, ok := c.tx.Get(row, nil)
		if _, worker, whole := decodeClaim(val); !ok || whole && string(worker) != w.name {
			c.forgetClaim(w, ref, row)
			continue
		}
		remove := func() { c.delete(row) }
		c.guarded(func() {
			t, q := c.load(ref, nil)
			if t == nil || t.State != Running {
				remove()
				return
			}
			l.stop(t)
			c.crash(t, q, string(why))
		}, remove)
	}
}

// forgetClaim forgets a claim that the applied state has not.
func (c step) forgetClaim(w *worker, ref Ref, row []byte) {
	val, ok, err := c.lead.state.Get(row, nil)
	if err != nil {
		c.tx.Fail(err)
		return
	}
	if _, worker, whole := decodeClaim(val); !ok || whole && string(worker) != w.name {
		c.lead.leases.remove(ref)
	}
}

// timers is a heap of the first timer of each slot.
type timers struct {
	heap  dues
	first map[uint16]int64
}

func (t *timers) add(slot uint16, due int64) {
	if old, ok := t.first[slot]; ok && old <= due {
		return
	}
	t.first[slot] = due
	heap.Push(&t.heap, slotDue{slot, due})
}

// pop takes out the earliest; ok is false if it was superseded by an earlier one.
func (t *timers) pop() (slot uint16, ok bool) {
	d := heap.Pop(&t.heap).(slotDue)
	if t.first[d.slot] != d.due {
		return 0, false
	}
	delete(t.first, d.slot)
	return d.slot, true
}

type slotDue struct {
	slot uint16
	due  int64
}

// dues is a heap by time.
type dues []slotDue

func (h dues) Len() int           { return len(h) }
func (h dues) Less(i, j int) bool { return h[i].due < h[j].due }
func (h dues) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *dues) Push(x any)        { *h = append(*h, x.(slotDue)) }
func (h *dues) Pop() any {
	old := *h
	d := old[len(old)-1]
	*h = old[:len(old)-1]
	return d
}
