package shard

import (
	"fmt"
	"slices"
	"time"

	"tutti/internal/command"
	"tutti/internal/eval"
)

// heavy is the heavy groups of a leader: one is evaluated at a time.
type heavy struct {
	l    *leadership
	end  *eval.Ending   // of the evaluation under way; nil: there is none
	next []eval.Waiting // oldest first
	held []eval.Waiting // oldest first: they would change what that looks at, see eval.Waiting.Holds
	// holds are the keys for which they wait; nil: nobody is to wait.
	holds map[uint64]struct{}
}

// evaluated brings a group back that was evaluated beside the loop.
type evaluated struct {
	l   *leadership
	g   eval.Waiting
	p   *eval.Prepared // nil: it has to be evaluated again
	err error
}

// setAside takes group n out of the queue to evaluate it beside the loop.
func (h *heavy) setAside(n int) {
	g := h.l.queue.groups[n]
	h.l.queue.groups = slices.Delete(h.l.queue.groups, n, n+1)
	if g.Aside.IsZero() {
		g.Aside = time.Now()
	}
	h.next = append(h.next, g)
	h.start()
	h.l.r.loop.touch(h.l.r)
}

// start starts the next evaluation unless one is under way.
func (h *heavy) start() {
	r := h.l.r
	if h.end != nil || len(h.next) == 0 {
		return
	}
	if h.holds = h.next[0].Holds; h.holds != nil && h.l.inflight.batch != nil {
		return // what is on its way may change them: see propose
	}
	g, end := h.next[0], new(eval.Ending)
	h.next = slices.Delete(h.next, 0, 1)
	h.end = end
	now, _ := h.l.clock.now() // known, or nothing would have been evaluated before
	now = max(now, r.machine.applied.Time)
	core, v := h.l.core, r.machine.view.Acquire()
	core.Changes.Follow(v.Index)
	r.loop.wg.Go(func() {
		defer v.Release()
		left := time.Until(g.Aside.Add(eval.HeavyTimeMax))
		if core.RunsScript(g.Group) {
			left = command.ScriptTimeMax // for itself
		}
		if left <= 0 {
			end.Late()
		}
		defer time.AfterFunc(left, end.Late).Stop()
		p, err := core.Prepare(v, now, g.Group, end)
		r.loop.post(evaluated{h.l, g, p, err})
	})
}

// hold takes out of the queue what would change the keys that are held. Those who wait keep
// their order, and come behind the evaluation.
func (h *heavy) hold() {
	if h.holds == nil {
		return
	}
	h.l.queue.groups = slices.DeleteFunc(h.l.queue.groups, func(g eval.Waiting) bool {
		if g.Prepared != nil || !h.l.core.Touches(h.holds, g.Group, h.l.r.machine.dbs) {
			return false
		}
		h.held = append(h.held, g)
		return true
	})
}

// evaluated takes the result of an evaluation.
func (h *heavy) evaluated(e evaluated) {
	r := h.l.r
	h.end = nil
	if e.err != nil {
		r.host.fatal(fmt.Errorf("evaluate a group of shard %d: %w", r.id, e.err))
		return
	}
	if e.g.Prepared = e.p; e.p == nil {
		h.l.core.Changes.Unfollow()
	}
	h.l.queue.groups = slices.Insert(h.l.queue.groups, 0, append([]eval.Waiting{e.g}, h.held...)...)
	h.held, h.holds = nil, nil
	h.start()
	r.loop.touch(r)
}

// drop forgets all heavy groups; what waits for them has been answered.
func (h *heavy) drop() {
	if h.end != nil {
		h.end.Drop()
	}
	h.end, h.next, h.held, h.holds = nil, nil, nil, nil
}
