package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"tutti/internal/node"
)

// A node of tutti dev that ends, or can't start, is reported and tried again,
// for as long as dev runs; what is wrong with it is no reason for the others to
// stop. Whoever mends its folder meanwhile sees it come back.

const (
	// restartPause keeps a node that ends at once from being started in a tight
	// loop; it doubles until restartPauseMax. A start costs less than a second of one
	// core, so whoever has killed a node a few times does not wait for a minute.
	restartPause    = time.Second
	restartPauseMax = 15 * time.Second
	// ranWell is how long a node must have run for its next pause to be short.
	ranWell = 10 * time.Second
)

// backoff makes the pauses before the starts of one node.
type backoff struct{ last time.Duration }

// next returns the pause after a run. Up to a fifth of it is left out by chance,
// so that nodes that failed together don't start together for ever.
func (b *backoff) next(ran time.Duration, chance float64) time.Duration {
	if ran >= ranWell {
		b.last = 0
	}
	b.last = min(max(2*b.last, restartPause), restartPauseMax)
	return b.last - time.Duration(chance*float64(b.last)/5)
}

// startGood starts all nodes whose folders are good and waits until they have a
// leader. bad is what is wrong with the others; so many of them that there is no
// majority are an error.
func (c *localCluster) startGood(ctx context.Context) (bad []error, err error) {
	bad = make([]error, len(c.members))
	for i := range c.members {
		bad[i] = c.tryStart(i)
	}
	good := 0
	var first error
	for i := range c.members {
		if bad[i] == nil {
			_, bad[i] = c.await(ctx, i, led)
		}
		if bad[i] == nil {
			good++
			continue
		}
		first = cmp.Or(first, bad[i])
		if p := c.procs[i]; p != nil && !p.isOver() { // it may still become ready
			fmt.Fprintln(os.Stderr, bad[i])
			bad[i] = nil
		}
	}
	if good <= len(c.members)/2 {
		return nil, first
	}
	return bad, nil
}

// tryStart starts node i, whose folder may be gone, or back from another time.
func (c *localCluster) tryStart(i int) error {
	err := node.Readdress(vfs.Default, c.dirs[i:i+1], c.members)
	switch {
	case errors.Is(err, node.ErrNoNode):
		return fmt.Errorf("the data of node %d is gone: there is none in %s; it must not start empty, for it may have promised what the others rely on: bring the folder back", c.members[i].ID, c.dirs[i])
	case err != nil:
		return fmt.Errorf("node %d can't start: %w", c.members[i].ID, err)
	case c.removed(i):
		return fmt.Errorf("node %d is not started: %w", c.members[i].ID, node.ErrRemoved)
	}
	return c.start(i, childAttr())
}

// removed reports whether node i knows that it was removed.
func (c *localCluster) removed(i int) bool {
	m, err := node.ReadMap(vfs.Default, c.dirs[i])
	if err != nil {
		return false // whoever starts it says what is wrong
	}
	_, in := m.Member(c.members[i].ID)
	return !in
}

// attend keeps all nodes running until ctx is done. bad is what is wrong with
// those that do not run.
func (c *localCluster) attend(ctx context.Context, bad []error) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for i := range c.members {
		wg.Go(func() { c.keep(ctx, i, bad[i]) })
	}
}

// keep keeps node i running; no other goroutine uses c.procs[i] meanwhile.
func (c *localCluster) keep(ctx context.Context, i int, bad error) {
	var pauses backoff
	for {
		ran := time.Duration(0)
		if bad == nil {
			p := c.procs[i]
			select {
			case <-ctx.Done():
				return
			case <-p.done:
			}
			bad, ran = fmt.Errorf("node %d ended: %s", c.members[i].ID, p.ended()), time.Since(p.began)
		}
		if c.removed(i) {
			fmt.Fprintf(os.Stderr, "node %d was removed from the cluster; it is not started again\n", c.members[i].ID)
			return
		}
		wait := pauses.next(ran, rand.Float64())
		fmt.Fprintf(os.Stderr, "%v; trying again in %v\n", bad, wait.Round(100*time.Millisecond))
		if pause(ctx, wait) != nil {
			return
		}
		bad = c.tryStart(i)
	}
}
