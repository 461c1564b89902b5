package sim

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tutti/internal/cluster"
	"tutti/internal/keyspace"
	"tutti/internal/proof/check"
)

// Slots move between shards while clients work through nodes that do not know it
// yet. Nodes keep rows by slot, so nothing is copied: what matters is that the new
// owner begins where the old one has ended, on all nodes.

// own has a shard own the slots from first to before end, and waits until all its
// replicas know.
func (c operator) own(shard, first, end int) {
	c.t.Helper()
	for until := time.Now().Add(changeWithin); time.Now().Before(until); time.Sleep(20 * time.Millisecond) {
		if c.owned(shard, first, end) {
			return
		}
		c.askOwn(shard, first, end)
	}
	c.t.Fatalf("%s shard %d does not own the slots from %d to before %d", stamp(), shard, first, end)
}

// askOwn asks whoever leads a shard, if that is known, to have it own slots.
func (c operator) askOwn(shard, first, end int) {
	if lead := c.Leader(shard); lead != 0 {
		_, _ = c.desk.admin.At(lead).Do("DEBUG", "SLOTS", fmt.Sprint(shard), fmt.Sprint(first), fmt.Sprint(end))
	}
}

// owned reports whether all replicas of a shard know that it owns these slots.
func (c operator) owned(shard, first, end int) bool {
	for i := range c.machines {
		if c.Dead(i+1) != nil {
			continue
		}
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

// The same through nodes that have no replica of any shard: they learn from the
// answers of leaders.
func TestSlotsMoveBehindNodesWithoutReplicas(t *testing.T) {
	h := bubbleLoad(t, Options{Seed: 401, Nodes: 5, Shards: 2}, LoadOptions{Keys: 24, Kinds: slotKinds}, func(all *Cluster) {
		c, border := operator{all}, cluster.Slots/2
		c.MoveAll(1, 2, 3)
		for range 6 {
			time.Sleep(time.Duration(c.Rand.IntN(1000)) * time.Millisecond)
			to := 1 + c.Rand.IntN(cluster.Slots-1)
			c.move(border, to, func() {})
			border = to
		}
	})
	noErrors(t, h)
}

// Slots move while frames between nodes are lost, come twice and are overtaken,
// leaders are cut off and nodes stand still: what was told to clients stays true,
// and no command is executed by both owners.
func TestSlotsMoveUnderFaults(t *testing.T) {
	for seed := range env("TUTTI_SIM_SEEDS", 4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			kinds := []string{"register", "list", "adds", "bank", "append"}
			bubbleLoad(t, Options{Seed: 410 + seed, Shards: 2}, LoadOptions{Keys: 20, Kinds: kinds, Timeout: 3 * time.Second}, func(all *Cluster) {
				c, border := operator{all}, cluster.Slots/2
				for range 5 {
					to := 1 + c.Rand.IntN(cluster.Slots-1)
					giver := 1
					if to > border {
						giver = 2
					}
					c.disturb(giver)
					if giver == 1 {
						c.askOwn(1, 0, to)
					} else {
						c.askOwn(2, to, cluster.Slots)
					}
					time.Sleep(time.Duration(c.Rand.IntN(1500)) * time.Millisecond)
					c.undisturb()
					c.move(border, to, func() {
						c.disturb(3 - giver)
						time.Sleep(time.Duration(c.Rand.IntN(1000)) * time.Millisecond)
						c.undisturb()
					})
					border = to
				}
			})
		})
	}
}

// disturb does something to the leader of a shard or to the frames of all.
func (c operator) disturb(shard int) {
	lead := c.WaitLeader(shard)
	others := slices.DeleteFunc([]int{1, 2, 3}, func(i int) bool { return i == lead })
	switch c.Rand.IntN(4) {
	case 0:
		c.Split([]string{c.Name(lead)}, []string{c.Name(others[0]), c.Name(others[1])})
	case 1:
		c.Pause(lead)
	case 2: // replies get lost, and groups are sent again
		for _, i := range others {
			c.CutOne(c.Name(lead), c.Name(i))
		}
	default:
		for i := 1; i <= 3; i++ {
			for j := 1; j <= 3; j++ {
				if i != j {
					c.Net.Set(c.Name(i), c.Name(j), func(p *Path) { p.Frames = Frames{Drop: 0.05, Duplicate: 0.2, Reorder: 0.2} })
				}
			}
		}
	}
}

func (c operator) undisturb() {
	c.Heal()
	for i := 1; i <= 3; i++ {
		c.Resume(i)
	}
}

// A node that is cut off from all that could tell it of a new map goes on with
// the slots that have not moved; those that have it serves once it is told.
func TestSlotsMoveUnseen(t *testing.T) {
	bubble(t, Options{Seed: 420, Nodes: 5, Shards: 2}, func(t *testing.T, all *Cluster) {
		c := operator{all}
		c.Place(0, 1, 2)
		c.Place(1, 3, 4)
		c.Place(2, 3, 4)
		c.WaitPlaced(0, 1, 2)
		c.WaitPlaced(1, 3, 4)
		c.WaitPlaced(2, 3, 4)
		k, o := c.Client("").At(5), c.Client("").At(5)
		defer k.Close()
		defer o.Close()
		stays, moves := keyIn(0, 4096), keyIn(4096, 8192)
		k.Must("MSET", stays, "1")
		k.Must("SET", moves, "1")
		for i := 1; i <= 2; i++ {
			c.Cut(c.Name(5), c.Name(i))
		}
		// The leaders can't tell node 5 of the new map either: meta is not theirs.
		c.move(8192, 4096, func() {})
		answered := make(chan string, 1)
		go func() { answered <- Text(o.Must("INCR", moves)) }()
		time.Sleep(time.Second)
		start := time.Now()
		for range 10 {
			k.Must("INCR", stays)
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("slots that stay were served in %v", took)
		}
		select {
		case got := <-answered:
			t.Errorf("a slot that has moved was served unseen: %s", got)
		default:
		}
		c.Heal()
		if got := <-answered; got != "2" {
			t.Errorf("INCR of a key that has moved: %s", got)
		}
		c.Cut(c.Name(5), c.Name(1))
		c.Cut(c.Name(5), c.Name(2))
		c.move(4096, 8192, func() {})
		v, err := k.Do("INCR", moves)
		if err != nil || !strings.HasPrefix(string(v.Str), "TRYAGAIN ") {
			t.Errorf("a slot whose owner nobody tells: %v %s", err, Text(v))
		}
		c.Heal()
		time.Sleep(2 * time.Second)
		if got := Text(k.Must("INCR", moves)); got != "3" {
			t.Errorf("INCR after all: %s", got)
		}
	})
}

// keyIn returns a key in one of the slots from first to before end.
func keyIn(first, end int) string {
	for i := 0; ; i++ {
		key := fmt.Sprint("key", i)
		if slot := int(keyspace.Slot([]byte(key))); first <= slot && slot < end {
			return key
		}
	}
}

// WATCH through a node that has no replica of the shard: its leader tells the
// version.
func TestWatchThroughNodeWithoutReplica(t *testing.T) {
	bubble(t, Options{Seed: 421, Nodes: 4}, func(t *testing.T, all *Cluster) {
		c := operator{all}
		c.MoveAll(1, 2, 3)
		k, o := c.Client("").At(4), c.Client("").At(1)
		defer k.Close()
		defer o.Close()
		exec := func() string {
			k.Must("MULTI")
			k.Must("INCR", "a")
			return Text(k.Must("EXEC"))
		}
		k.Must("WATCH", "a", "none")
		if got := exec(); got != "[1]" {
			t.Errorf("EXEC: %s", got)
		}
		k.Must("WATCH", "a")
		o.Must("SET", "a", "9")
		if got := exec(); got != "nil" {
			t.Errorf("EXEC after a change: %s", got)
		}
		k.Must("WATCH", "none")
		o.Must("SET", "none", "1")
		o.Must("DEL", "none")
		if got := exec(); got != "nil" {
			t.Errorf("EXEC after a key came and went: %s", got)
		}
	})
}

// What moved slots is among what a last copy is recovered from.
func TestRecoverAfterSlotsMoved(t *testing.T) {
	bubble(t, Options{Seed: 422, Shards: 2, AutoPlace: true}, func(t *testing.T, all *Cluster) {
		c := operator{all}
		c.WaitLeader(1)
		c.WaitLeader(2)
		c.move(8192, 4096, func() {})
		moved := keyIn(4096, 8192)
		c.ask("SET", moved, "v")
		time.Sleep(time.Second) // so that node 3 has been told of it
		for i := 1; i <= 3; i++ {
			c.Crash(i)
		}
		if _, err := c.recover(3); err != nil {
			t.Fatal(err)
		}
		c.Start(3)
		c.discard(1, nil)
		c.discard(2, nil)
		if got := c.ask("GET", moved); got != "v" || !c.owned(2, 4096, cluster.Slots) || !c.owned(1, 0, 4096) {
			t.Errorf("after the recovery %q", got)
		}
	})
}
