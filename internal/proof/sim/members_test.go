package sim

import (
	"fmt"
	"testing"
	"time"

	"tutti/internal/cluster"
)

// A cluster of one node grows to three and five, and shrinks back to one that was
// not the first, under load.
func TestGrowAndShrink(t *testing.T) {
	h := bubbleLoad(t, Options{Seed: 300, Nodes: 1}, LoadOptions{Timeout: 3 * time.Second}, func(all *Cluster) {
		c := operator{all}
		c.Join()
		c.Join()
		c.MoveAll(1, 2, 3)
		c.Join()
		c.Join()
		c.MoveAll(1, 2, 3, 4, 5)
		c.MoveAll(2, 4, 5)
		c.MoveAll(5)
		c.MoveAll(1, 5, 3)
		for i := 1; i <= 5; i++ {
			if c.Logged(i, "the map of the cluster can't be read") > 0 {
				t.Errorf("a new replica of meta on node %d was taken for the map before it had one", i)
			}
		}
	})
	noPause(t, h)
}

// A node dies for good under load; another takes its place, and the dead one is
// removed. When it comes back after all it is refused and disturbs nobody.
func TestDeadNodeIsReplaced(t *testing.T) {
	bubbleLoad(t, Options{Seed: 301}, LoadOptions{Timeout: 3 * time.Second}, func(all *Cluster) {
		c := operator{all}
		c.WaitLeader(1)
		dead := c.Leader(1)
		c.Crash(dead)
		fresh := c.Join()
		rest := []int{fresh}
		for i := 1; i <= 3; i++ {
			if i != dead {
				rest = append(rest, i)
			}
		}
		c.MoveAll(rest...)
		c.Remove(dead)
		_, before := c.leader(1)
		err := c.TryStart(dead)
		time.Sleep(10 * time.Second)
		refused := 0
		for _, i := range rest {
			refused += c.Logged(i, "peer refused: it is not a member")
		}
		if refused == 0 {
			t.Errorf("nobody refused the removed node, whose start said: %v", err)
		}
		if _, after := c.leader(1); after != before {
			t.Errorf("the removed node moved the term from %d to %d", before, after)
		}
		c.discard(dead, err)
	})
}

// A shard's replica moves away from the node that leads it, and comes back, again
// and again: each time it is another replica, under an id of its own.
func TestReplicaLeavesItsLeaderAndReturns(t *testing.T) {
	h := bubbleLoad(t, Options{Seed: 302, Nodes: 4}, LoadOptions{Timeout: 3 * time.Second}, func(all *Cluster) {
		c := operator{all}
		c.MoveAll(1, 2, 3)
		seen := make(map[cluster.ReplicaID]bool)
		for range 4 {
			lead := c.WaitLeader(1)
			var others []int
			for i := 1; i <= 4; i++ {
				if i != lead {
					others = append(others, i)
				}
			}
			id := c.replica(lead, 1)
			if id == 0 || seen[id] {
				t.Fatalf("node %d leads with replica %d, before it were %v", lead, id, seen)
			}
			seen[id] = true
			c.Place(1, others...)
			c.WaitPlaced(1, others...)
			c.Place(1, lead, others[0], others[1])
			c.WaitPlaced(1, lead, others[0], others[1])
			if again := c.replica(lead, 1); again <= id {
				t.Fatalf("node %d had replica %d and now has %d", lead, id, again)
			}
		}
	})
	noPause(t, h)
}

// Two shards whose replicas lie on different nodes, one of which holds meta: every
// node answers for every key, also those that hold nothing.
func TestShardsOnDifferentNodes(t *testing.T) {
	bubbleLoad(t, Options{Seed: 303, Nodes: 6, Shards: 2}, LoadOptions{Timeout: 3 * time.Second}, func(all *Cluster) {
		c := operator{all}
		c.Place(0, 1, 2, 3)
		c.Place(1, 1, 2, 3)
		c.Place(2, 3, 4, 5)
		c.WaitPlaced(0, 1, 2, 3)
		c.WaitPlaced(1, 1, 2, 3)
		c.WaitPlaced(2, 3, 4, 5)
		for i := 1; i <= 6; i++ {
			k := c.Client("").At(i)
			for key := range 20 {
				if got := Text(k.Must("INCR", fmt.Sprint("key", key))); got != fmt.Sprint(i) {
					t.Errorf("INCR of key %d through node %d: %s", key, i, got)
				}
				if got := Text(k.Must("GET", fmt.Sprint("key", key))); got != fmt.Sprint(i) {
					t.Errorf("GET of key %d through node %d: %s", key, i, got)
				}
			}
			k.Close()
		}
		c.Crash(1) // meta and shard 1 go on without it
		time.Sleep(2 * time.Second)
		c.Start(1)
	})
}

// Replicas are to move while the network is split and nodes lose power: there is
// never more than one leader in a term, and every plan is carried out in the end.
func TestChangesUnderFaults(t *testing.T) {
	for seed := range env("TUTTI_SIM_SEEDS", 4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			bubbleLoad(t, Options{Seed: 310 + seed, Nodes: 5}, LoadOptions{Timeout: 3 * time.Second}, func(all *Cluster) {
				c := operator{all}
				for range 4 {
					order := c.Rand.Perm(5)
					var nodes, others []int
					var names, rest []string
					for i, n := range order {
						if i < 3 {
							nodes = append(nodes, n+1)
						}
						if i%3 == 0 {
							names = append(names, c.Name(n+1))
						} else {
							others, rest = append(others, n+1), append(rest, c.Name(n+1))
						}
					}
					for s := range 2 {
						c.Place(s, nodes...)
					}
					time.Sleep(time.Duration(c.Rand.IntN(400)) * time.Millisecond)
					c.Split(names, rest)
					time.Sleep(time.Duration(c.Rand.IntN(3000)) * time.Millisecond)
					victim := others[c.Rand.IntN(len(others))]
					c.Crash(victim)
					time.Sleep(time.Duration(c.Rand.IntN(2000)) * time.Millisecond)
					c.Heal()
					c.Start(victim)
					if c.Rand.IntN(2) == 0 {
						continue // the next plan comes before this one is carried out
					}
					for s := range 2 {
						c.WaitPlaced(s, nodes...)
					}
				}
			})
		})
	}
}

// A node that is to have a replica meets an error of its disk when it has made half
// of it. It goes on with that half: it is that replica, and no other will do.
func TestReplicaIsMadeInSpiteOfReadErrors(t *testing.T) {
	bubbleLoad(t, Options{Seed: 304}, LoadOptions{Timeout: 3 * time.Second}, func(all *Cluster) {
		c := operator{all}
		fresh := c.Join()
		c.do("fail", fresh, "op=read", "on=table", "error=eio")
		c.Place(1, 1, 2, fresh)
		c.WaitPlaced(1, 1, 2, fresh)
		if c.Logged(fresh, "a replica could not be made") == 0 {
			t.Error("the node met no error")
		}
	})
}
