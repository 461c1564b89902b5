package sim

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"tutti/internal/proof/respclient"
)

// Clients publish and listen through all nodes, while nodes die, are cut off or
// frozen, and links break, or lose, repeat and reorder frames: nobody is told anything
// twice, or in another order than that of its publisher, and once all is well again
// the next message reaches everybody.

// hearing is what one subscriber was told.
type hearing struct {
	mu    sync.Mutex
	last  map[string]int // by connection of a publisher
	count int
	final map[string]bool // that have come of the last round
}

// listen listens to everything until the connection of k is closed for good.
func (h *hearing) listen(t *testing.T, k *Client, stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case <-time.After(50 * time.Millisecond):
		}
		if v, err := k.Do("PSUBSCRIBE", "p*"); err != nil || respclient.Err(v) != nil {
			k.Close()
			continue
		}
		conn := k.conn
		ended := make(chan struct{})
		go func() {
			select {
			case <-stop:
				conn.Close()
			case <-ended:
			}
		}()
		_ = conn.SetDeadline(time.Time{})
		for {
			v, err := conn.Receive()
			if err != nil {
				break
			}
			h.heard(t, string(v.Elems[3].Str))
		}
		close(ended)
		k.Close()
	}
}

func (h *hearing) heard(t *testing.T, message string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if name, ok := strings.CutPrefix(message, "final "); ok {
		h.final[name] = true
		return
	}
	var who string
	var n int
	if _, err := fmt.Sscan(message, &who, &n); err != nil {
		t.Errorf("%q was published by nobody", message)
	}
	if last, heard := h.last[who]; heard && n <= last {
		t.Errorf("%s message %d of %s comes after %d", stamp(), n, who, last)
	}
	h.last[who] = n
	h.count++
}

// publishAll publishes until stop; each connection is a publisher of its own.
func publishAll(k *Client, r *rand.Rand, stop <-chan struct{}) (published int) {
	connection := 0
	for n := 0; ; n++ {
		select {
		case <-stop:
			return published
		case <-time.After(time.Duration(r.IntN(20)) * time.Millisecond):
		}
		batch := make([][]string, 1+r.IntN(5))
		for i := range batch {
			batch[i] = []string{"PUBLISH", fmt.Sprint("p", r.IntN(3)), fmt.Sprintf("%s.%d %d", k.Host(), connection, n)}
			n++
		}
		if _, err := k.Pipe(batch...); err != nil {
			connection++
			k.At(1 + r.IntN(3))
		}
		published += len(batch)
	}
}

func TestMessagesUnderFaults(t *testing.T) {
	for i, trouble := range []struct {
		name   string
		strike func(c *Cluster, a, b int)
	}{
		{"a node dies", func(c *Cluster, a, _ int) { c.Kill(a) }},
		{"a node is cut off", func(c *Cluster, a, b int) {
			c.Cut(c.Name(a), c.Name(b))
			c.Cut(c.Name(a), c.Name(6-a-b))
		}},
		{"words are lost one way", func(c *Cluster, a, b int) { c.CutOne(c.Name(a), c.Name(b)) }},
		{"links break", func(c *Cluster, a, b int) { c.Net.Reset(c.Name(a), c.Name(b)) }},
		{"a node is frozen", func(c *Cluster, a, _ int) { c.Pause(a) }},
		{"frames are lost, repeated and late", func(c *Cluster, a, b int) {
			c.Net.Set(c.Name(a), c.Name(b), func(p *Path) { p.Frames = Frames{Drop: 0.05, Duplicate: 0.1, Reorder: 0.1} })
		}},
	} {
		t.Run(trouble.name, func(t *testing.T) {
			bubble(t, Options{Seed: 1700 + uint64(i)}, func(t *testing.T, c *Cluster) {
				c.WaitLeader(1)
				stop, quiet := make(chan struct{}), make(chan struct{})
				var publishers, listeners sync.WaitGroup
				var all [3]*hearing
				for n := range all {
					h := &hearing{last: map[string]int{}, final: map[string]bool{}}
					all[n] = h
					ear, mouth, r := c.Client(""), c.Client(""), rand.New(rand.NewPCG(c.Rand.Uint64(), uint64(n)))
					ear.At(n + 1)
					mouth.At(n + 1)
					listeners.Go(func() { h.listen(t, ear, stop) })
					publishers.Go(func() { publishAll(mouth, r, quiet) })
				}
				for round := range 3 {
					time.Sleep(time.Second)
					a := 1 + c.Rand.IntN(3)
					trouble.strike(c, a, 1+a%3)
					time.Sleep(time.Duration(2+4*(round%2)) * time.Second) // in the longer one links are given up
					c.Recover()
				}
				close(quiet)
				publishers.Wait()
				time.Sleep(8 * time.Second) // links are made again, and clients come back
				for n := range all {
					k := c.Client("").At(n + 1)
					if got := k.Must("PUBLISH", "p", fmt.Sprint("final ", n)); got.Int != int64(len(all)) {
						t.Errorf("a message through node %d has %d receivers", n+1, got.Int)
					}
					k.Close()
				}
				time.Sleep(time.Second)
				close(stop)
				listeners.Wait()
				for n, h := range all {
					if len(h.final) != len(all) || h.count == 0 {
						t.Errorf("node %d: %d messages were heard, and of the last round %v", n+1, h.count, h.final)
					}
				}
				t.Logf("%d, %d and %d messages were heard", all[0].count, all[1].count, all[2].count)
			})
		})
	}
}
