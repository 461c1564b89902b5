package sim

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// Tasks end once while the copies of their shard move from node to node, its leader
// among them, and while the clocks of single nodes jump by an hour or run at another
// pace: leases are measured where the shard is led, delays by the time of the shard.
func TestTasksEndOnceThroughMovesAndClocks(t *testing.T) {
	bubble(t, Options{Seed: 638, Nodes: 4, AutoPlace: true}, func(_ *testing.T, all *Cluster) {
		c := operator{all}
		c.waitShape([]int{1, 2, 3}, []int{4})
		s := openShop(t, all)
		for round, jump := range []time.Duration{time.Hour, -time.Hour, 0, 24 * time.Hour} {
			lead := c.WaitLeader(1)
			off := c.Clock(lead)
			if round%2 == 1 { // of one that follows
				off = c.Clock(lead%3 + 1)
			}
			off.Jump(jump)
			off.Drift(1.04)
			time.Sleep(2 * time.Second)
			rest := slices.DeleteFunc([]int{1, 2, 3, 4}, func(i int) bool { return i == lead })
			c.ok("TUTTI.MEMBER", "DRAIN", fmt.Sprint(lead))
			c.waitShape(rest, nil)
			c.ok("TUTTI.MEMBER", "UNDRAIN", fmt.Sprint(lead))
			c.waitShape(rest, []int{lead})
			off.Drift(1)
			off.Jump(-jump)
			if round == 2 {
				lead = c.WaitLeader(1)
				c.Kill(lead)
				time.Sleep(500 * time.Millisecond)
				c.Start(lead)
			}
		}
		all.Recover()
		s.close(100)
	})
}
