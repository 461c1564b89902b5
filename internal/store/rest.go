package store

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
)

// Giving back what a flood of writes has left in memory and on the disk: memtables
// that have grown, log files that are kept to be used again, rows in memory of keys
// that are gone. It costs those who write some waiting, so it is for when nobody
// does.

// wakeBytes is much more than what a node writes by itself while it is watched for
// whether anybody writes, and what one that somebody uses writes in a few seconds.
const wakeBytes = 1 << 20

// Stir is how much was written since the start. It is safe for concurrent use.
type Stir struct {
	all  atomic.Int64 // bytes
	rest amount       // since the last rest
	wake amount       // since it fell asleep
}

// amount has something in its signal when enough was written since it was set.
type amount struct {
	at     atomic.Int64
	enough int64
	signal chan struct{} // capacity 1
}

func newStir(enough int64) Stir {
	return Stir{rest: newAmount(enough), wake: newAmount(min(enough, wakeBytes))}
}

func newAmount(enough int64) amount { return amount{enough: enough, signal: make(chan struct{}, 1)} }

func (s *Stir) add(n int64) {
	all := s.all.Add(n)
	s.rest.passed(all)
	s.wake.passed(all)
}

func (m *amount) passed(all int64) {
	if all-m.at.Load() < m.enough {
		return
	}
	select {
	case m.signal <- struct{}{}:
	default:
	}
}

func (m *amount) set(all int64) {
	m.at.Store(all)
	select {
	case <-m.signal:
	default:
	}
}

// Stirred has something when so much was written since the last rest of the state that
// another one is worth it.
func (s *Stir) Stirred() <-chan struct{} { return s.rest.signal }

// Woken has something when more was written since the last Sleep than a node writes
// that nobody uses.
func (s *Stir) Woken() <-chan struct{} { return s.wake.signal }

// Sleep has Woken wait for somebody to write.
func (s *Stir) Sleep() { s.wake.set(s.all.Load()) }

// Written returns how many bytes of entries were applied since the state was opened.
func (s *Stir) Written() int64 { return s.all.Load() }

// Stir says how much is written to the state.
func (s *State) Stir() *Stir { return &s.stir }

// Rest flushes the state, so that the log can be cut, and forgets rows in memory
// that are mostly of keys which are gone.
func (s *State) Rest(ctx context.Context) error {
	s.stir.rest.set(s.stir.all.Load())
	if s.hot.cache != nil {
		s.hot.cache.Rest()
	}
	if s.cfg.Space.Full() {
		return nil // a flush would wait for room
	}
	return flushNow(ctx, s)
}

// flushNow writes what was committed as tables, and waits for it.
func flushNow(ctx context.Context, s *State) error {
	var flushed <-chan struct{}
	if err := s.commits.exclusive(func() (err error) {
		s.unflushed.Store(0)
		flushed, err = s.db.AsyncFlush()
		return err
	}); err != nil {
		return fmt.Errorf("flush state store: %w", damage(err))
	}
	return wait(ctx, flushed)
}

// opened is the store that a Log writes to. All but its writer reach it by use.
type opened struct {
	swap sync.RWMutex // guards db, which nobody but the writer changes
	db   *pebble.DB
}

// use returns the store, which stays open until done is called.
func (o *opened) use() (db *pebble.DB, done func()) {
	o.swap.RLock()
	return o.db, o.swap.RUnlock
}

// Rest flushes the log store and opens it again: that is how Pebble gives back its
// memtables, which begin small, and the files of its own log that it keeps to use
// them again. Appends wait meanwhile.
func (l *Log) Rest(ctx context.Context) error {
	if l.cfg.Space.Full() {
		return nil
	}
	if err := l.shrink(ctx); err != nil {
		return err
	}
	l.do(&Append{rest: true})
	return nil
}

// shrink writes what is in memory as tables, here, for appends to wait the less, and
// takes what was truncated out of the tables.
func (l *Log) shrink(ctx context.Context) error {
	db, done := l.use()
	defer done()
	flushed, err := db.AsyncFlush()
	if err != nil {
		return fmt.Errorf("flush log store: %w", damage(err))
	}
	if err := wait(ctx, flushed); err != nil {
		return err
	}
	if err := db.Compact(ctx, []byte{0}, []byte{0xff}, false); err != nil && ctx.Err() == nil {
		return fmt.Errorf("compact log store: %w", damage(err))
	}
	return ctx.Err()
}

// reopen opens the store again if one of the appends asks for it.
func (l *Log) reopen(work []*Append) (err error) {
	for _, a := range work {
		if !a.rest || l.cfg.Space.Full() {
			continue
		}
		l.swap.Lock()
		defer l.swap.Unlock()
		if err = l.db.Close(); err != nil {
			return fmt.Errorf("close log store: %w", damage(err))
		}
		l.db, err = openLog(l.cfg, l.stalls)
		return err
	}
	return nil
}

func wait(ctx context.Context, done <-chan struct{}) error {
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
