package shard

import (
	"math"
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
	// catchUpMax is how long a new leader waits for the clocks of a majority
	// before its first batch. It has asked for them when it was elected, by
	// members that it has just exchanged frames with, so the wait is a round trip
	// at most; without an answer time goes on from the floor.
	catchUpMax = 500 * time.Millisecond
	// readingMax is how long it may take to read the clocks. Above it the process
	// was stopped in between, and they do not belong together.
	readingMax = 10 * time.Millisecond
	// jumpMin is how far shard time must lag within a term to jump to the median
	// of the members' wall clocks; below it, time is slewed.
	jumpMin = time.Second
	// slewDiv is the most that slewing changes the pace of time: one part in
	// slewDiv, so a time to live is at most 5 % off while clocks disagree.
	slewDiv = 20
)

// pacer makes a leader's time of its monotonic clock: it starts at the applied
// shard time, never goes back, and is drawn towards the median of the members'
// wall clocks.
//
// The applied shard time is that of the last entry. Since then time has gone on,
// without entries and without a leader, and a key that is set while shard time
// lags ends early by as much as is made up for until its deadline. So a leader
// makes up for all of it at once, before it evaluates anything, and from then on
// time only lags if clocks were set.
type pacer struct {
	mono   func() time.Duration
	median func() (wall int64, ok bool)
	t      time.Duration // shard time
	last   time.Duration // monotonic time of the last reading
	wait   time.Duration // monotonic time until which to wait for clocks
	begun  bool          // has caught up with the clocks of a majority, or has given that up
}

// start begins at floor, the applied shard time in milliseconds.
func (p *pacer) start(floor int64) {
	p.t = time.Duration(floor) * time.Millisecond
	p.last = p.mono()
	p.begun = false
	if p.wait = p.last + catchUpMax; floor == 0 {
		p.wait = math.MaxInt64
	}
}

// now returns the shard time in milliseconds. ok is false as long as nothing may
// be evaluated: the clocks of a majority are not known yet. A new shard, which has
// no time at all, waits for them for ever.
func (p *pacer) now() (t int64, ok bool) {
	mono := p.mono()
	passed := max(mono-p.last, 0)
	p.last = mono
	wall, known := p.median()
	if known && p.mono()-mono > readingMax {
		known = false
	}
	if known {
		ahead := time.Duration(wall)*time.Millisecond - (p.t + passed)
		switch {
		case ahead > jumpMin, ahead > 0 && !p.begun:
			passed += ahead
		case ahead > 0:
			passed += min(ahead, passed/slewDiv)
		default:
			passed -= min(-ahead, passed/slewDiv)
		}
	}
	p.begun = p.begun || known || mono > p.wait
	p.t += passed
	return int64(p.t / time.Millisecond), p.begun
}
