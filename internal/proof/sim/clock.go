package sim

import (
	"sync"
	"time"
)

// gate holds whoever passes while it is shut: a process that is stopped.
type gate struct {
	mu   sync.Mutex // guards shut
	cond *sync.Cond
	shut bool
}

func newGate() *gate {
	g := &gate{}
	g.cond = sync.NewCond(&g.mu)
	return g
}

func (g *gate) pass() {
	g.mu.Lock()
	for g.shut {
		g.cond.Wait()
	}
	g.mu.Unlock()
}

func (g *gate) set(shut bool) {
	g.mu.Lock()
	g.shut = shut
	g.cond.Broadcast()
	g.mu.Unlock()
}

// Clock is the clock of one machine. It survives restarts of its node.
type Clock struct {
	mu   sync.Mutex // guards what follows
	at   time.Time  // when rate was set
	mono time.Duration
	wall time.Duration // since 1970
	rate float64       // of both, against true time
}

// NewClock returns a clock that is right.
func NewClock() *Clock {
	now := time.Now()
	return &Clock{at: now, wall: time.Duration(now.UnixNano()), rate: 1}
}

// passed is what the clock has run since at. It is computed from there: adding
// up small steps would lose their fractions.
func (c *Clock) passed() time.Duration {
	return time.Duration(float64(time.Since(c.at)) * c.rate)
}

// Jump sets the wall clock forward, or back.
func (c *Clock) Jump(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wall += d
}

// Drift makes the clock run at rate from now on; at 0 it stands still.
func (c *Clock) Drift(rate float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	d := c.passed()
	c.at, c.mono, c.wall, c.rate = time.Now(), c.mono+d, c.wall+d, rate
}

// Mono returns the monotonic time.
func (c *Clock) Mono() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mono + c.passed()
}

// Wall returns the milliseconds since 1970 that the machine believes in.
func (c *Clock) Wall() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return (c.wall + c.passed()).Milliseconds()
}
