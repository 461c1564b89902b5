package sim

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"tutti/internal/node"
	"tutti/internal/shard"
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
	// What has not reached the state is in the log, in pieces.
	bubble(t, Options{Seed: 320, AutoPlace: true, Large: shard.Large{PiecesFrom: 16, PieceBytes: 8}}, func(t *testing.T, all *Cluster) {
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

// The power goes at every change to the disk (a part of them here, all with
// TUTTI_SIM_EVERY=1) that a recovery makes. Run again it finishes; the node then has
// all that its copies held, and decides alone.
func TestRecoverySurvivesPowerCuts(t *testing.T) {
	step := int(env("TUTTI_SIM_EVERY", 7))
	bubble(t, Options{Seed: 321, AutoPlace: true}, func(t *testing.T, all *Cluster) {
		c := operator{all}
		c.WaitLeader(1)
		for n := range 30 {
			c.ask("SET", fmt.Sprint("key", n), "v")
		}
		time.Sleep(time.Second) // so that node 3 has been told of all of them
		for i := 1; i <= 3; i++ {
			c.Crash(i)
		}
		m := c.machine(3)
		cuts := recoverCutOff(t, m.disk.mem, m.dir, step)
		finished := 0
		for i, left := range cuts {
			m.disk = newDisk(left, m.gate, &m.room)
			_, err := c.recover(3)
			if errors.Is(err, node.ErrNotNeeded) {
				finished, err = finished+1, nil
			}
			if err != nil {
				t.Fatalf("power cut %d of %d: %v", i+1, len(cuts), err)
			}
			c.Start(3)
			c.waitShape([]int{3}, nil)
			k := c.Client("").At(3)
			if got := Text(k.Must("DBSIZE")); got != "30" {
				t.Errorf("power cut %d of %d: %s keys are left of 30", i+1, len(cuts), got)
			}
			k.Must("SET", "new", "v")
			k.Close()
			if known, err := node.ReadMap(m.disk.mem, m.dir); err != nil || len(known.Members) != 1 {
				t.Errorf("power cut %d of %d: %+v, %v", i+1, len(cuts), known, err)
			}
			c.Crash(3)
		}
		t.Logf("%d power cuts, %d behind the end", len(cuts), finished)
		if finished == 0 || finished > len(cuts)/2 {
			t.Errorf("%d of %d disks were recovered already", finished, len(cuts))
		}
		c.machine(3).disk = newDisk(cuts[0], m.gate, &m.room)
		c.discard(1, nil)
		c.discard(2, nil)
	})
}

// recoverCutOff recovers a copy of a disk and returns how a power cut would have left
// it at every step-th change, and at the end.
func recoverCutOff(t *testing.T, mem *vfs.MemFS, dir string, step int) (cuts []*vfs.MemFS) {
	t.Helper()
	r := rand.New(rand.NewPCG(321, 6))
	work := mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: r})
	cut := func() {
		// All or nothing of what was not synced: with a part of it a name in a folder may be
		// kept whose file, made before it, is lost. No journal does that, and Pebble finds
		// its manifest gone then; a node that has peers is rebuilt, and this one has none.
		cuts = append(cuts, work.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: len(cuts) % 2 * 100, RNG: r}))
	}
	var mu sync.Mutex // guards cuts and changes: a store works on several goroutines
	changes := 0
	fs := errorfs.Wrap(work, errorfs.InjectorFunc(func(op errorfs.Op) error {
		mu.Lock()
		defer mu.Unlock()
		if op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			if changes++; changes%step == 0 {
				cut()
			}
		}
		return nil
	}))
	plan, err := node.PlanRecovery(fs, dir)
	if err == nil {
		err = plan.Recover()
	}
	if err != nil {
		t.Fatal(err)
	}
	cut()
	return cuts
}
