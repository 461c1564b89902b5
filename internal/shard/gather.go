package shard

import "time"

// gather decides whether a batch is worth waiting for.
//
// Clients that wait for their answers come back as one crowd. A leader that
// proposes the moment an entry is applied catches only those that were queued
// meanwhile; the crowd it has just answered misses that entry and queues for
// the next. So the clients split into two halves that take turns, every entry
// carries half of what it could, and everybody waits for two rounds. Measured
// with 50 clients on one machine: 22 commands per entry instead of 46.
//
// After an entry is applied the leader therefore gives the crowd a moment to
// return: until nine tenths of it are there, or half of the time that the last
// rounds took has passed. One client alone never waits: it is the whole
// crowd. If a crowd does not return, the next expectation is smaller.
type gather struct {
	round time.Duration // smoothed time from proposal to apply
	began time.Duration // of the entry in flight
	until time.Duration // wait no longer than this
	crowd int           // groups to wait for
}

const (
	gatherMax     = 2 * time.Millisecond
	gatherDivisor = 2
	roundWeight   = 8 // of the old value in the smoothed one
)

func (g *gather) sent(now time.Duration) { g.began = now }

// answered notes that an entry of n groups was applied while queued others
// wait.
func (g *gather) answered(now time.Duration, n, queued int) {
	g.round += (now - g.began - g.round) / roundWeight
	g.crowd = (n + queued) * 9 / 10
	g.until = now + min(g.round/gatherDivisor, gatherMax)
}

// wait returns how long to wait for more than queued groups, 0 for not at all.
func (g *gather) wait(now time.Duration, queued int) time.Duration {
	if queued >= g.crowd || now >= g.until {
		g.crowd = 0
		return 0
	}
	return g.until - now
}

// gathering reports whether the next batch is still forming, and makes sure
// that the loop looks again.
func (r *Replica) gathering() bool {
	d := r.gather.wait(r.host.cfg.Clock.Mono(), len(r.queue))
	if d > 0 {
		r.loop.wakeIn(d, r)
	}
	return d > 0
}
