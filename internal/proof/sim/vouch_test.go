package sim

import (
	"testing"
	"time"
)

// reads returns how long a read at a node takes, at the longest within d.
func reads(t *testing.T, k *Client, d time.Duration) (most time.Duration) {
	t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); {
		start := time.Now()
		if got := Text(k.Must("GET", "a")); got != "v" {
			t.Fatalf("%s read %s", stamp(), got)
		}
		most = max(most, time.Since(start))
	}
	return most
}

// A read at any voter takes as long as the way to the leader and back, and one at a learner
// half of that more: its question goes by way of a voter.
func TestFollowersAskOnce(t *testing.T) {
	bubble(t, Options{Seed: 492, Nodes: 5, AutoPlace: true}, func(t *testing.T, all *Cluster) {
		c := operator{all}
		c.waitShape([]int{1, 2, 3}, []int{4, 5})
		c.Client("").At(c.WaitLeader(1)).Must("SET", "a", "v")
		const way = 10 * time.Millisecond
		for a := 1; a <= c.Nodes(); a++ {
			for b := 1; b <= c.Nodes(); b++ {
				if a != b {
					c.Net.Set(c.Name(a), c.Name(b), func(p *Path) { p.Delay, p.Jitter = way, 0 })
				}
			}
		}
		for i := 1; i <= c.Nodes(); i++ {
			k := c.Client("").At(i)
			reads(t, k, 5*time.Second) // until what was too slow for the ways before is tried again
			ways := time.Duration(2)
			if i > 3 {
				ways = 3
			}
			if most := reads(t, k, time.Second); most > ways*way+way/2 {
				t.Errorf("a read at node %d takes %v, want %d ways of %v", i, most, ways, way)
			}
		}
	})
}

// Who reads at a learner does not notice that a voter, by way of which it asks, is cut off
// from it or from the leader without a word, stands still, or is killed.
func TestLearnersReadWithoutAnyVoter(t *testing.T) {
	bubble(t, Options{Seed: 493, Nodes: 5, AutoPlace: true}, func(t *testing.T, all *Cluster) {
		c := operator{all}
		c.waitShape([]int{1, 2, 3}, []int{4, 5})
		lead := c.WaitLeader(1)
		k := c.Client("").At(4)
		k.Must("SET", "a", "v")
		usual := reads(t, k, time.Second)
		for f := 1; f <= 3; f++ {
			if f == lead {
				continue
			}
			for what, stop := range []func(){
				func() { c.Cut(c.Name(lead), c.Name(f)) },
				func() { c.CutOne(c.Name(f), c.Name(lead)) },
				func() { c.CutOne(c.Name(4), c.Name(f)) },
				func() { c.Pause(f) },
				func() { c.Kill(f) },
			} {
				stop()
				if most := reads(t, k, 3*time.Second); most > usual+20*time.Millisecond {
					t.Errorf("%s without node %d (%d) a read takes %v, %v before", stamp(), f, what, most, usual)
				}
				c.Recover()
				reads(t, k, time.Second)
			}
		}
	})
}
