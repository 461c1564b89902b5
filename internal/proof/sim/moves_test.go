package sim

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"tutti/internal/proof/respclient"
)

// Clients wait for elements of a list and move them to another in the same step, while
// all that may happen to leaders happens: whoever breaks off, each element that was
// pushed is in one of the lists, once, and nobody is told that he moved what another has.
func TestMovesUnderFaults(t *testing.T) {
	bubble(t, Options{Seed: env("TUTTI_SIM_SEED", 4700)}, func(t *testing.T, c *Cluster) {
		c.WaitLeader(1)
		q, stop := newQueueRun(), make(chan struct{})
		var wg sync.WaitGroup
		for n := range 6 {
			k, r := c.Client("").At(1+n%3), rand.New(rand.NewPCG(c.Rand.Uint64(), uint64(n)))
			if n < 2 {
				wg.Go(func() { q.produce(k, n, r, stop) })
			} else {
				wg.Go(func() { q.move(t, k, r, stop) })
			}
		}
		inTurn(c, 2*time.Second, true)
		operator{c}.Settle()
		time.Sleep(time.Second)
		close(stop)
		wg.Wait()
		time.Sleep(settleTime) // what was given up takes effect by then, or not at all
		q.checkMoves(t, c.Client(""))
	})
}

// move moves elements until stop.
func (q *queueRun) move(t *testing.T, k *Client, r *rand.Rand, stop <-chan struct{}) {
	defer k.Close()
	for {
		select {
		case <-stop:
			return
		default:
		}
		cmd := []string{"BLMOVE", "queue", "moved", "LEFT", "RIGHT", "1"}
		if r.IntN(4) == 0 {
			cmd = []string{"LMOVE", "queue", "moved", "LEFT", "RIGHT"}
		}
		v, err := k.Do(cmd...)
		q.mu.Lock()
		switch {
		case err != nil || respclient.Err(v) != nil:
			q.broken++
			k.Close()
			k.At(1 + r.IntN(3))
		case !v.Null:
			q.served++
			if q.got[string(v.Str)]++; q.got[string(v.Str)] > 1 {
				t.Errorf("%s %s was moved twice", stamp(), v.Str)
			}
		}
		q.mu.Unlock()
		if cmd[0] == "LMOVE" {
			time.Sleep(time.Duration(r.IntN(100)) * time.Millisecond)
		}
	}
}

// checkMoves compares the lists with what was told of them.
func (q *queueRun) checkMoves(t *testing.T, k *Client) {
	places := make(map[string][]string)
	var order [2]int // of the newest element of each producer that was moved
	for _, key := range []string{"moved", "queue"} {
		for _, v := range k.Must("LRANGE", key, "0", "-1").Elems {
			val := string(v.Str)
			places[val] = append(places[val], key)
			var producer, n int
			if _, err := fmt.Sscanf(val, "%d.%d", &producer, &n); err != nil || n < order[producer] && !q.maybe[val] {
				t.Errorf("%s is in %s behind %d: %v", val, key, order[producer], err)
			}
			order[producer] = max(order[producer], n)
		}
	}
	for val, in := range places {
		if len(in) > 1 || !q.pushed[val] && !q.maybe[val] {
			t.Errorf("%s is in %v; pushed %v, perhaps %v", val, in, q.pushed[val], q.maybe[val])
		}
	}
	for val := range q.pushed {
		if places[val] == nil {
			t.Errorf("%s was pushed and is nowhere", val)
		}
	}
	for val := range q.got {
		if len(places[val]) != 1 || places[val][0] != "moved" {
			t.Errorf("%s was moved and is in %v", val, places[val])
		}
	}
	if q.served == 0 {
		t.Error("nothing was moved")
	}
	t.Logf("%d pushed, %d moved, %d broken off", len(q.pushed), q.served, q.broken)
}
