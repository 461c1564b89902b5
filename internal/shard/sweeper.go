package shard

import (
	"time"

	"tutti/internal/eval"
	"tutti/internal/keyspace"
)

// sweeper paces the leader's background work on its shard, see eval.Sweep.
type sweeper struct {
	r    *Replica
	work *eval.Sweep
	last time.Duration // when it last took part in a batch
}

// sweepEvery bounds how often background work alone makes an entry.
const sweepEvery = 10 * time.Millisecond

// newSweeper starts with nothing to do and learns in the background what the
// state holds: looking through it must not delay a new leader.
func newSweeper(r *Replica) *sweeper {
	s := &sweeper{r: r, work: eval.NewSweep()}
	v, term := r.view.Acquire(), r.term
	r.loop.wg.Go(func() {
		found, err := eval.Find(v)
		v.Release()
		if err != nil {
			r.host.fatal(err)
			return
		}
		r.loop.post(sweepFound{r, term, found})
	})
	return s
}

type sweepFound struct {
	r    *Replica
	term uint64
	work eval.Found
}

// due reports whether there is work now and the last was long enough ago.
func (s *sweeper) due() bool {
	if s.r.clock.mono()-s.last < sweepEvery {
		return false
	}
	if s.work.Garbage(s.r.dbs.Trash()) {
		return true
	}
	t, some := s.work.Next()
	if !some {
		return false
	}
	now, ok := s.r.clock.now()
	return ok && t <= now
}

// step returns the part of the background work that goes into a batch at time
// now, or nil.
func (s *sweeper) step(now int64) func(tx *keyspace.Tx) {
	if !s.due() {
		return nil
	}
	return func(tx *keyspace.Tx) {
		s.last = s.r.clock.mono()
		s.work.Step(tx, now, s.r.desc.Slots, s.r.dbs.Trash())
	}
}

// wrote learns from an applied batch.
func (s *sweeper) wrote(b *eval.Batch) { s.look(s.work.Wrote(b, s.r.view)) }

// dropped takes back what the last step did: its effects will not be applied.
func (s *sweeper) dropped() { s.look(s.work.Dropped(s.r.view)) }

// swept knows that the last step had no effects.
func (s *sweeper) swept() { s.look(s.work.Swept(s.r.view)) }

// look goes on if there is more to do.
func (s *sweeper) look(err error) {
	if err != nil {
		s.r.host.fatal(err)
		return
	}
	if s.due() {
		s.r.loop.touch(s.r)
	}
}
