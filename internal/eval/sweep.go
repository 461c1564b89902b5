package eval

import (
	"container/heap"
	"time"

	"tutti/internal/cluster"
	"tutti/internal/keyspace"
	"tutti/internal/store"
	"tutti/internal/task"
)

// Sweep is the leader's background work on its shard: it removes keys whose
// deadline has passed and rows of what was deleted in one stroke. It works in
// batches like any other write, so replicas agree on when a key is gone.
type Sweep struct {
	deadlines deadlines
	first     map[uint16]int64 // slot -> its earliest deadline in the heap
	trash     []trashed
	purge     int      // slot where purging the oldest flushed database goes on
	busy      []uint16 // slots swept in the batch in flight
	purged    int      // where purge goes on if the batch in flight is applied
	tasks     *task.Lead
}

type trashed struct {
	slot uint16
	id   uint64
}

const (
	// sweepKeysMax and purgeRowsMax bound the work of one batch, sweepAlone is how
	// many times as much it may be in one that nobody waits for, as whoever comes
	// meanwhile waits for it: a hundred thousand keys a second at most.
	sweepKeysMax = 256
	purgeRowsMax = 512
	sweepAlone   = 4
)

// NewSweep returns a sweep that has nothing to do yet but what time asks for of tasks.
func NewSweep(c *Core) *Sweep {
	return &Sweep{first: make(map[uint16]int64), tasks: c.tasks}
}

// Found is the work that a state holds.
type Found struct {
	deadlines []deadline
	trash     []trashed
	tasks     task.Found
}

// Find looks through the state of a view for work, which takes long.
func Find(v *store.View) (f Found, err error) {
	err = keyspace.Pending(v, v.Owned.Slots.First, v.Owned.Slots.End,
		func(slot uint16, t int64) { f.deadlines = append(f.deadlines, deadline{slot, t}) },
		func(slot uint16, id uint64) { f.trash = append(f.trash, trashed{slot, id}) })
	if err != nil {
		return f, err
	}
	f.tasks, err = task.Find(v, v.Owned.Slots.First, v.Owned.Slots.End)
	return f, err
}

// Add takes over work that was found, at a time of the monotonic clock.
func (s *Sweep) Add(f Found, mono time.Duration) {
	s.tasks.Restore(f.tasks, mono)
	for _, d := range f.deadlines {
		s.add(d.slot, d.t)
	}
	s.trash = append(s.trash, f.trash...)
}

func (s *Sweep) add(slot uint16, t int64) {
	if old, ok := s.first[slot]; ok && old <= t {
		return
	}
	s.first[slot] = t
	heap.Push(&s.deadlines, deadline{slot, t})
}

// Garbage reports whether there are rows to be removed, of collections or of
// flushed databases, at any time.
func (s *Sweep) Garbage(flushed []uint32) bool { return len(s.trash) > 0 || len(flushed) > 0 }

// Next is the earliest deadline; ok is false if there is none.
func (s *Sweep) Next() (t int64, ok bool) {
	if len(s.deadlines) == 0 {
		return 0, false
	}
	return s.deadlines[0].t, true
}

// TasksDue reports whether time asks for something of tasks.
func (s *Sweep) TasksDue(now func() (int64, bool), mono time.Duration) bool {
	return s.tasks.Due(now, mono)
}

// Step does a part of the work inside of a batch at time now, in the slots that
// the shard owns; alone says that nothing else is in the batch. The next call of Wrote,
// Swept or Dropped says what became of it.
func (s *Sweep) Step(tx *keyspace.Tx, now int64, slots cluster.SlotRange, flushed []uint32, alone bool) {
	keys, rows := sweepKeysMax, purgeRowsMax
	if alone {
		keys, rows = sweepAlone*keys, sweepAlone*rows
	}
	s.tasks.Step(tx)
	s.expire(tx, now, keys)
	if len(s.trash) > 0 {
		if _, later := tx.PurgeTrash(s.trash[0].slot, s.trash[0].id, rows); later != nil {
			tx.ReportRow(later)
			s.trash = s.trash[1:] // for a leader that knows it
		}
	}
	if len(flushed) > 0 && !tx.DatabasesChanged() {
		next, done := tx.PurgeDatabase(flushed[0], max(s.purge, slots.First), slots.End, keys)
		if s.purged = next; done {
			s.purged = 0
			tx.SetDatabases(tx.Databases.Purged(flushed[0]))
		}
	}
}

func (s *Sweep) expire(tx *keyspace.Tx, now int64, most int) {
	n := 0
	for len(s.deadlines) > 0 && s.deadlines[0].t <= now && n < most {
		d := heap.Pop(&s.deadlines).(deadline)
		if s.first[d.slot] != d.t {
			continue // superseded
		}
		delete(s.first, d.slot)
		n += max(1, tx.Expire(d.slot, most-n))
		s.busy = append(s.busy, d.slot)
	}
}

// Wrote learns from a batch that is applied now, in state.
func (s *Sweep) Wrote(b *Batch, state keyspace.Reader) error {
	for _, d := range b.rows.deadlines {
		s.add(d.slot, d.t)
	}
	s.trash = append(s.trash, b.rows.trash...)
	return s.Swept(state)
}

// Dropped takes back what the last step did: its effects will not be applied.
func (s *Sweep) Dropped(state keyspace.Reader) error {
	s.purged = s.purge
	return s.Swept(state)
}

// Swept looks again at what the last step worked on, now that its effects are
// in state (or that it had none).
func (s *Sweep) Swept(state keyspace.Reader) error {
	s.purge = s.purged
	for _, slot := range s.busy {
		t, ok, err := keyspace.NextDeadline(state, slot)
		if err != nil {
			return err
		}
		if ok {
			s.add(slot, t)
		}
	}
	s.busy = s.busy[:0]
	if len(s.trash) > 0 {
		_, ok, err := state.Get(keyspace.TrashRow(s.trash[0].slot, s.trash[0].id), nil)
		if err != nil {
			return err
		}
		if !ok {
			s.trash = s.trash[1:]
		}
	}
	return s.tasks.Settle(state)
}

type deadline struct {
	slot uint16
	t    int64
}

// deadlines is a heap by time.
type deadlines []deadline

func (h deadlines) Len() int           { return len(h) }
func (h deadlines) Less(i, j int) bool { return h[i].t < h[j].t }
func (h deadlines) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *deadlines) Push(x any)        { *h = append(*h, x.(deadline)) }
func (h *deadlines) Pop() any {
	old := *h
	d := old[len(old)-1]
	*h = old[:len(old)-1]
	return d
}
