package shard

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"golang.org/x/time/rate"

	"tutti/internal/store"
)

const (
	// scrubPieceDefault is the bytes of rows hashed after one entry. A view is
	// held for about two seconds.
	scrubPieceDefault = 32 << 20
	scrubChunk        = 256 << 10
	// scrubRate bounds the bytes of rows read in a second.
	scrubRate = 16 << 20
)

// scrubPace is pace for a scrub.
func scrubPace(ctx context.Context) func(bytes int) bool { return pace(ctx, scrubRate) }

// pace returns a function that is told of bytes read and waits now and then, so
// that they are no more than most in a second. It says false once ctx has ended.
func pace(ctx context.Context, most rate.Limit) func(bytes int) bool {
	limit, n := rate.NewLimiter(most, scrubChunk), 0
	return func(bytes int) bool {
		for n += bytes; n >= scrubChunk; n -= scrubChunk {
			if limit.WaitN(ctx, scrubChunk) != nil {
				return false
			}
		}
		return true
	}
}

// verifyTables compares the checksums of the node's files, again and again.
func (h *Host) verifyTables(ctx context.Context) {
	t := time.NewTicker(h.cfg.ScrubEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		pause := scrubPace(ctx)
		if err := errors.Join(h.cfg.State.VerifyTables(pause), h.cfg.Log.VerifyTables(pause)); err != nil {
			h.scrubFailed(err)
		}
	}
}

// scrubFailed takes what a scrub met. What is damaged must not be served any more:
// data is made anew, and for what a process has in memory another process is
// enough. A disk that does not answer is for those to deal with who need what they
// read.
func (h *Host) scrubFailed(err error) {
	if errors.Is(err, store.ErrDamaged) || errors.Is(err, store.ErrMemory) {
		h.fatal(err)
		return
	}
	h.cfg.Logger.Error("scrub", slog.Any("error", err))
}
