package task

import (
	"bytes"
	"slices"

	"tutti/internal/keyspace"
)

// Of a queue in which many tasks wait the first ones lie far down in the store, where to
// look a row up costs several times what it costs to step to the next one. So a claim of
// many reads their rows together: tasks that were added one after the other lie beside
// each other.

// fetchMin is from how many tasks on that pays.
const fetchMin = 8

// fetched is the rows of a task in the applied state, as read for this batch.
type fetched struct{ state, payload []byte }

// fetch reads the rows of up to n tasks of a queue that are to be claimed next, and those
// of their payloads up to so many bytes.
func fetch(c *Change, q *Queue, l *lanes, n, size int) {
	for prio := prioMax; prio >= 0; prio-- {
		if q.first[prio] == 0 {
			continue
		}
		if _, ok := c.lead.peek(c.tx, l, q, uint8(prio)); !ok {
			continue
		}
		ln := &l.lane[prio]
		next := ln.page[ln.at:min(ln.at+n, len(ln.page))]
		if i := slices.IndexFunc(next, func(e entry) bool { return e.ref.Slot != next[0].ref.Slot }); i >= 0 {
			next = next[:i] // the others lie elsewhere
		}
		if len(next) < fetchMin {
			return
		}
		if _, known := l.fetched[next[0].ref]; !known {
			fetchAll(c, l, next, size)
		}
		return
	}
}

// fetchAll reads the rows of some tasks of one slot, which are in the order of their
// numbers, mostly.
func fetchAll(c *Change, l *lanes, next []entry, size int) {
	if l.fetched == nil {
		l.fetched = make(map[Ref]fetched, len(next))
	}
	states := newStepper(c, next[0].ref.Slot, kindState)
	defer states.close()
	payloads := newStepper(c, next[0].ref.Slot, kindHead)
	defer payloads.close()
	for _, e := range next {
		f := fetched{state: states.row(e.ref)}
		if size > 0 && f.state != nil {
			f.payload = payloads.row(e.ref)
			size -= len(f.payload)
		}
		l.fetched[e.ref] = f
	}
}

// stepper reads rows of one kind, in the order in which they lie.
type stepper struct {
	c    *Change
	kind byte
	it   keyspace.Iterator // nil: it has failed
	at   bool              // it stands at a row
	key  []byte
}

func newStepper(c *Change, slot uint16, kind byte) *stepper {
	s := &stepper{c: c, kind: kind}
	lower := prefix(nil, slot, kind)
	it, err := c.lead.state.Iter(lower, keyspace.PrefixEnd(nil, lower))
	if err != nil {
		c.tx.Fail(err)
		return s
	}
	s.it = it
	return s
}

// row returns a copy of the row of a task, nil if there is none.
func (s *stepper) row(ref Ref) []byte {
	if s.it == nil {
		return nil
	}
	s.key = numberRow(s.key[:0], s.kind, ref)
	if s.at {
		s.at = s.it.Next()
	}
	if !s.at || !bytes.Equal(s.it.Key(), s.key) {
		if s.at = s.it.SeekGE(s.key); !s.at || !bytes.Equal(s.it.Key(), s.key) {
			return nil
		}
	}
	return bytes.Clone(s.it.Value())
}

func (s *stepper) close() {
	if s.it == nil {
		return
	}
	if err := s.it.Close(); err != nil {
		s.c.tx.Fail(err)
	}
}

// loadReady is loadTask of a task that may have been fetched.
func loadReady(c *Change, l *lanes, ref Ref, queue []byte) *Task {
	f := l.fetched[ref]
	if f.state == nil || !c.tx.Owned(ref.Slot) {
		return loadTask(c.tx, ref, queue)
	}
	c.row = numberRow(c.row[:0], kindState, ref)
	val, ok := keyspace.GetOver(c.tx, c.row, f.state)
	if !ok {
		return nil
	}
	return taskOf(c.tx, ref, val, queue)
}

// loadClaimed is loadPayload of a task that may have been fetched.
func loadClaimed(c *Change, l *lanes, ref Ref) []byte {
	val := l.fetched[ref].payload
	if val == nil {
		payload, _ := loadPayload(c.tx, ref)
		return payload
	}
	c.row = numberRow(c.row[:0], kindHead, ref)
	val, ok := keyspace.GetOver(c.tx, c.row, val)
	if !ok {
		return nil
	}
	payload, _ := payloadOf(c.tx, val)
	return payload
}
