package sim

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"tutti/internal/node"
)

// recover runs the recovery on a node that is down.
func (c operator) recover(i int) (node.Recovery, error) {
	m := c.machine(i)
	r, err := node.PlanRecovery(m.disk.mem, m.dir)
	if err != nil {
		return r, err
	}
	return r, r.Recover()
}

// Two of three nodes are lost for ever. The third is made the whole cluster, has
// what it had been told, and grows again; those that were given up are refused
// when they come back after all.
func TestRecoverFromOneCopy(t *testing.T) {
	bubble(t, Options{Seed: 320, AutoPlace: true}, func(t *testing.T, all *Cluster) {
		c := operator{all}
		c.WaitLeader(1)
		for n := range 50 {
			c.ask("SET", fmt.Sprint("key", n), "v")
		}
		if _, err := c.recover(1); err == nil {
			t.Error("a node that runs was recovered")
		}
		time.Sleep(time.Second) // so that node 3 has been told of all of them
		c.Crash(1)
		c.Crash(2)
		c.Crash(3)
		r, err := c.recover(3)
		if err != nil || len(r.Lost) != 2 || len(r.Shards) != 2 || r.Shards[1].Voters != 3 || r.Shards[1].Last == 0 {
			t.Fatalf("recovered %+v, %v", r, err)
		}
		c.Start(3)
		c.waitShape([]int{3}, nil)
		for n := range 50 {
			if got := c.ask("GET", fmt.Sprint("key", n)); got != "v" {
				t.Fatalf("key %d is %q", n, got)
			}
		}
		c.ask("SET", "new", "v")
		if got := c.Join(); got != 4 {
			t.Fatalf("the next node is %d, ids are given out again", got)
		}
		c.waitShape([]int{3}, []int{4})
		// The others come back with a majority of what there was.
		before := c.Logged(3, "peer refused")
		_ = c.TryStart(1)
		_ = c.TryStart(2)
		time.Sleep(5 * time.Second)
		if c.Logged(3, "peer refused") == before {
			t.Error("nobody refused those that were given up")
		}
		c.discard(1, nil)
		c.discard(2, nil)
		if got := c.ask("GET", "new"); got != "v" {
			t.Errorf("what was written since is %q", got)
		}
		c.Crash(3)
		if _, err := c.recover(3); err != nil {
			t.Errorf("once more: %v", err)
		}
		c.Start(3)
		c.discard(4, nil)
		c.waitShape([]int{3}, nil)
		c.Crash(3)
		if _, err := c.recover(3); !errors.Is(err, node.ErrNotNeeded) {
			t.Errorf("without need: %v", err)
		}
		c.Start(3)
	})
}
