package task

import (
	"tutti/internal/keyspace"
)

// Change is what one command, or one step of the background, does to tasks. Whoever
// begins one ends it: only then is the row of the queue written.
type Change struct {
	rows
	lead *Lead
	now  int64

	q       *Queue // that was worked on last
	existed bool   // it had a row
}

// Begin begins a change by the leader that l remembers for.
func Begin(tx *keyspace.Tx, l *Lead) *Change {
	l.recheck(tx)
	return &Change{rows: rows{tx: tx}, lead: l, now: tx.Now}
}

// End writes what is not written yet.
func (c *Change) End() {
	q := c.q
	c.q = nil
	if q == nil {
		return
	}
	c.row = queueRow(c.row[:0], q.Name)
	switch {
	case !q.forgettable():
		c.val = q.Append(c.val[:0])
		c.tx.Put(c.row, c.val)
	case c.existed:
		c.tx.Delete(c.row)
	}
}

// queue returns the queue called name; nil: the transaction has failed.
func (c *Change) queue(name []byte) *Queue {
	if c.q != nil && string(c.q.Name) == string(name) {
		return c.q
	}
	c.End()
	q, existed := loadQueue(c.tx, name)
	c.q, c.existed = q, existed
	return q
}

// loadQueue reads a queue; one that has no row is empty. nil: the transaction has
// failed.
func loadQueue(tx *keyspace.Tx, name []byte) (q *Queue, exists bool) {
	if !tx.Owned(homeSlot(name)) {
		return nil, false
	}
	val, ok := tx.Get(queueRow(nil, name), nil)
	switch {
	case tx.Err() != nil:
		return nil, false
	case !ok:
		return &Queue{Name: name}, false
	}
	q, err := DecodeQueue(name, val)
	if err != nil {
		tx.Refuse(err)
		return nil, false
	}
	return q, true
}

// load reads a task and its queue; nil: there is none, or the transaction has
// failed. It is one of the queue that its id names, if that is not nil.
func (c *Change) load(ref Ref, queue []byte) (*Task, *Queue) {
	t := loadTask(c.tx, ref, queue)
	if t == nil {
		return nil, nil
	}
	q := c.queue(t.Queue)
	if q == nil {
		return nil, nil
	}
	return t, q
}

func loadTask(tx *keyspace.Tx, ref Ref, queue []byte) *Task {
	if !tx.Owned(ref.Slot) {
		return nil
	}
	val, ok := tx.Get(numberRow(nil, kindState, ref), nil)
	if !ok {
		return nil
	}
	return taskOf(tx, ref, val, queue)
}

// taskOf reads the row of a task.
func taskOf(tx *keyspace.Tx, ref Ref, val, queue []byte) *Task {
	t, err := DecodeTask(ref, val)
	if err != nil {
		tx.Refuse(err)
		return nil
	}
	if queue != nil && string(queue) != string(t.Queue) {
		return nil
	}
	return t
}

// enter notes that a task is in a state now.
func (q *Queue) enter(t *Task, s State) {
	t.State = s
	q.Now[s]++
}

// leave takes a task out of its state, with all rows that this has.
func (c *Change) leave(t *Task, q *Queue) {
	q.Now[t.State]--
	switch t.State {
	case Waiting:
		if t.Order != 0 {
			c.giveUpTurn(t)
		}
	case Scheduled:
		c.stopTimer(t, t.RunAt, timerRun)
	case Ready:
		c.delete(readyRow(c.row[:0], t.Queue, t.Prio, t.Order))
	case Running:
		c.lead.spans.ran(t, ms(c.now-t.Started))
		c.delete(numberRow(c.row[:0], kindClaim, t.Ref))
		if t.Times.Timeout != 0 {
			c.stopTimer(t, t.Times.Timeout, timerTimeout)
			t.Times.Timeout = 0
		}
		if q.Limit != 0 && q.Now[Ready] > 0 {
			c.signal(q)
		}
	case Done, Dead, Cancelled:
		c.stopTimer(t, t.Ended+t.kept(), timerKeep)
	}
	t.Order = 0
}

// advance brings a task that waits for no other one into the state that is due:
// scheduled, ready, or waiting for its turn.
func (c *Change) advance(t *Task, q *Queue) {
	switch {
	case t.RunAt > c.now:
		c.startTimer(t, t.RunAt, timerRun)
		q.enter(t, Scheduled)
	case len(t.Key) > 0 && !t.Admitted && !c.takeTurn(t, q):
		q.enter(t, Waiting)
	default:
		c.ready(t, q)
	}
}

func (c *Change) ready(t *Task, q *Queue) {
	t.RunAt = 0
	t.Order = c.lead.order(c.tx)
	c.putRef(readyRow(c.row[:0], t.Queue, t.Prio, t.Order), t.Ref)
	if q.first[t.Prio] == 0 {
		q.first[t.Prio] = t.Order
	}
	q.enter(t, Ready)
	c.lead.ready(t)
	c.signal(q)
}

func (c *Change) signal(q *Queue) {
	if c.tx.Awaited == nil {
		return
	}
	c.row = queueRow(c.row[:0], q.Name)
	c.tx.Signal(c.row)
}

// kept is for how long the record of a task is kept once it has ended.
func (t *Task) kept() int64 {
	if t.State == Done {
		return t.Keep
	}
	return t.KeepFailed
}

// end ends a task that has been left: it is final, and saved.
func (c *Change) end(t *Task, q *Queue, s State) {
	if t.Expires != 0 {
		c.stopTimer(t, t.Expires, timerExpiry)
		t.Expires = 0
	}
	if len(t.Unique) > 0 {
		c.forgetUnique(t)
	}
	if t.Admitted {
		t.Admitted = false
		c.passTurn(t, q)
	}
	t.Ended, t.RunAt, t.Deps = c.now, 0, 0
	q.Bytes -= uint64(t.Size)
	switch s {
	case Done:
		q.Totals.Done++
	case Dead:
		q.Totals.Dead++
	case Cancelled:
		q.Totals.Cancelled++
	}
	if t.Children > 0 {
		c.row = numberRow(c.row[:0], kindOutbox, t.Ref)
		c.tx.Put(c.row, []byte{version, byte(s)})
		t.Children = 0
	}
	q.enter(t, s)
	if t.kept() > 0 {
		c.startTimer(t, t.Ended+t.kept(), timerKeep)
		c.save(t)
	} else {
		q.Now[s]--
		c.erase(t)
	}
	if c.tx.Awaited != nil {
		c.tx.Signal(Topic(t.Ref))
	}
}

// forgetUnique lets another task have the unique key of one that ended. Another one
// may have it already if this one had been taken up again without it.
func (c *Change) forgetUnique(t *Task) {
	if ref, ok := c.unique(t.Queue, t.Unique); ok && ref == t.Ref {
		c.delete(uniqueRow(c.row[:0], t.Queue, t.Unique))
	}
}
