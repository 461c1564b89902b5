package store

import (
	"context"
	"fmt"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// shedMax is how much is rewritten whatever is gone: it takes a moment, and right behind
// a flush nobody knows how much that is.
const shedMax = 128 << 20

// Shed rewrites the state if much of what its tables hold is of rows that are gone. A
// database that was emptied leaves all it held in tables that nothing pushes Pebble to
// merge, and whoever goes through them, as the scrub does, takes it into memory again.
// It is for when nobody writes, behind Rest.
func Shed(ctx context.Context, s *State) error {
	if s.cfg.Space.Full() || s.stalls.now.Load() {
		return nil // it would wait for room, or with the commit that waits
	}
	m := s.db.Metrics()
	all, bottom := m.Total().TablesSize, m.Levels[len(m.Levels)-1].TablesSize
	gone := int64(m.Table.Garbage.PointDeletionsBytesEstimate + m.Table.Garbage.RangeDeletionsBytesEstimate)
	if all == bottom || all > max(shedMax, 2*gone) {
		return nil
	}
	err := s.db.Compact(ctx, []byte{0}, []byte{0xff, 0xff}, false)
	if err != nil && ctx.Err() == nil && !vfs.IsNoSpaceError(err) {
		return fmt.Errorf("rewrite the state without what is gone: %w", damage(err))
	}
	return ctx.Err()
}
