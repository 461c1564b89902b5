package shard

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"tutti/internal/command"
	"tutti/internal/eval"
)

// heavy is the heavy groups of a leader: one is evaluated at a time, while the effects of
// another one may be on their way in pieces.
type heavy struct {
	l    *leadership
	end  *eval.Ending   // of the evaluation under way; nil: there is none
	next []eval.Waiting // oldest first
	// bytes are of those that are set aside, whatever they wait for.
	bytes int
	// staged is one whose effects are on their way in pieces, see eval.Pieces; nil: none.
	staged *eval.Waiting
	done   *eval.Waiting  // evaluated meanwhile; nil: none
	held   []eval.Waiting // oldest first: they would change what those look at, see eval.Waiting.Holds
	// holds are the keys of the evaluation under way for which they wait; nil: nobody is to.
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
	h.l.queue.bytes -= g.Size()
	h.bytes += g.Size()
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
	if h.end != nil || h.done != nil || len(h.next) == 0 {
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
		if left <= 0 {
			end.Waited()
		} else if core.RunsScript(g.Group) {
			left = command.ScriptTimeMax // for itself
		}
		defer time.AfterFunc(left, end.Late).Stop()
		p, err := core.Prepare(v, now, g.Group, end)
		r.loop.post(evaluated{h.l, g, p, err})
	})
}

// hold takes out of the queue what would change the keys that are held. Those who wait keep
// their order, and come behind the evaluation.
func (h *heavy) hold() {
	var keys []map[uint64]struct{}
	if h.holds != nil {
		keys = append(keys, h.holds)
	}
	for _, g := range []*eval.Waiting{h.staged, h.done} {
		if g != nil && g.Holds != nil {
			keys = append(keys, g.Holds)
		}
	}
	if len(keys) == 0 {
		return
	}
	h.l.queue.groups = slices.DeleteFunc(h.l.queue.groups, func(g eval.Waiting) bool {
		if g.Prepared != nil || !slices.ContainsFunc(keys, func(keys map[uint64]struct{}) bool {
			return h.l.core.Touches(keys, g.Group, h.l.r.machine.dbs)
		}) {
			return false
		}
		h.held = append(h.held, g)
		return true
	})
}

// evaluated takes the result of an evaluation.
func (h *heavy) evaluated(e evaluated) {
	r := h.l.r
	h.end, h.holds = nil, nil
	if e.err != nil {
		r.host.fatal(fmt.Errorf("evaluate a group of shard %d: %w", r.id, e.err))
		return
	}
	if e.g.Prepared = e.p; e.p == nil {
		h.l.core.Changes.Unfollow()
	}
	h.done = &e.g
	h.resume()
	h.start()
	r.loop.touch(r)
}

// resume puts what was evaluated at the head of the queue, unless somebody is there, or on
// the way there in pieces.
func (h *heavy) resume() {
	if q := h.l.queue.groups; h.done != nil && h.staged == nil && (len(q) == 0 || q[0].Prepared == nil) {
		h.back(*h.done)
		h.done = nil
	}
}

// back puts a group at the head of the queue, and those behind it that waited for it.
func (h *heavy) back(g eval.Waiting) {
	h.l.queue.groups = slices.Insert(h.l.queue.groups, 0, append([]eval.Waiting{g}, h.held...)...)
	h.l.queue.bytes += g.Size()
	h.bytes -= g.Size()
	h.held = nil
}

// stageSlow is for how long effects go in small pieces, from when their group was set aside on:
// then in large ones, as their client waits, and from HeavyTimeMax on all that is left comes
// at once.
const stageSlow = eval.HeavyTimeMax * 3 / 4

// stage takes the group at the head of the queue out of it, for its effects to go in pieces.
func (h *heavy) stage() {
	q := &h.l.queue
	g := q.groups[0]
	q.groups = slices.Delete(q.groups, 0, 1)
	q.bytes -= g.Size()
	h.bytes += g.Size()
	h.staged = &g
	h.l.core.Pieces.Begin(&g)
	h.l.r.loop.touch(h.l.r)
}

// piece returns how large a piece the next batch has, 0: none. Its group is at the head of
// the queue again when there is only one left, or no room.
func (h *heavy) piece(short eval.Shortage) int {
	if h.staged == nil {
		return 0
	}
	most, aside := cmp.Or(h.l.r.host.cfg.Large.PieceBytes, h.l.queue.large.most(piecesBatch)), time.Since(h.staged.Aside)
	if aside > stageSlow {
		most = largeBatch
	}
	if h.l.core.Pieces.Unsent() > most && aside < eval.HeavyTimeMax && short == (eval.Shortage{}) {
		return most
	}
	g := *h.staged
	h.staged = nil
	h.back(g)
	return 0
}

// drop forgets all heavy groups; what waits for them has been answered.
func (h *heavy) drop() {
	if h.end != nil {
		h.end.Drop()
	}
	h.end, h.next, h.bytes, h.staged, h.done, h.held, h.holds = nil, nil, 0, nil, nil, nil, nil // whoever evaluates reads l
}
