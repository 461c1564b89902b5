package sim

import (
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"
)

// The swarm: each seed draws a cluster, faults and a load of its own.
//
//	TUTTI_SIM_SEEDS=200 go test ./internal/sim -run Swarm     more seeds
//	TUTTI_SIM_FIRST=1000                                      other seeds
//	TUTTI_SIM_SEED=17 go test ./internal/sim -run Swarm -count=10   one seed again
const swarmSeeds = 6

func TestSwarm(t *testing.T) {
	number := func(name string, d uint64) uint64 {
		if n, err := strconv.ParseUint(os.Getenv(name), 10, 64); err == nil {
			return n
		}
		return d
	}
	first, seeds := number("TUTTI_SIM_FIRST", 1), number("TUTTI_SIM_SEEDS", swarmSeeds)
	if one := number("TUTTI_SIM_SEED", 0); one != 0 {
		first, seeds = one, 1
	}
	for seed := first; seed < first+seeds; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { swarm(t, seed) })
	}
}

func swarm(t *testing.T, seed uint64) {
	opts := Options{Seed: seed, Nodes: 3, Shards: []int{1, 1, 4}[seed%3]}
	if seed%2 == 0 {
		opts.LogBytesMax = 4 << 10
	}
	if seed%5 == 4 {
		opts.Nodes = 5
	}
	var n *Nemesis
	defer func() {
		if t.Failed() {
			t.Logf("the schedule was\n%s\nrun it again with TUTTI_SIM_SEED=%d go test ./internal/sim -run Swarm -count=10", n, seed)
		}
	}()
	h := bubbleLoad(t, opts, LoadOptions{Clients: 6, Keys: 8, KeyOps: 80, Timeout: 3 * time.Second}, func(c *Cluster) {
		n = c.Nemesis()
		n.Run(15 * time.Second)
	})
	if len(h.Ops) < 200 {
		t.Errorf("only %d operations", len(h.Ops))
	}
	t.Logf("seed %d: %d nodes, %d shards, faults %v", seed, opts.Nodes, opts.Shards, n.Count)
}
