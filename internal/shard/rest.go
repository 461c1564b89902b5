package shard

import (
	"context"

	"tutti/internal/store"
)

// restKeepMin is how much of its log a node that rests keeps at least, all shards
// together.
const restKeepMin = 8 << 20

// Rest gives back what a flood of writes has left on this node: Cut, and the log
// store begins anew. Appends wait for that, on a slow disk for seconds, so it is for
// when there are hardly any.
func (h *Host) Rest(ctx context.Context) error {
	if err := h.cfg.State.Rest(ctx); err != nil {
		return err
	}
	if err := store.Shed(ctx, h.cfg.State); err != nil { // before the logs are cut to what the state has
		return err
	}
	if err := cutLogs(ctx, h); err != nil {
		return err
	}
	return h.cfg.Log.Rest(ctx)
}

// Cut flushes the state, and cuts the logs. They keep no more than the state has:
// with less to send, a snapshot brings whoever is behind up sooner.
func (h *Host) Cut(ctx context.Context) error {
	if err := h.cfg.State.Rest(ctx); err != nil {
		return err
	}
	return cutLogs(ctx, h)
}

func cutLogs(ctx context.Context, h *Host) error {
	replicas := *h.replicas.Load()
	keep := min(max(h.cfg.State.Disk(), restKeepMin), keepBytes) / uint64(max(len(replicas), 1))
	for id := range replicas {
		var failed error
		if err := h.call(ctx, id, func(r *Replica) {
			if !r.gone {
				failed = r.appends.rest(keep)
			}
		}); err != nil && ctx.Err() != nil {
			return err
		}
		if failed != nil {
			h.fatal(failed)
			return failed
		}
	}
	return nil
}
