package sim

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// reachSettled is how long a leader leads before its links get slow: a new one
// stays for ten seconds in any case.
const reachSettled = 12 * time.Second

// slowLinks makes everything take longer from and to node i; 0: as usual.
func slowLinks(c *Cluster, i int, d time.Duration) {
	for o := 1; o <= c.Nodes(); o++ {
		if o == i {
			continue
		}
		for _, r := range [][2]string{{c.Name(i), c.Name(o)}, {c.Name(o), c.Name(i)}} {
			c.Net.Set(r[0], r[1], func(p *Path) { p.Delay = delayDefault + d })
		}
	}
}

// terms returns how many terms began while f ran.
func terms(t *testing.T, c *Cluster, f func()) uint64 {
	t.Helper()
	before := term(t, c, c.WaitLeader(1))
	f()
	return term(t, c, c.WaitLeader(1)) - before
}

// A leader whose links are slow, and not cut, hands over to one whose links are
// not, stays away, and writes are quick again. When the links are as they were
// leadership stays where it is.
func TestLeaderLeavesSlowLinks(t *testing.T) {
	for i, nodes := range []int{3, 5} {
		bubbleLoad(t, Options{Seed: 320 + uint64(i), Nodes: nodes}, LoadOptions{Clients: 2, Timeout: 5 * time.Second}, func(c *Cluster) {
			lead := c.WaitLeader(1)
			time.Sleep(reachSettled)
			at := c.WaitLeader(1)
			before := slowest(c, lead%nodes+1, 20)
			slowLinks(c, lead, 100*time.Millisecond)
			began := time.Now()
			for c.Leader(1) == at || c.Leader(1) == 0 {
				if time.Since(began) > 12*time.Second {
					t.Fatalf("node %d still leads after %v", at, time.Since(began))
				}
				time.Sleep(50 * time.Millisecond)
			}
			next := c.Leader(1)
			t.Logf("%d nodes: left after %v", nodes, time.Since(began))
			if changes := terms(t, c, func() {
				time.Sleep(time.Second)
				if after := slowest(c, next, 20); after > 2*before+20*time.Millisecond {
					t.Errorf("a write took up to %v, before %v", after, before)
				}
				time.Sleep(15 * time.Second)
				slowLinks(c, lead, 0)
				time.Sleep(15 * time.Second)
			}); changes != 0 || c.Leader(1) != next {
				t.Errorf("leadership moved on: from node %d to %d, %d terms", next, c.Leader(1), changes)
			}
		})
	}
}

// Nodes far from each other, 200 ms there and back, answer reads and writes all the
// same, through leaders and followers, each within a few of these ways, and the
// leader stays.
func TestLongLinksServeReads(t *testing.T) {
	bubbleLoad(t, Options{Seed: 323}, LoadOptions{Clients: 2, Timeout: 5 * time.Second}, func(c *Cluster) {
		c.WaitLeader(1)
		for i := 1; i <= c.Nodes(); i++ {
			slowLinks(c, i, 100*time.Millisecond)
		}
		time.Sleep(2 * time.Second)
		if changes := terms(t, c, func() {
			for i := 1; i <= c.Nodes(); i++ {
				k := c.Client("").At(i)
				for range 20 {
					start := time.Now()
					k.Must("SET", "far", "x")
					wrote := time.Since(start)
					k.Must("GET", "far")
					if both := time.Since(start); both > 2500*time.Millisecond {
						t.Errorf("node %d: a write took %v, a read %v", i, wrote, both-wrote)
					}
				}
				k.Close()
			}
		}); changes != 0 {
			t.Errorf("leadership moved, %d terms", changes)
		}
		for i := 1; i <= c.Nodes(); i++ {
			slowLinks(c, i, 0)
		}
	})
}

// Nodes too far from each other for any leader to last say so, and how far it is,
// whenever they are asked; once the links are faster all is well.
func TestTooFarApartIsSaid(t *testing.T) {
	bubble(t, Options{Seed: 324}, func(t *testing.T, c *Cluster) {
		c.WaitLeader(1)
		for i := 1; i <= c.Nodes(); i++ {
			slowLinks(c, i, 200*time.Millisecond)
		}
		time.Sleep(10 * time.Second)
		for range 10 {
			for i := 1; i <= c.Nodes(); i++ {
				s, err := Verdict(c, i)
				if err != nil || !strings.Contains(s.Verdict, fmt.Sprintf("too slowly: seen from node %d the way there and back takes 4", i)) {
					t.Errorf("node %d says: %s, %v", i, s.Verdict, err)
				}
			}
			time.Sleep(130 * time.Millisecond)
		}
		for i := 1; i <= c.Nodes(); i++ {
			slowLinks(c, i, 0)
		}
		c.WaitLeader(1)
		time.Sleep(5 * time.Second)
		if s, err := Verdict(c, 1); err != nil || !strings.HasPrefix(s.Verdict, "Healthy.") {
			t.Errorf("once the links are fast: %s, %v", s.Verdict, err)
		}
	})
}

// When all links are slow nobody would do better: leadership stays.
func TestAllLinksSlowLeaderStays(t *testing.T) {
	bubbleLoad(t, Options{Seed: 322}, LoadOptions{Clients: 2, Timeout: 5 * time.Second}, func(c *Cluster) {
		lead := c.WaitLeader(1)
		time.Sleep(reachSettled)
		for i := 1; i <= c.Nodes(); i++ {
			slowLinks(c, i, 40*time.Millisecond)
		}
		if changes := terms(t, c, func() { time.Sleep(30 * time.Second) }); changes != 0 || c.Leader(1) != lead {
			t.Errorf("leadership moved: from node %d to %d, %d terms", lead, c.Leader(1), changes)
		}
		for i := 1; i <= c.Nodes(); i++ {
			slowLinks(c, i, 0)
		}
	})
}

// Links that are slow by turns move leadership a few times at most, not with each
// turn.
func TestFlappingLinksDoNotMakeLeadershipFlap(t *testing.T) {
	for i, turn := range []time.Duration{5 * time.Second, 12 * time.Second} {
		bubbleLoad(t, Options{Seed: 330 + uint64(i)}, LoadOptions{Clients: 2, Timeout: 5 * time.Second}, func(c *Cluster) {
			c.WaitLeader(1)
			time.Sleep(reachSettled)
			const long = 100 * time.Second
			changes := terms(t, c, func() {
				for n, began := 0, time.Now(); time.Since(began) < long; n++ {
					i := n%c.Nodes() + 1
					slowLinks(c, i, 100*time.Millisecond)
					time.Sleep(turn)
					slowLinks(c, i, 0)
				}
			})
			t.Logf("turns of %v: leadership moved %d times in %v", turn, changes, long)
			if changes > 3 {
				t.Errorf("turns of %v: leadership moved %d times in %v", turn, changes, long)
			}
		})
	}
}
