package task

import (
	"errors"
	"fmt"

	"tutti/internal/keyspace"
)

// Addition is what TASK.ADD asks for: tasks that differ in nothing but payload.
type Addition struct {
	Queue    []byte
	Payloads [][]byte
	Near     []byte // nil: where the queue is
	RunAt    int64  // 0: now
	After    []Parent
	Options
}

// Parent is a task that must be done first.
type Parent struct {
	ID    []byte
	Queue []byte
	Ref
}

// BusyError says that a queue has as much as it may have.
type BusyError struct {
	Queue []byte
	What  string
}

// Error begins with the code that clients see.
func (e *BusyError) Error() string {
	return fmt.Sprintf("BUSY queue %.128q has %s. Not applied, safe to retry later.", e.Queue, e.What)
}

var errFailed = errors.New("the transaction has failed")

// Add adds tasks and returns where they are. With a unique key that a task has that
// has not ended, it returns that one.
func (c *Change) Add(a *Addition) ([]Ref, error) {
	q := c.queue(a.Queue)
	if q == nil {
		return nil, errFailed
	}
	if len(a.Unique) > 0 {
		if ref, ok := c.unique(a.Queue, a.Unique); ok || c.tx.Err() != nil {
			return []Ref{ref}, nil
		}
	}
	size := uint64(0)
	for _, p := range a.Payloads {
		size += uint64(len(p))
	}
	if err := q.room(uint64(len(a.Payloads)), size); err != nil {
		return nil, err
	}
	slot := homeSlot(a.Queue)
	if a.Near != nil {
		slot = keyspace.Slot(a.Near)
	}
	if !c.tx.Owned(slot) {
		return nil, errFailed
	}
	refs := make([]Ref, len(a.Payloads))
	for i := range refs {
		refs[i] = Ref{slot, c.tx.NewID()}
	}
	wait, failed := c.await(a.After, refs)
	for i, p := range a.Payloads {
		c.add(a, q, refs[i], p, wait, failed)
	}
	return refs, nil
}

// room says whether so many more tasks and bytes may be open.
func (q *Queue) room(n, size uint64) error {
	switch {
	case q.Open()+n > q.MaxLenSet():
		return &BusyError{q.Name, fmt.Sprintf("%d of at most %d tasks that have not ended", q.Open(), q.MaxLenSet())}
	case q.Bytes+size > q.MaxBytesSet():
		return &BusyError{q.Name, fmt.Sprintf("payloads of %d of at most %d bytes", q.Bytes, q.MaxBytesSet())}
	}
	return nil
}

func (c *Change) add(a *Addition, q *Queue, ref Ref, payload []byte, wait uint32, failed string) {
	t := &Task{Ref: ref, Queue: a.Queue, Options: a.Options, Size: uint32(len(payload)), Deps: wait}
	t.Added, t.RunAt = c.now, a.RunAt
	c.row = numberRow(c.row[:0], kindHead, ref)
	c.val = append(append(c.val[:0], version), payload...)
	c.tx.Put(c.row, c.val)
	if ref.Slot != homeSlot(a.Queue) {
		c.row = nearRow(c.row[:0], a.Queue, ref)
		c.tx.Put(c.row, []byte{version})
	}
	q.Added++
	c.open(t, q)
	switch {
	case failed != "":
		t.note([]byte(failed))
		c.end(t, q, Dead)
		return
	case wait > 0:
		q.enter(t, Waiting)
	default:
		c.advance(t, q)
	}
	c.save(t)
}

// open gives a task what it has as long as it has not ended.
func (c *Change) open(t *Task, q *Queue) {
	q.Bytes += uint64(t.Size)
	if len(t.Unique) > 0 {
		c.putRef(uniqueRow(c.row[:0], t.Queue, t.Unique), t.Ref)
	}
	if t.TTL > 0 {
		t.Expires = c.now + t.TTL
		c.startTimer(t, t.Expires, timerExpiry)
	}
}

// await makes tasks wait for parents, and says for how many; or why they never can.
func (c *Change) await(parents []Parent, children []Ref) (wait uint32, failed string) {
	var open []*Task
	seen := make(map[Ref]bool, len(parents))
	for _, p := range parents {
		if seen[p.Ref] {
			continue
		}
		seen[p.Ref] = true
		switch t := loadTask(c.tx, p.Ref, p.Queue); {
		case t == nil:
			return 0, fmt.Sprintf("AFTER %s: there is no such task, or it is not kept any more", p.ID)
		case t.State == Done:
		case t.State.Ended():
			return 0, fmt.Sprintf("AFTER %s: it ended %s", p.ID, t.State)
		default:
			open = append(open, t)
		}
	}
	for _, t := range open {
		for _, child := range children {
			c.row = childRow(c.row[:0], t.Ref, child)
			c.tx.Put(c.row, []byte{version})
		}
		t.Children += uint32(len(children))
		c.save(t)
	}
	return uint32(len(open)), ""
}
