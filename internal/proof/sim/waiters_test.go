package sim

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"tutti/internal/proof/respclient"
	"tutti/internal/resp"
)

// Clients wait for elements of a list through all nodes, while leaders die, are cut
// off or lose their power, and links break: each element goes to one of them at most,
// none is lost but what was given to one whose connection broke, and nobody who
// waits is forgotten.

// queueRun is what became of the elements of a list.
type queueRun struct {
	mu     sync.Mutex
	pushed map[string]bool // acknowledged
	maybe  map[string]bool // pushed, with an outcome that nobody knows
	got    map[string]int
	broken int // waits that ended without an answer, each of which may have taken one
	served int
}

func newQueueRun() *queueRun {
	return &queueRun{pushed: map[string]bool{}, maybe: map[string]bool{}, got: map[string]int{}}
}

func (q *queueRun) produce(k *Client, id int, r *rand.Rand, stop <-chan struct{}) {
	for n := 0; ; n++ {
		select {
		case <-stop:
			return
		case <-time.After(time.Duration(r.IntN(80)) * time.Millisecond):
		}
		val := fmt.Sprintf("%d.%d", id, n)
		v, err := k.Do("RPUSH", "queue", val)
		q.mu.Lock()
		switch {
		case err == nil && respclient.Err(v) == nil:
			q.pushed[val] = true
		default:
			q.maybe[val] = true
			k.At(1 + r.IntN(3))
		}
		q.mu.Unlock()
	}
}

func (q *queueRun) consume(t *testing.T, k *Client, r *rand.Rand, stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		default:
		}
		began := time.Now()
		v, err := k.Do("BLPOP", "other", "queue", "1")
		took := time.Since(began)
		q.mu.Lock()
		switch {
		case err != nil || respclient.Err(v) != nil:
			q.broken++
			k.Close()
			k.At(1 + r.IntN(3))
		case len(v.Elems) == 2:
			q.got[string(v.Elems[1].Str)]++
			q.served++
		case took < 900*time.Millisecond:
			t.Errorf("%s a wait of a second ended after %v", stamp(), took)
		}
		q.mu.Unlock()
	}
}

func (q *queueRun) check(t *testing.T, rest []resp.Value) {
	for _, v := range rest {
		q.got[string(v.Str)]++
	}
	lost := 0
	for val := range q.pushed {
		if q.got[val] == 0 {
			lost++
		}
	}
	for val, n := range q.got {
		if n > 1 {
			t.Errorf("%s was taken %d times", val, n)
		}
		if !q.pushed[val] && !q.maybe[val] {
			t.Errorf("%s was never pushed", val)
		}
	}
	if lost > q.broken {
		t.Errorf("%d elements are lost, and only %d waits were broken off", lost, q.broken)
	}
	if q.served == 0 {
		t.Error("nobody was served")
	}
	t.Logf("%d pushed, %d served, %d left, %d broken, %d lost with those", len(q.pushed), q.served, len(rest), q.broken, lost)
}

func TestWaitersUnderFaults(t *testing.T) {
	for i, trouble := range []struct {
		name   string
		strike func(c *Cluster, lead, other int)
	}{
		{"the leader dies", func(c *Cluster, lead, _ int) { c.Kill(lead) }},
		{"the power of the leader goes", func(c *Cluster, lead, _ int) { c.Crash(lead) }},
		{"an entry node dies", func(c *Cluster, _, other int) { c.Kill(other) }},
		{"the leader is cut off", func(c *Cluster, lead, other int) {
			c.Cut(c.Name(lead), c.Name(other))
			c.Cut(c.Name(lead), c.Name(6-lead-other))
		}},
		{"its words are lost", func(c *Cluster, lead, other int) { c.CutOne(c.Name(lead), c.Name(other)) }},
		{"links break", func(c *Cluster, lead, other int) { c.Net.Reset(c.Name(lead), c.Name(other)) }},
	} {
		t.Run(trouble.name, func(t *testing.T) {
			bubble(t, Options{Seed: 900 + uint64(i)}, func(t *testing.T, c *Cluster) {
				c.WaitLeader(1)
				q, stop := newQueueRun(), make(chan struct{})
				var wg sync.WaitGroup
				for n := range 6 {
					k, r := c.Client(""), rand.New(rand.NewPCG(c.Rand.Uint64(), uint64(n)))
					k.At(1 + n%3)
					if n < 2 {
						wg.Go(func() { q.produce(k, n, r, stop) })
					} else {
						wg.Go(func() { q.consume(t, k, r, stop) })
					}
				}
				for range 4 {
					time.Sleep(2 * time.Second)
					lead := c.WaitLeader(1)
					trouble.strike(c, lead, 1+lead%3)
					time.Sleep(3 * time.Second)
					c.Recover()
				}
				operator{c}.Settle()
				time.Sleep(3 * time.Second)
				close(stop)
				wg.Wait()
				v, err := c.Client("").Do("LRANGE", "queue", "0", "-1")
				if err != nil {
					t.Fatal(err)
				}
				q.check(t, v.Elems)
			})
		})
	}
}
