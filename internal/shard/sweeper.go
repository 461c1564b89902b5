package shard

import (
	"time"

	"tutti/internal/eval"
	"tutti/internal/keyspace"
	"tutti/internal/spike"
)

// sweeper paces the leader's background work on its shard, see eval.Sweep.
type sweeper struct {
	l    *leadership
	work *eval.Sweep
	last time.Duration // when it last took part in a batch
}

// sweepEvery bounds how often background work alone makes an entry.
const sweepEvery = 10 * time.Millisecond

// newSweeper starts with nothing to do and learns in the background what the
// state holds: looking through it must not delay a new leader.
func newSweeper(l *leadership) *sweeper {
	s, r := &sweeper{l: l, work: eval.NewSweep(l.core)}, l.r
	v := r.machine.view.Acquire()
	r.loop.wg.Go(func() {
		found, err := eval.Find(v)
		v.Release()
		if err != nil {
			r.host.fatal(err)
			return
		}
		r.loop.post(sweepFound{s, found})
	})
	return s
}

type sweepFound struct {
	s    *sweeper
	work eval.Found
}

// due reports whether there is work now and the last was long enough ago.
func (s *sweeper) due() bool {
	if s.l.clock.mono()-s.last < sweepEvery {
		return false
	}
	if s.work.Garbage(s.l.r.machine.dbs.Trash()) || s.work.TasksDue(s.l.clock.now, s.l.clock.mono()) {
		return true
	}
	t, some := s.work.Next()
	if !some {
		return false
	}
	now, ok := s.l.clock.now()
	return ok && t <= now
}

// step returns the part of the background work that goes into a batch at time
// now, alone or beside what clients want, or nil.
func (s *sweeper) step(now int64, alone bool) func(tx *keyspace.Tx) {
	if !s.due() {
		return nil
	}
	return func(tx *keyspace.Tx) {
		s.last = s.l.clock.mono()
		s.work.Step(tx, now, s.l.r.members.desc.Slots, s.l.r.machine.dbs.Trash(), alone)
		s.l.r.host.cfg.Spikes.Note(spike.Expire, s.l.clock.mono()-s.last)
	}
}

// wrote learns from an applied batch.
func (s *sweeper) wrote(b *eval.Batch) { s.look(s.work.Wrote(b, s.l.r.machine.view)) }

// dropped takes back what the last step did: its effects will not be applied.
func (s *sweeper) dropped() { s.look(s.work.Dropped(s.l.r.machine.view)) }

// swept knows that the last step had no effects.
func (s *sweeper) swept() { s.look(s.work.Swept(s.l.r.machine.view)) }

// look goes on if there is more to do.
func (s *sweeper) look(err error) {
	r := s.l.r
	if err != nil {
		r.host.fatal(err)
		return
	}
	if s.due() {
		r.loop.touch(r)
	}
}
