package sim

import (
	"testing"
	"time"
)

// Many clients of one node, whose commands its event loop sends together, while
// what it sends and is answered gets lost, and leaders come and go: each is
// answered what its own commands came to, and none is executed twice or not at all.
func TestClientsOfALoopUnderFaults(t *testing.T) {
	load := LoadOptions{Clients: 10, Keys: 8, Nodes: []int{1}, Think: time.Millisecond, Kinds: []string{"register", "adds"}}
	bubbleLoad(t, Options{Seed: 610}, load, func(c *Cluster) {
		for range 3 {
			l := c.WaitLeader(1)
			time.Sleep(time.Duration(200+c.Rand.IntN(300)) * time.Millisecond)
			c.Crash(l)
			time.Sleep(time.Duration(c.Rand.IntN(1500)) * time.Millisecond)
			c.Start(l)
		}
	})
}
