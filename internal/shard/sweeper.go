package shard

import (
	"container/heap"
	"time"

	"tutti/internal/keyspace"
)

// sweeper is the leader's background work on its shard: it removes keys whose
// deadline has passed and rows of what was deleted in one stroke. It works in
// batches like any other write, so replicas agree on when a key is gone.
type sweeper struct {
	r         *Replica
	deadlines deadlines
	first     map[uint16]int64 // slot -> its earliest deadline in the heap
	trash     []trashed
	purge     int           // slot where purging the oldest flushed database goes on
	last      time.Duration // when it last took part in a batch
	busy      []uint16      // slots swept in the batch in flight
	purged    int           // where purge goes on if the batch in flight is applied
}

type trashed struct {
	slot uint16
	id   uint64
}

const (
	// sweepEvery bounds how often background work alone makes an entry.
	sweepEvery = 10 * time.Millisecond
	// sweepKeysMax and purgeRowsMax bound the work of one batch.
	sweepKeysMax = 256
	purgeRowsMax = 512
)

// newSweeper starts with nothing to do and learns in the background what the
// state holds: building the heap must not delay a new leader.
func newSweeper(r *Replica) *sweeper {
	s := &sweeper{r: r, first: make(map[uint16]int64)}
	v, term := r.view.Acquire(), r.term
	r.loop.wg.Go(func() {
		found := sweepFound{r: r, term: term}
		err := keyspace.Pending(v, v.Slots.First, v.Slots.End,
			func(slot uint16, t int64) { found.deadlines = append(found.deadlines, deadline{slot, t}) },
			func(slot uint16, id uint64) { found.trash = append(found.trash, trashed{slot, id}) })
		v.Release()
		if err != nil {
			r.host.fatal(err)
			return
		}
		r.loop.post(found)
	})
	return s
}

type sweepFound struct {
	r         *Replica
	term      uint64
	deadlines []deadline
	trash     []trashed
}

func (s *sweeper) found(f sweepFound) {
	for _, d := range f.deadlines {
		s.add(d.slot, d.t)
	}
	s.trash = append(s.trash, f.trash...)
}

func (s *sweeper) add(slot uint16, t int64) {
	if old, ok := s.first[slot]; ok && old <= t {
		return
	}
	s.first[slot] = t
	heap.Push(&s.deadlines, deadline{slot, t})
}

// due reports whether there is work now and the last was long enough ago.
func (s *sweeper) due() bool {
	if s.r.clock.mono()-s.last < sweepEvery {
		return false
	}
	if len(s.trash) > 0 || len(s.r.dbs.Trash()) > 0 {
		return true
	}
	if len(s.deadlines) == 0 {
		return false
	}
	now, ok := s.r.clock.now()
	return ok && s.deadlines[0].t <= now
}

// step returns the part of the background work that goes into a batch at time
// now, or nil.
func (s *sweeper) step(now int64) func(tx *keyspace.Tx) {
	s.busy, s.purged = s.busy[:0], s.purge
	if !s.due() {
		return nil
	}
	return func(tx *keyspace.Tx) {
		s.last = s.r.clock.mono()
		s.expire(tx, now)
		if len(s.trash) > 0 {
			if _, later := tx.PurgeTrash(s.trash[0].slot, s.trash[0].id, purgeRowsMax); later != nil {
				tx.ReportRow(later)
				s.trash = s.trash[1:] // for a leader that knows it
			}
		}
		if old := s.r.dbs.Trash(); len(old) > 0 && !tx.DatabasesChanged() {
			next, done := tx.PurgeDatabase(old[0], max(s.purge, s.r.desc.Slots.First), s.r.desc.Slots.End, sweepKeysMax)
			if s.purged = next; done {
				s.purged = 0
				tx.SetDatabases(tx.Databases.Purged(old[0]))
			}
		}
	}
}

func (s *sweeper) expire(tx *keyspace.Tx, now int64) {
	n := 0
	for len(s.deadlines) > 0 && s.deadlines[0].t <= now && n < sweepKeysMax {
		d := heap.Pop(&s.deadlines).(deadline)
		if s.first[d.slot] != d.t {
			continue // superseded
		}
		delete(s.first, d.slot)
		n += max(1, tx.Expire(d.slot, sweepKeysMax-n))
		s.busy = append(s.busy, d.slot)
	}
}

// wrote learns from an applied batch.
func (s *sweeper) wrote(b *batch) {
	for _, d := range b.deadlines {
		s.add(d.slot, d.t)
	}
	s.trash = append(s.trash, b.trash...)
	s.swept()
}

// dropped takes back what the last step did: its effects will not be applied.
func (s *sweeper) dropped() {
	s.purged = s.purge
	s.swept()
}

// swept looks again at what the last step worked on, now that its effects are
// applied (or that it had none).
func (s *sweeper) swept() {
	s.purge = s.purged
	for _, slot := range s.busy {
		t, ok, err := keyspace.NextDeadline(s.r.view, slot)
		if err != nil {
			s.r.host.fatal(err)
			return
		}
		if ok {
			s.add(slot, t)
		}
	}
	s.busy = s.busy[:0]
	if len(s.trash) > 0 {
		_, ok, err := s.r.view.Get(keyspace.TrashRow(s.trash[0].slot, s.trash[0].id), nil)
		if err != nil {
			s.r.host.fatal(err)
			return
		}
		if !ok {
			s.trash = s.trash[1:]
		}
	}
	if s.due() {
		s.r.loop.touch(s.r)
	}
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
