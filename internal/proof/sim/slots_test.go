package sim

import (
	"fmt"
	"testing"
	"time"

	"tutti/internal/cluster"
	"tutti/internal/proof/check"
)

// Slots move between shards while clients work through nodes that do not know it
// yet. Nodes keep rows by slot, so nothing is copied: what matters is that the new
// owner begins where the old one has ended, on all nodes.

// own has a shard own the slots from first to before end, and waits until all its
// replicas know.
func (c operator) own(shard, first, end int) {
	c.t.Helper()
	asked := false
	for until := time.Now().Add(changeWithin); time.Now().Before(until); time.Sleep(20 * time.Millisecond) {
		if c.owned(shard, first, end) {
			return
		}
		if lead := c.Leader(shard); lead != 0 && !asked {
			v, err := c.desk.admin.At(lead).Do("DEBUG", "SLOTS", fmt.Sprint(shard), fmt.Sprint(first), fmt.Sprint(end))
			asked = err == nil && !v.IsError()
		}
	}
	c.t.Fatalf("%s shard %d does not own the slots from %d to before %d", stamp(), shard, first, end)
}

// owned reports whether all replicas of a shard know that it owns these slots.
func (c operator) owned(shard, first, end int) bool {
	for i := range c.machines {
		s, err := c.Status(i + 1)
		if err != nil {
			return false
		}
		for _, info := range s.Shards {
			if info.Shard == cluster.ShardID(shard) && info.Replica != 0 && (info.First != first || info.End != end) {
				return false
			}
		}
	}
	return true
}

// move moves the border between shards 1 and 2 to a slot, after what the one that
// gives slots up has waited for.
func (c operator) move(from, to int, between func()) {
	c.t.Helper()
	give, take := func() { c.own(1, 0, to) }, func() { c.own(2, to, cluster.Slots) }
	if to > from {
		give, take = take, give
	}
	give()
	between()
	take()
}

// noErrors fails the test if a client was told of anything but results.
func noErrors(t *testing.T, h *check.History) {
	t.Helper()
	if refused, unknown := h.Refused(), h.Count(check.Unknown); refused+unknown > 0 {
		t.Errorf("%d refused, %d unknown: the clients were to notice nothing", refused, unknown)
	}
	if len(h.Ops) < 1000 {
		t.Errorf("only %d operations", len(h.Ops))
	}
}

var slotKinds = []string{"register", "list", "hash", "set", "append", "bank", "expiry"}

// The border between two shards moves to and fro under load: no client sees an
// error, and what they see is linearizable.
func TestSlotsMoveUnderLoad(t *testing.T) {
	h := bubbleLoad(t, Options{Seed: 400, Shards: 2}, LoadOptions{Keys: 24, Kinds: slotKinds}, func(all *Cluster) {
		c, border := operator{all}, cluster.Slots/2
		for range 6 {
			time.Sleep(time.Duration(c.Rand.IntN(1000)) * time.Millisecond)
			to := 1 + c.Rand.IntN(cluster.Slots-1)
			c.move(border, to, func() { time.Sleep(time.Duration(c.Rand.IntN(300)) * time.Millisecond) })
			border = to
		}
		time.Sleep(time.Second)
	})
	noErrors(t, h)
}
