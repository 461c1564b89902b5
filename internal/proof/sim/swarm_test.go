package sim

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"tutti/internal/server"
	"tutti/internal/shard"
)

// The swarm: each seed draws a cluster, faults and a load of its own.
//
//	TUTTI_SIM_SEED=17 go test ./internal/proof/sim -run Swarm -count=10   one seed again
//	TUTTI_SIM_SEEDS=200 TUTTI_SIM_FIRST=1000 go test …              more seeds, others
//	TUTTI_SIM_FOR=90s                                               how long each lives
//	TUTTI_SIM_LOGS=/tmp/logs                                        where a failure leaves what it has
//
// soak_test.go runs many at once.
const swarmSeeds = 6

// swarmFor is how long a cluster lives; those that live longer than calm have
// calmer clients: faults cost less than operations, and both must be many.
const (
	swarmFor = 15 * time.Second
	calm     = 30 * time.Second
	// opsLeast is how many operations a second a cluster must see at least: most
	// see far more, but the faults of some leave it without a majority for long.
	opsLeast = 3
)

func TestSwarm(t *testing.T) {
	run := func(seed uint64) { t.Run(fmt.Sprint(seed), func(t *testing.T) { swarm(t, seed, lifetime()) }) }
	if one := env("TUTTI_SIM_SEED", 0); one != 0 {
		run(one)
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

func lifetime() time.Duration {
	if d, err := time.ParseDuration(os.Getenv("TUTTI_SIM_FOR")); err == nil {
		return d
	}
	return swarmFor
}

// draw is what a seed runs, but for the faults, which depend on what happens.
func draw(seed uint64, life time.Duration) *Schedule {
	r := rand.New(rand.NewPCG(seed, 5))
	s := &Schedule{For: life}
	s.Options = Options{Seed: seed, Nodes: []int{3, 3, 5, 1}[r.IntN(4)], Shards: []int{1, 1, 4}[r.IntN(3)]}
	s.Options.AutoPlace = r.IntN(3) == 0
	s.Options.LogBytesMax = []int64{0, 4 << 10, 32 << 10}[r.IntN(3)]
	s.Load = LoadOptions{Clients: 6, Keys: 8, KeyOps: 80, Think: 40 * time.Millisecond, Timeout: 3 * time.Second, Hosts: []string{"c1", "c2", "c3"}}
	if r.IntN(4) == 0 { // so many that logs are truncated and snapshots sent
		s.Load.Clients, s.Load.Keys, s.Load.Think, s.Options.LogBytesMax = 10, 24, 8*time.Millisecond, 4<<10
	}
	if life > calm {
		s.Load.Think *= 5
	}
	for len(s.Load.Kinds) == 0 {
		for _, w := range workloads {
			if r.IntN(3) == 0 {
				s.Load.Kinds = append(s.Load.Kinds, w.name)
			}
		}
	}
	s.Options.Secured = r.IntN(3) == 0
	if r.IntN(3) == 0 {
		s.Options.Uploads = server.Uploads{From: 1, Part: 2} // nearly every value goes in parts
	}
	if r.IntN(3) == 0 { // nearly every entry comes in pieces, or those of more than one command
		s.Options.Large = shard.Large{PiecesFrom: []int{16, 200}[r.IntN(2)], PieceBytes: 32}
	}
	if r.IntN(3) == 0 { // nearly every group is carried
		s.Options.Large.CarryFrom = 1
	}
	return s
}

func swarm(t *testing.T, seed uint64, life time.Duration) *stats {
	s := draw(seed, life)
	var n *Nemesis
	st := runSchedule(t, s, func(c *Cluster) {
		n = c.Nemesis()
		if s.Load.timed() {
			n.Spare("clock")
		}
		if s.Options.Secured {
			n.Spare("frames")
			n.Spare("corruption")
		}
		defer func() { s.Steps = n.Steps }()
		n.Run(life)
	})
	st.Faults = n.Count
	t.Logf("seed %d, %d nodes, %d shards, %v: %v", seed, s.Options.Nodes, s.Options.Shards, s.Load.Kinds, st)
	if least := int(life.Seconds()) * opsLeast; st.Ops < least {
		t.Errorf("only %d operations, expected %d", st.Ops, least)
	}
	return st
}
