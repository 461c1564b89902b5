package sim

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tutti/internal/proof/respclient"
	"tutti/internal/resp"
)

// Every write gives all keys a next number, and everybody reads all of them at
// once through every node, while a leader falls and comes back. The rows are
// more than a node keeps in memory, and come in any order, so readers find some there
// and are about to keep others while the next entry is applied; and an entry is large enough to be
// committed beside the loop. Whoever read of memory what is not of his view would
// see two numbers, or one that was overwritten before he asked.
func TestRowsInMemoryAreOfTheView(t *testing.T) {
	const keys, writes = 600, 16
	bubble(t, Options{Seed: 71}, func(t *testing.T, c *Cluster) {
		c.WaitLeader(1)
		names := make([]string, keys)
		for i := range names {
			names[i] = fmt.Sprintf("k:%d", i)
		}
		var written atomic.Int64 // the newest number that was acknowledged
		var over, fallen atomic.Bool
		var wg sync.WaitGroup
		// Clients of one machine: the way from each takes the same time.
		inStep(c, "clients")
		for n := range 6 {
			i := n%3 + 1
			k, r := c.Client("clients").At(i), rand.New(rand.NewPCG(71, uint64(n)))
			wg.Go(func() {
				defer k.Close()
				read := append([]string{"MGET"}, names...)
				for reads := 0; !over.Load() || reads == 0; {
					r.Shuffle(keys, func(i, j int) { read[1+i], read[1+j] = read[1+j], read[1+i] })
					before := written.Load()
					v, err := k.Do(read...)
					if err != nil || respclient.Err(v) != nil || fallen.Load() {
						time.Sleep(50 * time.Millisecond) // or they would read all the time in which others are elected
						continue
					}
					reads++
					if text := oneNumber(v.Elems, before); text != "" {
						t.Errorf("through node %d: %s", i, text)
						return
					}
				}
			})
		}
		k := c.Client("clients").At(1)
		defer k.Close()
		for n := 1; n <= writes && !t.Failed(); n++ {
			write := []string{"MSET"}
			for _, key := range names {
				write = append(write, key, fmt.Sprintf("%08d%s", n, strings.Repeat("x", 1000)))
			}
			if v, err := k.Do(write...); err == nil && respclient.Err(v) == nil {
				written.Store(int64(n))
			}
			if n == writes/2 {
				lead := c.WaitLeader(1)
				fallen.Store(true)
				c.Crash(lead)
				k.At(lead%3 + 1)
				c.WaitLeader(1)
				c.Start(lead)
				fallen.Store(false)
			}
		}
		over.Store(true)
		wg.Wait()
		if written.Load() < writes*3/4 {
			t.Errorf("only %d of %d writes were acknowledged", written.Load(), writes)
		}
	})
}

// oneNumber says what is wrong with the values of all keys; "": nothing.
func oneNumber(values []resp.Value, before int64) string {
	var first int64
	if len(values) == 0 {
		return "no values"
	}
	for i, v := range values {
		n := int64(0) // it has not been written yet
		if text := respclient.Text(v); text != "nil" {
			if _, err := fmt.Sscanf(text, "%08d", &n); err != nil {
				return err.Error()
			}
		}
		if i == 0 {
			first = n
		}
		if n != first || n < before {
			return fmt.Sprintf("key %d has number %d, the first one has %d, and %d was acknowledged before", i, n, first, before)
		}
	}
	return ""
}

// inStep makes everything take the same time, so that much happens at one moment:
// time stands still while a command is evaluated, and nothing else would happen
// meanwhile.
func inStep(c *Cluster, client string) {
	hosts := []string{client}
	for i := range c.Nodes() {
		hosts = append(hosts, c.Name(i+1))
		c.machine(i + 1).disk.setDelay(0)
	}
	for _, a := range hosts {
		for _, b := range hosts {
			c.Net.Set(a, b, func(p *Path) { p.Jitter = 0 })
		}
	}
}
