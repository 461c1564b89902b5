package router

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"tutti/internal/cluster"
	"tutti/internal/group"
)

// Waiting is a command that waits at its shard, or may. Its registration is a call
// like any other, and answered at once: with a reply, or that the command waits
// now. Then its answer comes late. Whenever the leader may have forgotten it, a new
// one above all, it is registered again with its name and its place, which are
// those of the first time.
type Waiting struct {
	s    *stream
	g    *group.Group // as it was sent first
	told func()       // that the shard has it wait; nil: nobody wants to know
	done func(Result)

	// Guarded by s.mu.
	seq        uint64 // its name
	order      uint64 // its place; 0: not told yet
	parked     bool   // the shard has said that it waits, in this round
	cancelling bool
	over       bool // done is called, or about to be
	calls      int  // about it that are not answered yet
}

// waits is the commands of a stream that wait.
type waits struct {
	bySeq map[uint64]*Waiting
	round uint64   // see waiter.Registry.Enter
	got   []uint64 // late answers that the shard can forget
}

// Wait is Write for a group with one command that waits if it finds nothing. done
// is called once, with its answer, or that it was cancelled; before that waits is called,
// unless it is nil, whenever the shard says that the command waits.
func (r *Router) Wait(id cluster.ShardID, g *group.Group, waits func(), done func(Result)) *Waiting {
	s := r.stream(id)
	w := &Waiting{s: s, g: g, told: waits, done: done}
	g.Wait = &group.Wait{}
	s.begin(g, &call{w: w})
	return w
}

// Cancel ends the waiting. The command may have been served: done is told.
func (w *Waiting) Cancel() {
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	if w.over || w.cancelling {
		return
	}
	if w.cancelling = true; w.parked {
		w.s.cancel(w)
	} // else once the answer to its registration is here
}

// LinkChanged is to be called when the link to a node went up or down: the
// registrations that went over it may have been lost, or lie about somewhere.
func (r *Router) LinkChanged(node cluster.NodeID, _ bool) {
	if r.host == nil {
		return
	}
	for _, s := range *r.streams.Load() {
		if s.leader().Node == node {
			s.mu.Lock()
			s.registerAll(func(c *call) bool { return c.w != nil })
			s.mu.Unlock()
		}
	}
}

// registerAll registers anew all that wait, and tries some calls again, all in the order
// in which they came. s.mu is held.
func (s *stream) registerAll(again func(c *call) bool) {
	s.waits.round++
	if s.closed {
		return
	}
	calls, now := s.some(again), time.Now()
	parked := slices.Collect(maps.Values(s.waits.bySeq))
	parked = slices.DeleteFunc(parked, func(w *Waiting) bool { return !w.parked || w.cancelling })
	slices.SortFunc(parked, func(a, b *Waiting) int { return cmp.Compare(a.seq, b.seq) })
	for len(calls)+len(parked) > 0 {
		if len(parked) == 0 || len(calls) > 0 && calls[0].place() < parked[0].seq {
			s.send(calls[0], now)
			calls = calls[1:]
		} else {
			s.register(parked[0])
			parked = parked[1:]
		}
	}
}

// register registers a command again that waits. s.mu is held.
func (s *stream) register(w *Waiting) {
	w.parked = false
	g := *w.g
	g.Wait = &group.Wait{Seq: w.seq, Order: w.order}
	g.Attempt, g.Got = 0, nil
	s.number(&g, &call{w: w}) // for as long as it takes: its client still waits
}

// cancel tells the shard that nobody waits any more. s.mu is held.
func (s *stream) cancel(w *Waiting) {
	w.parked = false
	g := &group.Group{Proto: w.g.Proto, Wait: &group.Wait{Seq: w.seq, Order: w.order, Cancel: true}}
	s.number(g, &call{w: w, end: time.Now().Add(s.r.cfg.Timeout)})
}

// mark puts into an attempt what it tells of those who wait. s.mu is held.
func (s *stream) mark(g *group.Group) {
	g.Got, s.waits.got = s.waits.got, nil
	if g.Wait != nil {
		w := *g.Wait // earlier attempts keep theirs
		w.Round = s.waits.round
		g.Wait = &w
	}
}

// withdraw makes the next attempt of a registration one that ends it: nobody waits
// any more.
func (c *call) withdraw() {
	w := *c.g.Wait
	w.Seq, w.Cancel = c.w.seq, true
	c.g.Wait, c.g.Cmds = &w, nil
}

// ack sends that late answers have come if nothing else goes that could tell.
// s.mu is held.
func (s *stream) ack(now time.Time) {
	if len(s.waits.got) > 0 && s.opened {
		s.number(&group.Group{}, &call{end: now.Add(s.r.cfg.Timeout)})
	}
}

// late takes an answer that comes late. s.mu is held; what it returns is to be
// called without it.
func (s *stream) late(reply group.Reply) (tell func()) {
	w := s.waits.bySeq[reply.Seq]
	if reply.Status == group.Lost {
		// Its leader does not lead any more.
		if w != nil && w.parked && !w.cancelling {
			s.said(reply)
			s.register(w)
		}
		return nil
	}
	if w == nil || w.calls == 0 {
		s.waits.got = append(s.waits.got, reply.Seq)
		s.arm()
	} // else an attempt to register is on its way, and must find this answer; it will be told again
	if w == nil {
		return nil
	}
	if reply.Status == group.OK && len(reply.Replies) == 0 {
		return s.end(w, Result{Err: errBroken(s.id)}) // whoever sent that is broken
	}
	reply.Replies = withDropped(reply.Replies, s.id)
	return s.end(w, Result{Reply: reply})
}

// settle takes the answer to a call about a command that waits. s.mu is held; what
// it returns is to be called without it.
func (s *stream) settle(c *call, reply group.Reply, result Result) (tell func()) {
	w := c.w
	switch {
	case w.over:
		return nil
	case reply.Status == group.Parked && result.Err == "":
		w.order, w.parked = reply.Order, true
		switch {
		case w.cancelling:
			s.cancel(w)
		case c.g.Wait.Round != s.waits.round:
			s.register(w)
		}
		return w.told
	case c.g.Wait.Cancel && result.Err == "":
		if len(reply.Replies) == 0 || reply.Status != group.OK {
			return s.end(w, Result{Cancelled: true})
		}
	}
	return s.end(w, result)
}

// end forgets a command that waited. s.mu is held.
func (s *stream) end(w *Waiting, result Result) (tell func()) {
	if w.over {
		return nil
	}
	w.over = true
	s.forget(w)
	return func() { w.done(result) }
}

// forget forgets a command that waited once nothing is on its way about it. s.mu is
// held.
func (s *stream) forget(w *Waiting) {
	if w.over && w.calls == 0 {
		delete(s.waits.bySeq, w.seq)
	}
}
