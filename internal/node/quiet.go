package node

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"
)

const (
	// quietAfter is how long little must have been written before the node rests.
	quietAfter = 10 * time.Second
	// quietBytes is little: about what the removal of many keys writes, which goes on
	// for a while after a database was emptied; stillBytes is next to nothing, what a
	// node writes by itself.
	quietBytes = 2 << 20
	stillBytes = 64 << 10
	// restlessMax is how often, after a first rest, memory alone is given back while
	// more than that is written.
	restlessMax = 12
)

// quiet has the node give back memory and disk when much was written and nobody
// writes any more: a node that was emptied after a flood would keep hundreds of MiB.
type quiet struct {
	n      *Node
	asked  chan chan<- error
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

func newQuiet(n *Node) *quiet {
	ctx, cancel := context.WithCancel(context.Background())
	return &quiet{n: n, asked: make(chan chan<- error), ctx: ctx, cancel: cancel}
}

func (q *quiet) run() {
	q.wg.Go(func() {
		for {
			select {
			case <-q.ctx.Done():
				return
			case answer := <-q.asked:
				answer <- q.rest()
			case <-q.n.state.Stirred():
				q.settle()
			}
		}
	})
}

// settle rests when it is quiet, and once more when it is still: then what was left of
// the removal of keys is gone, too.
func (q *quiet) settle() {
	t := time.NewTimer(q.after())
	defer t.Stop()
	rested, restless := false, 0
	for wrote := q.n.state.Written(); ; t.Reset(q.after()) {
		select {
		case <-q.ctx.Done():
			return
		case answer := <-q.asked:
			answer <- q.rest()
			return
		case <-t.C:
		}
		now := q.n.state.Written()
		switch more := now - wrote; {
		case more <= stillBytes, restless == restlessMax:
			_ = q.rest()
			return
		case more > quietBytes:
		case !rested:
			_ = q.rest()
			rested = true
		default:
			q.freeMemory()
			restless++
		}
		wrote = now
	}
}

func (q *quiet) after() time.Duration { return cmp.Or(q.n.cfg.QuietAfter, quietAfter) }

// rest gives back what it can, and logs what it could not.
func (q *quiet) rest() error {
	err := q.n.host.Rest(q.ctx)
	if err != nil && q.ctx.Err() == nil {
		q.n.cfg.Logger.Warn("give back memory and disk", slog.Any("error", err))
	}
	q.freeMemory()
	return err
}

func (q *quiet) freeMemory() {
	if q.n.cfg.FreeMemory != nil {
		q.n.cfg.FreeMemory()
	}
}

// ask has the node rest at once, and returns when it has.
func (q *quiet) ask(ctx context.Context) error {
	answer := make(chan error, 1)
	select {
	case q.asked <- answer:
	case <-ctx.Done():
		return ctx.Err()
	case <-q.ctx.Done():
		return errStopping
	}
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-q.ctx.Done():
		return errStopping
	}
}

var errStopping = errors.New("the node stops")

// close ends it, and returns when nothing is given back any more.
func (q *quiet) close() {
	q.cancel()
	q.wg.Wait()
}
