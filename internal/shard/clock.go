package shard

import (
	"time"
)

// Clock is the time that a node sees. Both run on the injected source, so
// tests can make them jump and drift.
type Clock struct {
	Mono func() time.Duration // never goes back
	Wall func() int64         // milliseconds since 1970; may do anything
}

// SystemClock is the clock of the machine.
func SystemClock() Clock {
	start := time.Now()
	return Clock{Mono: func() time.Duration { return time.Since(start) }, Wall: func() int64 { return time.Now().UnixMilli() }}
}

const (
	// jumpMin is how far shard time must lag behind the median of the members'
	// wall clocks to jump there; below it, time is slewed.
	jumpMin = time.Second
	// slewDiv is the most that slewing changes the pace of time: one part in
	// slewDiv, so a time to live is at most 5 % off while clocks disagree.
	slewDiv = 20
)

// pacer makes a leader's time of its monotonic clock: it starts at the applied
// shard time, never goes back, and is drawn towards the median of the members'
// wall clocks.
type pacer struct {
	mono   func() time.Duration
	median func() (wall int64, ok bool)
	t      time.Duration // shard time
	last   time.Duration // monotonic time of the last reading
	begun  bool          // has jumped or slewed to known clocks at least once
}

// start begins at floor, the applied shard time in milliseconds.
func (p *pacer) start(floor int64) {
	p.t = time.Duration(floor) * time.Millisecond
	p.last = p.mono()
	p.begun = floor > 0
}

// now returns the shard time in milliseconds. ok is false as long as a new
// shard has no time at all: too few clocks are known to agree on one.
func (p *pacer) now() (t int64, ok bool) {
	mono := p.mono()
	passed := max(mono-p.last, 0)
	p.last = mono
	if wall, known := p.median(); known {
		p.begun = true
		ahead := time.Duration(wall)*time.Millisecond - (p.t + passed)
		switch {
		case ahead > jumpMin:
			passed += ahead
		case ahead > 0:
			passed += min(ahead, passed/slewDiv)
		default:
			passed -= min(-ahead, passed/slewDiv)
		}
	}
	p.t += passed
	return int64(p.t / time.Millisecond), p.begun
}
