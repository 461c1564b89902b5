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
