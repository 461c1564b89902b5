package sim

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/cryptotest"
	"testing/synctest"
	"time"

	"tutti/internal/proof/check"
)

// bubble runs f with a cluster on virtual time.
func bubble(t *testing.T, opts Options, f func(t *testing.T, c *Cluster)) {
	t.Helper()
	cryptotest.SetGlobalRandom(t, opts.Seed)
	defer time.AfterFunc(standstill, func() { stoodStill(t.Name()) }).Stop()
	synctest.Test(t, func(t *testing.T) {
		c := New(t, opts)
		defer c.Close()
		f(t, c)
	})
}

// standstill is how long a simulation may take in real time: they take seconds, or
// some tens on a busy machine with the race detector.
const standstill = 4 * time.Minute

// stoodStill ends the process with what keeps a simulation's time from going on: a
// goroutine that waits for a mutex whose holder sleeps is not idle, says synctest,
// and so nothing wakes the holder. Those that are idle, thousands, are left out.
func stoodStill(test string) {
	all := make([]byte, 64<<20)
	all = all[:runtime.Stack(all, true)]
	var culprits []string
	for g := range strings.SplitSeq(string(all), "\n\n") {
		if head, _, _ := strings.Cut(g, "\n"); strings.Contains(head, "synctest bubble") && !strings.Contains(head, "durable") {
			culprits = append(culprits, g)
		}
		if strings.Contains(g, "(*gate).pass") {
			culprits = append(culprits, g) // a paused node: it may hold the mutex
		}
	}
	panic(fmt.Sprintf("%s stands still after %v; not idle, or paused:\n%s", test, standstill, strings.Join(culprits, "\n\n")))
}

// A read behind a write that had nothing to do must not wait until somebody
// else writes: nobody does here.
func TestReadBehindWriteWithoutEffect(t *testing.T) {
	bubble(t, Options{Seed: 4}, func(t *testing.T, c *Cluster) {
		lead := c.WaitLeader(1)
		for i := 1; i <= 3; i++ {
			k := c.Client("").At(i)
			k.Must("SET", "k", "v")
			start := time.Now()
			values, err := k.Pipe([]string{"DEL", "none"}, []string{"GET", "k"})
			if err != nil || Text(values[0]) != "0" || Text(values[1]) != "v" {
				t.Errorf("node %d (leader %d): %v %v", i, lead, err, values)
			}
			if took := time.Since(start); took > 500*time.Millisecond {
				t.Errorf("node %d (leader %d): took %v", i, lead, took)
			}
			k.Close()
		}
	})
}

// bubbleLoad runs faults while clients work, heals, reads everything through
// every node, compares the replicas, and judges what the clients saw.
func bubbleLoad(t *testing.T, opts Options, load LoadOptions, faults func(c *Cluster)) *check.History {
	t.Helper()
	var h *History
	bubble(t, opts, func(t *testing.T, c *Cluster) {
		h = NewHistory()
		c.live(h, load, func() { faults(c) })
	})
	return judge(t, h, "go test ./internal/proof/sim -run '^"+strings.ReplaceAll(t.Name(), "/", "$/^")+"$' -count=10")
}

// equalWithin bounds the time in which replicas must have applied the same
// after all faults.
const equalWithin = 10 * time.Second

// live is the life of a cluster: faults while clients work, then all is mended,
// and what is left is read and compared.
func (c *Cluster) live(h *History, load LoadOptions, faults func()) {
	for s := range c.opts.Shards {
		c.WaitLeader(s + 1)
	}
	l := c.StartLoad(h, load)
	faults()
	c.Recover()
	operator{c}.Settle()
	l.Stop()
	c.Recover() // a node may have met the last error of its disk only now
	l.ReadAll()
	c.WaitEqual(equalWithin)
}

func TestEveryNodeAnswersForEveryKey(t *testing.T) {
	bubble(t, Options{Seed: 1}, func(t *testing.T, c *Cluster) {
		c.WaitLeader(1)
		k := c.Client("")
		defer k.Close()
		for i := 1; i <= 3; i++ {
			name := c.Name(i)
			if got := Text(k.At(i).Must("SET", "key:"+name, name)); got != "OK" {
				t.Errorf("SET through %s: %s", name, got)
			}
		}
		for i := 1; i <= 3; i++ {
			for j := 1; j <= 3; j++ {
				if got := Text(k.At(i).Must("GET", "key:"+c.Name(j))); got != c.Name(j) {
					t.Errorf("GET %s through %s: %s", c.Name(j), c.Name(i), got)
				}
			}
		}
	})
}

func TestLoadWithoutFaultsIsLinearizable(t *testing.T) {
	h := bubbleLoad(t, Options{Seed: 2}, LoadOptions{}, func(c *Cluster) { time.Sleep(5 * time.Second) })
	if refused, unknown := h.Refused(), h.Count(check.Unknown); refused+unknown > 0 {
		t.Errorf("%d refused, %d unknown without a fault", refused, unknown)
	}
	if len(h.Ops) < 1000 {
		t.Errorf("only %d operations in 5 s", len(h.Ops))
	}
}

func TestLeaderLosesPowerUnderLoad(t *testing.T) {
	bubbleLoad(t, Options{Seed: 3}, LoadOptions{}, func(c *Cluster) {
		for range 4 {
			time.Sleep(time.Duration(500+c.Rand.IntN(1000)) * time.Millisecond)
			l := c.WaitLeader(1)
			c.Crash(l)
			time.Sleep(time.Duration(c.Rand.IntN(3000)) * time.Millisecond)
			c.Start(l)
		}
	})
}
