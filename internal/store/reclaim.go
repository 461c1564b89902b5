package store

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"tutti/internal/keyspace"
)

// reclaimer rewrites parts of the state without what was deleted there: where
// reading is slow for it, and on a full disk. Pebble does so when new tables push it
// to, which may not come for long.
type reclaimer struct {
	state   *State
	deleted atomic.Bool // rows of Pebble were, since it last ran
	slow    chan span   // capacity 1: one who comes while another waits will be back
	cancel  context.CancelFunc
	wg      sync.WaitGroup
}

// span is the rows from lower to before upper.
type span struct{ lower, upper []byte }

const (
	// reclaimEvery is how soon after a run on a full disk the next one begins.
	reclaimEvery = 5 * time.Second
	// reclaimParts is how many parts of the slots are compacted one after the
	// other: a part of the state is rewritten with the room that is left.
	reclaimParts = 64
	// clearPause is how long no part is rewritten for readers after another one, at
	// least; clearShare is how many times as long as that one took: it competes with
	// those who write.
	clearPause = time.Second
	clearShare = 8
)

func newReclaimer() reclaimer { return reclaimer{slow: make(chan span, 1)} }

func (r *reclaimer) start(s *State) {
	var ctx context.Context
	ctx, r.cancel = context.WithCancel(context.Background())
	r.state = s
	r.wg.Go(func() { r.serve(ctx) })
}

func (r *reclaimer) serve(ctx context.Context) {
	var full <-chan time.Time
	if r.state.cfg.Space != nil {
		t := time.NewTicker(reclaimEvery)
		defer t.Stop()
		full = t.C
	}
	slow := r.slow
	rested := time.NewTimer(0) // when readers are served again
	defer rested.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-full:
			if r.state.cfg.Space.Full() && r.deleted.Swap(false) {
				r.run(ctx)
			}
		case at := <-slow:
			began := time.Now()
			r.clear(ctx, at)
			slow = nil
			rested.Reset(max(clearPause, clearShare*time.Since(began)))
		case <-rested.C:
			select {
			case <-r.slow: // of before it was cleared, perhaps
			default:
			}
			slow = r.slow
		}
	}
}

// note is told when Pebble has got rows, and whether some are deleted by that. Before, while
// they were late, a run would not have found them, nor would another one have come.
func (r *reclaimer) note(deletes bool) {
	if deletes && !r.deleted.Load() {
		r.deleted.Store(true)
	}
}

// tell says that reading in a span is slow, as most of what lies there was deleted.
func (r *reclaimer) tell(at span) {
	select {
	case r.slow <- at:
	default:
	}
}

// clear rewrites a span without what was deleted there. What is held in memory is
// flushed first, by the rules for that: Compact would do it with the commit mutex.
func (r *reclaimer) clear(ctx context.Context, at span) {
	if r.state.cfg.Space.Full() || r.state.stalls.now.Load() {
		return // it would wait for room, or with the commit that waits
	}
	err := flushNow(ctx, r.state)
	if err == nil && !r.state.stalls.now.Load() {
		err = r.state.db.Compact(ctx, at.lower, at.upper, false)
	}
	if err != nil && ctx.Err() == nil && !vfs.IsNoSpaceError(err) {
		r.state.cfg.Logger.Warn("clear what was deleted", slog.Any("error", err))
	}
}

func (r *reclaimer) run(ctx context.Context) {
	for i := range reclaimParts {
		if r.state.stalls.now.Load() { // a compaction would wait with the commit that waits
			r.deleted.Store(true)
			return
		}
		lower := keyspace.SlotPrefix(nil, i*keyspace.Slots/reclaimParts)
		upper := keyspace.SlotPrefix(nil, (i+1)*keyspace.Slots/reclaimParts)
		err := r.state.db.Compact(ctx, lower, upper, false)
		switch {
		case ctx.Err() != nil || !r.state.cfg.Space.Full():
			return
		case vfs.IsNoSpaceError(err):
			r.deleted.Store(true) // another part may have given room by then
		case err != nil:
			r.state.cfg.Logger.Warn("reclaim room", slog.Any("error", err))
			return
		}
	}
}

func (r *reclaimer) stop() {
	if r.cancel != nil {
		r.cancel()
	}
	r.wg.Wait()
}
