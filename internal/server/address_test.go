package server

import (
	"strings"
	"testing"

	"tutti/internal/cluster"
	"tutti/internal/command"
	"tutti/internal/group"
	"tutti/internal/keyspace"
)

// testMap is a map of shards by the slot that each begins with; a negative one
// is a gap.
func testMap(t *testing.T, firsts ...int) *cluster.Map {
	t.Helper()
	m := cluster.Map{Epoch: 1, Members: []cluster.Member{{ID: 1}}}
	for i, first := range firsts {
		end := cluster.Slots
		if i+1 < len(firsts) {
			end = max(firsts[i+1], -firsts[i+1])
		}
		if first >= 0 {
			m.Shards = append(m.Shards, cluster.Shard{Descriptor: cluster.Descriptor{ID: cluster.ShardID(i + 1), Generation: uint64(i + 7), Slots: cluster.SlotRange{First: first, End: end}}})
		}
	}
	made, err := cluster.NewMap(m)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func words(line string) (args [][]byte) {
	for _, w := range strings.Fields(line) {
		args = append(args, []byte(w))
	}
	return args
}

// TestLocate finds the shard of commands, and what they take for granted of it.
func TestLocate(t *testing.T) {
	t.Parallel()
	slotA, slotB := int(keyspace.Slot([]byte("a"))), int(keyspace.Slot([]byte("b"))) // 15495 and 3300
	one, two, gap := testMap(t, 0), testMap(t, 0, 10000), testMap(t, 0, -10000, 16000)
	claim := func(first, end int, generation uint64) group.Claim {
		return group.Claim{Slots: cluster.SlotRange{First: first, End: end}, Generation: generation}
	}
	for _, c := range []struct {
		m    *cluster.Map
		line string
		want address
	}{
		{one, "MSET a 1 b 2", address{toShard, 1, claim(0, cluster.Slots, 7)}},
		{one, "DBSIZE", address{toShard, 1, claim(0, cluster.Slots, 7)}},
		{two, "DBSIZE", address{way: toSeveral}},
		{two, "GET a", address{toShard, 2, claim(slotA, slotA+1, 8)}},
		{two, "MSET b 1 {b}x 2", address{toShard, 1, claim(slotB, slotB+1, 7)}},
		{two, "MSET a 1 b 2", address{way: toSeveral}},
		{gap, "GET a", address{way: toNobody}},
		{gap, "MSET b 1 a 2", address{way: toNobody}},
		{gap, "GET b", address{toShard, 1, claim(slotB, slotB+1, 7)}},
	} {
		args := words(c.line)
		cmd, text := command.NewTable().Lookup(args)
		if cmd == nil {
			t.Fatal(text)
		}
		if got := locate(c.m, cmd, args); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.line, got, c.want)
		}
	}
	two = testMap(t, 0, 5000)
	args := words("MSET b 1 {b}x 2 x 3")
	cmd, _ := command.NewTable().Lookup(args)
	if got := locate(two, cmd, args); got.way != toSeveral { // x is in slot 16287
		t.Errorf("%+v", got)
	}
}

// TestPlanTransaction finds the shard of a MULTI and of the keys it watches. A
// watched key that has moved to another shard has changed.
func TestPlanTransaction(t *testing.T) {
	t.Parallel()
	two := testMap(t, 0, 10000)
	table := command.NewTable()
	plan := func(m *cluster.Map, watched []watched, lines ...string) transaction {
		q := &multi{}
		for _, line := range lines {
			args := words(line)
			cmd, _ := table.Lookup(args)
			q.queue = append(q.queue, pending{cmd: cmd, args: args})
		}
		return plan(m, q, 0, watched)
	}
	watch := func(key string, shard cluster.ShardID) []watched {
		return []watched{{group.Watch{Key: []byte(key)}, shard}}
	}
	if got := plan(two, nil, "PING"); got.way != toNobody || len(got.cmds) != 0 {
		t.Errorf("nothing for a shard: %+v", got)
	}
	if got := plan(two, watch("{b}w", 1), "SET b 1", "GET {b}x"); got.way != toShard || got.shard != 1 || got.strayed || got.claim.Generation != 7 {
		t.Errorf("one shard: %+v", got)
	}
	if got := plan(two, watch("a", 1)); got.way != toShard || got.shard != 2 || !got.strayed {
		t.Errorf("a watched key that has moved: %+v", got)
	}
	for _, got := range []transaction{plan(two, watch("a", 2), "SET b 1"), plan(two, nil, "SET a 1", "SET b 1"), plan(two, nil, "SET a 1", "FLUSHALL")} {
		if got.way != toSeveral {
			t.Errorf("several shards: %+v", got)
		}
	}
	if got := plan(testMap(t, 0, -10000, 16000), nil, "SET b 1", "SET a 1"); got.way != toNobody || len(got.cmds) == 0 {
		t.Errorf("a slot without an owner: %+v", got)
	}
}
