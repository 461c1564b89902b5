package shard

import (
	"context"

	"tutti/internal/store"
)

// census has the keys of a replica gone through, beside the loop, so that it is
// known in memory which are absent. See store.Census.
type census struct {
	r      *Replica
	cancel func() // ends the piece that is gone through; nil: none is
	due    uint64 // not before this tick
}

const (
	// censusTicks is how often a replica looks whether one is due: about every
	// second.
	censusTicks = 33
	// censusRetryTicks is when it is tried again after an error: half a minute.
	censusRetryTicks = 1000
	// censusPiece bounds the bytes for which one view is held.
	censusPiece = 16 << 20
	// censusRate bounds them in a second, so that a replica which has just got its
	// copy leaves the processors and the disk to clients: a million small keys take
	// six, a GiB half a minute.
	censusRate = 32 << 20
)

// tick begins a census if one is due.
func (c *census) tick() {
	r := c.r
	if c.cancel != nil || r.ticks < c.due || r.machine.view == nil || r.loop.beside != nil {
		return
	}
	c.due = r.ticks + censusTicks
	if x := r.machine.view.Census(); x != nil {
		c.next(x)
	}
}

// next has the next piece gone through, over the newest view.
func (c *census) next(x *store.Census) {
	ctx, cancel := context.WithCancel(c.r.loop.ctx)
	c.cancel = cancel
	v := c.r.machine.view.Acquire()
	c.r.loop.wg.Go(func() {
		end, err := x.Piece(v, censusPiece, pace(ctx, censusRate))
		v.Release()
		c.r.loop.post(inLoop{c.r, func() { c.counted(x, ctx, end, err) }})
	})
}

// counted takes the end of a piece.
func (c *census) counted(x *store.Census, ctx context.Context, end bool, err error) {
	if ctx.Err() != nil {
		x.Cancel() // stopped; another may have begun
		return
	}
	c.stop()
	switch {
	case err != nil:
		c.due = c.r.ticks + censusRetryTicks
		c.r.host.scrubFailed(err)
	case end:
	case c.r.machine.view == nil: // a snapshot takes the place of the state
		x.Cancel()
	default:
		c.next(x)
	}
}

// stop ends the piece that is gone through, if one is: its view is in the way.
func (c *census) stop() {
	if c.cancel != nil {
		c.cancel()
		c.cancel = nil
	}
}
