package sim

import (
	"fmt"
	"testing"
	"time"
)

// settled is how long a leader leads before a disk gets slow: a new one stays
// for a while in any case.
const settled = 4 * time.Second

// writeLoad keeps a few clients writing and reading while f runs.
func writeLoad(t *testing.T, seed uint64, f func(c *Cluster, lead int)) {
	t.Helper()
	h := bubbleLoad(t, Options{Seed: seed}, LoadOptions{Clients: 6, Timeout: 5 * time.Second}, func(c *Cluster) {
		lead := c.WaitLeader(1)
		time.Sleep(settled)
		f(c, lead)
	})
	if len(h.Ops) < 200 {
		t.Errorf("only %d operations", len(h.Ops))
	}
}

func term(t *testing.T, c *Cluster, i int) uint64 {
	t.Helper()
	s, err := c.Status(i)
	if err != nil {
		t.Fatal(err)
	}
	return s.Shards[0].Term
}

// slowest returns how long the slowest of n writes takes.
func slowest(c *Cluster, node, n int) time.Duration {
	k := c.Client("").At(node)
	defer k.Close()
	var longest time.Duration
	for i := range n {
		start := time.Now()
		k.Must("SET", "probe", fmt.Sprint(i))
		longest = max(longest, time.Since(start))
	}
	return longest
}

// Faults 16: leadership leaves a disk that gets slow within 2 s, stays away,
// and writes are as quick as before.
func TestLeaderLeavesSlowDisk(t *testing.T) {
	for i, fsync := range []time.Duration{200 * time.Millisecond, 300 * time.Millisecond, 2 * time.Second} {
		t.Run(fsync.String(), func(t *testing.T) {
			writeLoad(t, 60+uint64(i), func(c *Cluster, lead int) {
				before := slowest(c, lead, 50)
				c.SlowDisk(lead, fsync)
				began := time.Now()
				for c.Leader(1) == lead || c.Leader(1) == 0 {
					if time.Since(began) > 2*time.Second {
						t.Fatalf("node %d still leads after %v", lead, time.Since(began))
					}
					time.Sleep(10 * time.Millisecond)
				}
				next := c.Leader(1)
				t.Logf("left after %v", time.Since(began))
				time.Sleep(time.Second)
				at := term(t, c, next)
				if after := slowest(c, next, 50); after > 2*before+20*time.Millisecond {
					t.Errorf("a write took up to %v, before %v", after, before)
				}
				time.Sleep(15 * time.Second)
				if l, now := c.Leader(1), term(t, c, next); l != next || now != at {
					t.Errorf("leadership moved on: node %d in term %d, then node %d in term %d", next, at, l, now)
				}
			})
		})
	}
}

// When all disks are slow nobody would do better: leadership stays.
func TestAllDisksSlowLeaderStays(t *testing.T) {
	writeLoad(t, 70, func(c *Cluster, lead int) {
		at := term(t, c, lead)
		for range 40 { // 20 s
			for i := 1; i <= c.Nodes(); i++ {
				c.SlowDisk(i, time.Duration(150+c.Rand.IntN(300))*time.Millisecond)
			}
			time.Sleep(500 * time.Millisecond)
		}
		if l, now := c.Leader(1), term(t, c, lead); l != lead || now != at {
			t.Errorf("leadership moved: node %d in term %d, then node %d in term %d", lead, at, l, now)
		}
	})
}

// One long fsync is sat out.
func TestHiccupOfDiskLeaderStays(t *testing.T) {
	writeLoad(t, 71, func(c *Cluster, lead int) {
		at := term(t, c, lead)
		for range 10 {
			c.SlowDisk(lead, 400*time.Millisecond)
			time.Sleep(50 * time.Millisecond)
			c.SlowDisk(lead, 0)
			time.Sleep(time.Second)
		}
		if l, now := c.Leader(1), term(t, c, lead); l != lead || now != at {
			t.Errorf("leadership moved: node %d in term %d, then node %d in term %d", lead, at, l, now)
		}
	})
}

// Two slow disks of three: the quick node leads, and stays. A disk that is slow
// now and then moves leadership once, not each time.
func TestSlowDisksDoNotMakeLeadershipFlap(t *testing.T) {
	writeLoad(t, 72, func(c *Cluster, lead int) {
		quick := lead%3 + 1
		first := term(t, c, lead)
		began := time.Now()
		for time.Since(began) < 30*time.Second {
			for i := 1; i <= 3; i++ {
				if i != quick && c.Rand.IntN(2) == 0 {
					c.SlowDisk(i, 300*time.Millisecond)
				} else if i != quick {
					c.SlowDisk(i, 0)
				}
			}
			time.Sleep(2 * time.Second)
		}
		moved := term(t, c, quick) - first
		t.Logf("leadership moved %d times, node %d leads, node %d has the quick disk", moved, c.Leader(1), quick)
		if moved < 1 || moved > 3 {
			t.Errorf("leadership moved %d times in 30 s, want 1 to 3", moved)
		}
	})
}
