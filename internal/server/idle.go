package server

import (
	"slices"
	"time"
)

// The setting timeout, for the clients of a loop: it looks once for all of them,
// when the first may have been idle for too long.

// idleStep is the least time between two such looks.
const idleStep = 100 * time.Millisecond

// idle is when a loop looks for idle clients next.
type idle struct {
	timer *time.Timer
	at    time.Time // zero: it does not
}

// sleepy is posted to a loop that is to look for idle clients.
type sleepy struct{}

// idles notes since when a client has been idle.
func (l *loop) idles(c *conn) {
	c.seat.began = l.now
	if limit := l.s.config.idleTimeout(); limit > 0 {
		l.lookForIdle(l.now.Add(limit))
	}
}

// lookForIdle makes sure that there is a look at that time.
func (l *loop) lookForIdle(at time.Time) {
	i := &l.idle
	if !i.at.IsZero() && !at.Before(i.at) {
		return
	}
	i.at = at
	if wait := max(at.Sub(l.now), idleStep); i.timer == nil {
		i.timer = time.AfterFunc(wait, func() { l.post(sleepy{}) })
	} else {
		i.timer.Reset(wait)
	}
}

// dropIdle ends the clients that have been idle for too long.
func (l *loop) dropIdle() {
	l.idle.at = time.Time{}
	limit := l.s.config.idleTimeout()
	if limit <= 0 {
		return
	}
	var over []*conn
	var first time.Time
	for _, c := range l.clients {
		switch at := c.seat.began.Add(limit); {
		case c.seat.busy || c.face.hears():
		case !at.After(l.now):
			over = append(over, c)
		case first.IsZero() || at.Before(first):
			first = at
		}
	}
	slices.SortFunc(over, func(a, b *conn) int { return a.seat.began.Compare(b.seat.began) })
	for _, c := range over {
		c.end(errIdle)
		l.drop(c)
	}
	if !first.IsZero() {
		l.lookForIdle(first)
	}
}
