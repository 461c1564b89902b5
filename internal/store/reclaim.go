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

// reclaimer gives back the room of what has been deleted from a full disk.
// Pebble does so when new tables push it to, which don't come any more.
type reclaimer struct {
	state   *State
	deleted atomic.Bool // rows were, since it last ran
	cancel  context.CancelFunc
	wg      sync.WaitGroup
}

const (
	// reclaimEvery is how soon after a run the next one begins.
	reclaimEvery = 5 * time.Second
	// reclaimParts is how many parts of the slots are compacted one after the
	// other: a part of the state is rewritten with the room that is left.
	reclaimParts = 64
)

func (r *reclaimer) start(s *State) {
	var ctx context.Context
	ctx, r.cancel = context.WithCancel(context.Background())
	r.state = s
	r.wg.Go(func() {
		t := time.NewTicker(reclaimEvery)
		defer t.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-t.C:
			}
			if s.cfg.Space.Full() && r.deleted.Swap(false) {
				r.run(ctx)
			}
		}
	})
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
