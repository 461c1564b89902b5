package shard

import (
	"math/rand/v2"
	"testing"
	"time"
)

// testClock is a clock that tests move.
type testClock struct {
	mono   time.Duration
	wall   int64
	offset int64 // of the members' median, relative to wall
	known  bool
}

func (c *testClock) pacer() *pacer {
	return &pacer{mono: func() time.Duration { return c.mono }, median: func() (int64, bool) { return c.wall + c.offset, c.known }}
}

func (c *testClock) pass(d time.Duration) {
	c.mono += d
	c.wall += d.Milliseconds()
}

const testWall = 1_700_000_000_000

func TestPacer(t *testing.T) {
	for _, c := range []struct {
		name   string
		floor  int64
		clock  testClock
		ok     bool
		atOnce int64 // after no time
		later  int64 // after 10 s
	}{
		{"new shard", 0, testClock{wall: testWall, known: true}, true, testWall, testWall + 10_000},
		{"new shard, no majority known", 0, testClock{wall: testWall}, false, 0, 10_000},
		{"no majority known: waits a while", testWall - 50_000, testClock{wall: testWall}, false, testWall - 50_000, testWall - 40_000},
		{"in step", testWall, testClock{wall: testWall, known: true}, true, testWall, testWall + 10_000},
		{"far behind: jumps", testWall - 3_600_000, testClock{wall: testWall, known: true}, true, testWall, testWall + 10_000},
		{"a little behind: catches up", testWall - 900, testClock{wall: testWall, known: true}, true, testWall, testWall + 10_000},
		{"ahead: slewed", testWall + 60_000, testClock{wall: testWall, known: true}, true, testWall + 60_000, testWall + 60_000 + 9_500},
		{"leader an hour fast", testWall, testClock{wall: testWall + 3_600_000, offset: -3_600_000, known: true}, true, testWall, testWall + 10_000},
		{"leader an hour slow", testWall, testClock{wall: testWall - 3_600_000, offset: 3_600_000, known: true}, true, testWall, testWall + 10_000},
		{"leader an hour fast, alone", testWall, testClock{wall: testWall + 3_600_000}, false, testWall, testWall + 10_000},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := c.clock.pacer()
			p.start(c.floor)
			if got, ok := p.now(); ok != c.ok || got != c.atOnce {
				t.Errorf("at once %d, %v; want %d, %v", got, ok, c.atOnce, c.ok)
			}
			c.clock.pass(10 * time.Second)
			if got, ok := p.now(); ok != (c.floor > 0 || c.clock.known) || got != c.later {
				t.Errorf("later %d, %v; want %d, %v", got, ok, c.later, c.ok)
			}
		})
	}
}

// TestPacerCatchesUp lets a leader begin 900 ms behind the clocks of the members,
// which it comes to know sooner or later: it makes up for that before it gives
// anybody a time, and is only slewed if it has given one.
func TestPacerCatchesUp(t *testing.T) {
	for name, c := range map[string]struct {
		unknown time.Duration // from the start on
		ok      bool          // there was a time before they were known
		lag     int64         // when they are, in milliseconds
	}{
		"known at once":             {0, false, 0},
		"after a round trip":        {3 * time.Millisecond, false, 0},
		"just in time":              {catchUpMax, false, 0},
		"given up":                  {catchUpMax + time.Millisecond, true, 900},
		"given up, and known later": {catchUpMax + 2*time.Second, true, 900},
	} {
		t.Run(name, func(t *testing.T) {
			clock := testClock{wall: testWall}
			p := clock.pacer()
			p.start(testWall - 900)
			for passed := time.Duration(0); passed < c.unknown; passed += time.Millisecond {
				if _, ok := p.now(); ok != (passed > catchUpMax) {
					t.Fatalf("after %v: %v", passed, ok)
				}
				clock.pass(time.Millisecond)
			}
			if _, ok := p.now(); ok != c.ok {
				t.Fatalf("before the clocks are known: %v", ok)
			}
			clock.known = true
			if got, ok := p.now(); !ok || clock.wall-got != c.lag {
				t.Fatalf("%d ms behind, %v; want %d", clock.wall-got, ok, c.lag)
			}
			clock.pass(time.Second)
			if got, _ := p.now(); clock.wall-got != max(c.lag-50, 0) {
				t.Errorf("a second later %d ms behind", clock.wall-got)
			}
			// The same lag from a clock that was set is slewed in any case.
			p.start(clock.wall)
			p.now()
			clock.wall += 900
			if got, _ := p.now(); clock.wall-got != 900 {
				t.Errorf("after the clocks were set %d ms behind", clock.wall-got)
			}
		})
	}
}

// TestPacerReadsBothClocksAtOnce lets the process be stopped between a look at
// one clock and at the other: what it reads then is not believed.
func TestPacerReadsBothClocksAtOnce(t *testing.T) {
	clock := testClock{wall: testWall, known: true}
	p := clock.pacer()
	read := p.median
	p.median = func() (int64, bool) {
		wall, ok := read()
		clock.pass(800 * time.Millisecond)
		return wall, ok
	}
	p.start(testWall - 400)
	if got, ok := p.now(); ok {
		t.Errorf("%d is a time", got)
	}
	p.median = read
	if got, ok := p.now(); !ok || got != clock.wall {
		t.Errorf("%d, %v; want %d", got, ok, clock.wall)
	}
}

// TestPacerNeverBack lets the wall clocks do anything.
func TestPacerNeverBack(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 3))
	c := testClock{wall: testWall, known: true}
	p := c.pacer()
	p.start(testWall)
	last := int64(testWall)
	for range 5000 {
		before := c.mono
		c.pass(time.Duration(r.IntN(100)) * time.Millisecond)
		switch r.IntN(10) {
		case 0:
			c.wall += r.Int64N(7_200_000) - 3_600_000
		case 1:
			c.offset = r.Int64N(4000) - 2000
		case 2:
			c.known = !c.known
		}
		ahead := c.wall + c.offset - last
		got, ok := p.now()
		if !ok || got < last {
			t.Fatalf("%d after %d, %v", got, last, ok)
		}
		passed := (c.mono - before).Milliseconds()
		if d := got - last; d < passed-passed/slewDiv-2 || (!c.known || ahead < jumpMin.Milliseconds()) && d > passed+passed/slewDiv+2 {
			t.Fatalf("%d ms pass as %d", passed, d)
		}
		last = got
	}
}
