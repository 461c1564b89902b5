package sim

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// The reply path from the leader to the node that took the commands is cut
// again and again: the commands are applied, their answers never arrive, and
// the entry node sends them again, to the same leader or the next one.
func TestRepliesLostThenSentAgainApplyOnce(t *testing.T) {
	bubble(t, Options{Seed: 10}, func(t *testing.T, c *Cluster) {
		lead := c.WaitLeader(1)
		entry := lead%3 + 1
		const clients = 4
		seen := make([]map[string]bool, clients)
		unknown := make([]int, clients)
		stop := make(chan struct{})
		end := sync.OnceFunc(func() { close(stop) })
		defer end()
		var wg sync.WaitGroup
		for i := range clients {
			k := c.Client("").At(entry)
			seen[i] = make(map[string]bool)
			wg.Go(func() {
				defer k.Close()
				for n := 0; ; n++ {
					select {
					case <-stop:
						return
					case <-time.After(5 * time.Millisecond):
					}
					v, err := k.Do("INCR", "n")
					if err != nil || v.IsError() {
						unknown[i]++
						t.Logf("%s INCR: %v %s", stamp(), err, v.Str)
						continue
					}
					if seen[i][Text(v)] {
						t.Errorf("INCR answered %s twice", Text(v))
					}
					seen[i][Text(v)] = true
					// The history keeps its outcome, whatever it is.
					_, _ = k.Do("RPUSH", "list", fmt.Sprintf("%d:%d", i, n))
				}
			})
		}
		for round := range 12 {
			time.Sleep(300 * time.Millisecond)
			if lead = c.WaitLeader(1); lead == entry {
				// The answers do not travel: disturb how the entry node leads.
				c.CutOne(c.Name(lead%3+1), c.Name(lead))
			} else {
				c.CutOne(c.Name(lead), c.Name(entry))
			}
			switch round % 3 {
			case 0: // shorter than an election
				time.Sleep(150 * time.Millisecond)
			case 1: // the entry node votes for another
				time.Sleep(1500 * time.Millisecond)
			case 2: // the leader goes for good
				time.Sleep(100 * time.Millisecond)
				if lead != entry {
					c.Kill(lead)
					time.Sleep(700 * time.Millisecond)
					c.Start(lead)
				}
			}
			c.Heal()
		}
		time.Sleep(time.Second)
		end()
		wg.Wait()
		acked, open := make(map[string]bool), 0
		for i := range clients {
			open += unknown[i]
			for v := range seen[i] {
				if acked[v] {
					t.Errorf("two clients were told %s", v)
				}
				acked[v] = true
			}
		}
		k := c.Client("")
		defer k.Close()
		n, _ := strconv.Atoi(Text(k.At(1).Must("GET", "n")))
		if n < len(acked) || n > len(acked)+open {
			t.Errorf("n is %d after %d acknowledged and %d unknown INCR", n, len(acked), open)
		}
		items := k.Must("LRANGE", "list", "0", "-1").Elems
		twice := make(map[string]bool)
		for _, e := range items {
			if twice[Text(e)] {
				t.Errorf("element %s was pushed twice", Text(e))
			}
			twice[Text(e)] = true
		}
		t.Logf("%d acknowledged, %d unknown, n = %d", len(acked), open, n)
		if len(acked) < 500 {
			t.Errorf("only %d INCR were acknowledged", len(acked))
		}
	})
}

// The old leader is left with the minority, and clients on both sides.
func TestMinorityAnswersNothingStale(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			load := LoadOptions{Clients: 6, Hosts: []string{"c1", "c2"}, Timeout: 3 * time.Second}
			h := bubbleLoad(t, Options{Seed: 20 + seed}, load, func(c *Cluster) {
				for range 4 {
					time.Sleep(500 * time.Millisecond)
					lead := c.WaitLeader(1)
					minority, majority := []string{c.Name(lead), "c1"}, []string{"c2"}
					for i := 1; i <= 3; i++ {
						if i != lead {
							majority = append(majority, c.Name(i))
						}
					}
					c.Split(minority, majority)
					time.Sleep(time.Duration(200+c.Rand.IntN(3000)) * time.Millisecond)
					c.Heal()
				}
			})
			if len(h.Ops) < 500 {
				t.Errorf("only %d operations", len(h.Ops))
			}
		})
	}
}

// What a client of the minority is told must say whether the write counts.
func TestMinorityErrors(t *testing.T) {
	bubble(t, Options{Seed: 30}, func(t *testing.T, c *Cluster) {
		lead := c.WaitLeader(1)
		k := c.Client("").At(lead)
		defer k.Close()
		k.Must("SET", "k", "old")
		var others []string
		for i := 1; i <= 3; i++ {
			if i != lead {
				others = append(others, c.Name(i))
			}
		}
		c.Split([]string{c.Name(lead)}, others)
		v, err := k.Do("SET", "k", "lost")
		if err != nil || !strings.HasPrefix(string(v.Str), "UNCERTAIN ") {
			t.Errorf("SET in flight when the majority left: %v %s", err, v.Str)
		}
		v, err = k.Do("GET", "k")
		if err != nil || !strings.HasPrefix(string(v.Str), "CLUSTERDOWN ") {
			t.Errorf("GET without a majority: %v %s", err, Text(v))
		}
		v, err = k.Do("SET", "k", "refused")
		if err != nil || !strings.HasPrefix(string(v.Str), "CLUSTERDOWN ") {
			t.Errorf("SET without a leader: %v %s", err, v.Str)
		}
		// The other side goes on.
		o := c.Client("")
		defer o.Close()
		for _, i := range []int{lead%3 + 1, (lead+1)%3 + 1} {
			if got := Text(o.At(i).Must("GET", "k")); got != "old" {
				t.Errorf("the majority reads %q", got)
			}
		}
		o.Must("SET", "k", "new")
		c.Heal()
		time.Sleep(2 * time.Second)
		if got := Text(k.Must("GET", "k")); got != "new" {
			t.Errorf("after healing: %q", got)
		}
		c.WaitEqual(10 * time.Second)
	})
}
