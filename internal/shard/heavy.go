package shard

import (
	"fmt"
	"slices"
	"sync/atomic"

	"tutti/internal/eval"
)

// heavy is the heavy groups of a replica: one is evaluated at a time.
type heavy struct {
	stop *atomic.Bool   // of the evaluation under way; nil: there is none
	next []eval.Waiting // oldest first
}

// evaluated brings a group back that was evaluated beside the loop.
type evaluated struct {
	r    *Replica
	stop *atomic.Bool // which evaluation
	g    eval.Waiting
	p    *eval.Prepared // nil: it has to be evaluated again
	err  error
}

// setAside takes group n out of the queue to evaluate it beside the loop.
func (r *Replica) setAside(n int) {
	g := r.queue[n]
	r.queue = slices.Delete(r.queue, n, n+1)
	r.heavy.next = append(r.heavy.next, g)
	r.startHeavy()
	r.loop.touch(r)
}

// startHeavy starts the next evaluation unless one is under way.
func (r *Replica) startHeavy() {
	if r.heavy.stop != nil || len(r.heavy.next) == 0 {
		return
	}
	g, stop := r.heavy.next[0], new(atomic.Bool)
	r.heavy.next = slices.Delete(r.heavy.next, 0, 1)
	r.heavy.stop = stop
	now, _ := r.clock.now() // known, or nothing would have been evaluated before
	now = max(now, r.applied.Time)
	core, v := r.core, r.view.Acquire()
	r.loop.wg.Go(func() {
		defer v.Release()
		p, err := core.Prepare(v, now, g.Group, stop)
		r.loop.post(evaluated{r, stop, g, p, err})
	})
}

// evaluatedHeavy takes the result of an evaluation, which may belong to a role
// that this replica has lost.
func (r *Replica) evaluatedHeavy(e evaluated) {
	if e.stop != r.heavy.stop {
		return
	}
	r.heavy.stop = nil
	if e.err != nil {
		r.host.fatal(fmt.Errorf("evaluate a group of shard %d: %w", r.id, e.err))
		return
	}
	e.g.Prepared = e.p
	r.queue = slices.Insert(r.queue, 0, e.g)
	r.startHeavy()
	r.loop.touch(r)
}

// dropHeavy forgets all heavy groups; what waits for them has been answered.
func (r *Replica) dropHeavy() {
	if r.heavy.stop != nil {
		r.heavy.stop.Store(true)
	}
	r.heavy = heavy{}
}
