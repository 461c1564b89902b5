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
//	TUTTI_SIM_SEED=17 go test ./internal/sim -run Swarm -count=10   one seed again
//	TUTTI_SIM_SEEDS=200 TUTTI_SIM_FIRST=1000 go test …              more seeds, others
//	TUTTI_SOAK=10m go test -timeout=0 …                             fresh seeds for so long
//	TUTTI_SIM_LOGS=/tmp/logs                                        where a failure leaves its logs
const swarmSeeds = 6

func TestSwarm(t *testing.T) {
	run := func(seed uint64) { t.Run(fmt.Sprint(seed), func(t *testing.T) { swarm(t, seed) }) }
	if one := env("TUTTI_SIM_SEED", 0); one != 0 {
		run(one)
		return
	}
	if soak, err := time.ParseDuration(os.Getenv("TUTTI_SOAK")); err == nil {
		start := time.Now()
		for seed := uint64(start.Unix()); time.Since(start) < soak; seed++ {
			run(seed)
		}
		return
	}
	first := env("TUTTI_SIM_FIRST", 1)
	for seed := first; seed < first+env("TUTTI_SIM_SEEDS", swarmSeeds); seed++ {
		run(seed)
	}
}

func env(name string, d uint64) uint64 {
	if n, err := strconv.ParseUint(os.Getenv(name), 10, 64); err == nil {
		return n
	}
	return d
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
	load := LoadOptions{Clients: 6, Keys: 8, KeyOps: 80, Timeout: 3 * time.Second}
	if seed%4 == 3 { // so many that logs are truncated and snapshots sent
		load.Clients, load.Keys, load.Think, opts.LogBytesMax = 10, 24, 4*time.Millisecond, 4<<10
	}
	snapshots := 0
	h := bubbleLoad(t, opts, load, func(c *Cluster) {
		n = c.Nemesis()
		n.Run(15 * time.Second)
		for i := 1; i <= c.Nodes(); i++ {
			snapshots += c.Logged(i, "snapshot installed")
		}
	})
	floor := 200
	if n.Count["damage"] > 0 {
		floor = 50 // what is rebuilt does not count for a majority yet
	}
	if len(h.Ops) < floor {
		t.Errorf("only %d operations", len(h.Ops))
	}
	t.Logf("seed %d: %d nodes, %d shards, %d snapshots, faults %v", seed, opts.Nodes, opts.Shards, snapshots, n.Count)
}
