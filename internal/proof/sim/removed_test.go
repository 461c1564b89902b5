package sim

import (
	"testing"
	"time"
)

// A node is taken out while it runs: by TLS, which knows members only, it is shut
// out at once, whether it hears of it or not. It ends when it learns why, and does
// not start again.
func TestRemovedNodeIsShutOut(t *testing.T) {
	for i, way := range cuts {
		t.Run(way.name, func(t *testing.T) {
			bubble(t, Options{Seed: 340 + uint64(i), Secured: true, Nodes: 4}, func(t *testing.T, all *Cluster) {
				c := operator{all}
				for _, shard := range []int{0, 1} {
					c.Place(shard, 1, 2, 3)
					c.WaitPlaced(shard, 1, 2, 3)
				}
				for i := 1; i <= 3; i++ {
					way.cut(all, "n4", c.Name(i))
				}
				c.Remove(4)
				_, before := c.leader(1)
				time.Sleep(time.Second)
				for i := 1; i <= 3 && way.name != "none"; i++ {
					if n := all.Net.held(c.Name(i), "n4"); n > 0 {
						t.Errorf("node %d still holds %d connections with it", i, n)
					}
				}
				k := c.Client("").At(4)
				k.Timeout = 8 * time.Second
				if v, err := k.Do("SET", "k", "v"); err == nil && !v.IsError() {
					t.Error("a write through the removed node is acknowledged")
				}
				k.At(1)
				c.Heal()
				c.await("node 4 goes on", func() (bool, string) { return c.Dead(4) != nil, "" })
				if got := k.Must("EXISTS", "k"); got.Int != 0 {
					t.Error("a write of the removed node is applied")
				}
				k.Close()
				c.machine(4).dead = nil
				if err := c.TryStart(4); err == nil {
					t.Error("it starts again")
				}
				if _, after := c.leader(1); after != before {
					t.Errorf("the removed node moved the term from %d to %d", before, after)
				}
			})
		})
	}
}
