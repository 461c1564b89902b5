package sim

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"
)

// handOverMax is the goal for the longest time between two acknowledged writes
// while a leader is stopped by its operator, with fsyncs of syncDelay.
const handOverMax = 10 * time.Millisecond

func TestHandOverIsShort(t *testing.T) {
	bubble(t, Options{Seed: 300}, func(t *testing.T, c *Cluster) {
		var gaps []time.Duration
		for range 9 {
			lead := c.WaitLeader(1)
			time.Sleep(time.Second)
			gaps = append(gaps, gapOfWrites(c, lead, func() { c.Stop(lead) }))
			c.Start(lead)
			time.Sleep(time.Second)
		}
		slices.Sort(gaps)
		t.Logf("longest gaps between writes, of %d hand-overs: median %v, max %v", len(gaps), gaps[len(gaps)/2], gaps[len(gaps)-1])
		if m := gaps[len(gaps)/2]; m > handOverMax {
			t.Errorf("median %v, want at most %v", m, handOverMax)
		}
	})
}

// gapOfWrites returns the longest time between two acknowledged writes through
// the nodes other than one while f runs.
func gapOfWrites(c *Cluster, except int, f func()) time.Duration {
	var mu sync.Mutex // guards what follows
	var last time.Time
	var longest time.Duration
	acked := func() {
		mu.Lock()
		defer mu.Unlock()
		now := time.Now()
		if !last.IsZero() {
			longest = max(longest, now.Sub(last))
		}
		last = now
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for i := 1; i <= c.Nodes(); i++ {
		if i == except {
			continue
		}
		for w := range 2 {
			k := c.Client("").At(i)
			wg.Go(func() {
				defer k.Close()
				for n := 0; ; n++ {
					select {
					case <-stop:
						return
					case <-time.After(100 * time.Microsecond):
					}
					k.Must("SET", fmt.Sprintf("gap:%d:%d", i, w), fmt.Sprint(n))
					acked()
				}
			})
		}
	}
	time.Sleep(100 * time.Millisecond)
	mu.Lock()
	longest = 0
	mu.Unlock()
	f()
	time.Sleep(100 * time.Millisecond)
	close(stop)
	wg.Wait()
	return longest
}

// Busy disks and links make votes slow: the connection to the leader that
// stopped ends before its successor is elected. The election is one all the
// same: nobody runs against the successor, and the old leader stays until its
// vote has left. (On real processes two runs crossed, and 0.7 s passed.)
func TestHandOverOnBusyMachineTakesOneElection(t *testing.T) {
	bubble(t, Options{Seed: 301}, func(t *testing.T, c *Cluster) {
		for range 10 {
			lead := c.WaitLeader(1)
			time.Sleep(time.Second)
			before := term(t, c, lead)
			for i := 1; i <= 3; i++ {
				c.SlowDisk(i, time.Duration(10+c.Rand.IntN(90))*time.Millisecond)
			}
			a, b := c.Name(lead%3+1), c.Name((lead+1)%3+1)
			slow := func(p *Path) { p.Delay = time.Duration(5+c.Rand.IntN(30)) * time.Millisecond }
			c.Net.Set(a, b, slow)
			c.Net.Set(b, a, slow)
			c.Stop(lead)
			time.Sleep(2 * time.Second)
			if after := term(t, c, lead%3+1); after != before+1 {
				t.Errorf("the term went from %d to %d", before, after)
			}
			c.Heal()
			c.Start(lead)
			for i := 1; i <= 3; i++ {
				c.SlowDisk(i, 0)
			}
			time.Sleep(time.Second)
		}
	})
}

// The only voter of a shard has nobody to wait for when it stops, even if other
// nodes have copies.
func TestStopOfTheOnlyVoterIsQuick(t *testing.T) {
	bubble(t, Options{Seed: 303, Nodes: 2, AutoPlace: true}, func(t *testing.T, c *Cluster) {
		lead := c.WaitLeader(1)
		began := time.Now()
		c.Stop(lead)
		if took := time.Since(began); took > 500*time.Millisecond {
			t.Errorf("it took %v", took)
		}
		c.Start(lead)
	})
}
