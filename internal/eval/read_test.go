package eval

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"tutti/internal/cluster"
	"tutti/internal/command"
	"tutti/internal/group"
	"tutti/internal/keyspace"
)

// ownsOnly makes the test's shard own the slot of one key only, by a new descriptor.
func (c *testCore) ownsOnly(key string) {
	slot := int(keyspace.Slot([]byte(key)))
	c.owned.Slots = cluster.SlotRange{First: slot, End: slot + 1}
	c.owned.Generation++
}

// claimed returns a group of commands whose sender thinks that the shard owns the
// slots of keys, by a descriptor of that generation.
func (c *testCore) claimed(generation uint64, keys string, lines ...string) *group.Group {
	g := c.write(lines...)
	g.Claim = claim(generation, strings.Fields(keys)...)
	return g
}

func claim(generation uint64, keys ...string) group.Claim {
	all := group.Claim{Generation: generation}
	for _, key := range keys {
		slot := int(keyspace.Slot([]byte(key)))
		all = all.Join(group.Claim{Slots: cluster.SlotRange{First: slot, End: slot + 1}, Generation: generation})
	}
	return all
}

var wantMoved = fmt.Sprint("status ", group.Moved)

// TestForeignKeys refuses groups with keys in slots that are another shard's,
// written or read, as a whole, and says what the shard owns.
func TestForeignKeys(t *testing.T) {
	c := newTestCore(t)
	c.run(c.write("SET a 1", "SET b 1"))
	c.ownsOnly("a")
	foreign := c.claimed(1, "a b", "SET a 2", "SET b 2")
	b := c.evaluate(c.input(), foreign, c.claimed(1, "a", "GET a"))
	if r := b.Replies[0]; r.Status != group.Moved || !reflect.DeepEqual(r.Owned, &c.owned) || b.Data != nil {
		t.Errorf("a group with a foreign key: %+v", r)
	}
	if got := text(b.Replies[1]); got != "$1 1 " {
		t.Errorf("the group behind it: %q", got)
	}
	// Whoever sends it again finds that out again, in this term.
	c.core.Remember(b)
	if r, known, err := c.core.Outcome(foreign, c.view()); !known || err != nil || r.Status != group.Moved || r.Refusal() == nil {
		t.Errorf("sent again: %+v, %v, %v", r, known, err)
	}
	exec := func(watch string, g *group.Group) *group.Group {
		g.Atomic, g.Watches = true, []group.Watch{{Key: []byte(watch), Version: c.at.Index, Exists: true}}
		return g
	}
	c.want(c.run(exec("a", c.claimed(1, "a", "GET a")), exec("b", c.claimed(1, "a b", "GET a"))), "$1 1 ", wantMoved)

	v := c.view()
	defer v.Release()
	args := func(key string) [][]byte { return [][]byte{[]byte("GET"), []byte(key)} }
	get, _ := c.core.cfg.Table.Lookup(args("a"))
	_, err := Over(v, claim(1, "a"), World{Now: c.now}, func(r Reads) {
		if got := r.Run(get, 0, 2, args("a")); !bytes.Equal(got, []byte("$1\r\n1\r\n")) {
			t.Errorf("read %q", got)
		}
		if r.Unchanged(&group.Watch{Key: []byte("b")}) || !r.Unchanged(&group.Watch{Key: []byte("a"), Version: c.at.Index, Exists: true}) {
			t.Error("watched keys")
		}
	})
	if err != nil {
		t.Error(err)
	}
	_, err = Over(v, claim(1, "a", "b"), World{Now: c.now}, func(Reads) { t.Error("called") })
	if ref, ok := errors.AsType[*group.Refusal](err); !ok || !reflect.DeepEqual(ref.Owned, &c.owned) {
		t.Errorf("read of a foreign key: %v", err)
	}
}

// TestOldGeneration refuses what was sent by a descriptor that holds no longer,
// even if no key says so: the commands on whole shards.
func TestOldGeneration(t *testing.T) {
	c := newTestCore(t)
	c.run(c.write("SET a 1", "SET b 1"))
	c.ownsOnly("a")
	for _, cmd := range []string{"DBSIZE", "FLUSHALL", "KEYS *"} {
		g := c.write(cmd)
		g.Claim = group.Claim{Slots: cluster.AllSlots, Generation: 1}
		c.want(c.run(g), wantMoved)
	}
	c.want(c.run(c.claimed(1, "a", "GET a")), "$1 1 ")
}

// TestComputedKeys comes to keys of other shards that only the evaluation finds.
// Sent by an older descriptor the group is refused, and nothing of it remains;
// by the newest, the sender can't know better, and the command fails alone.
func TestComputedKeys(t *testing.T) {
	c := newTestCore(t)
	c.run(c.write("RPUSH {a}l 2 1", "SET w2 1", "SET w1 2", "SET x 1"))
	c.ownsOnly("a")
	lines := []string{"SET {a}n 1", "SORT {a}l BY w* STORE {a}sorted", "SET {a}m 1"}
	before := c.at.Index
	c.want(c.run(c.claimed(1, "a", "INCR a"), c.claimed(1, "a", lines...), c.claimed(1, "a", "INCR a")), ":1 ", wantMoved, ":2 ")
	c.want(c.run(c.claimed(2, "a", "EXISTS {a}n {a}sorted {a}m", "GET a")), ":0 $1 2 ")
	if c.at.Index != before+1 {
		t.Errorf("%d entries", c.at.Index-before)
	}
	no := "-" + command.TextCrossShard + " "
	c.want(c.run(c.claimed(2, "a", lines...)), "+OK "+no+"+OK ")
	c.want(c.run(c.claimed(2, "a", "EXISTS {a}sorted", "EXISTS {a}n {a}m")), ":0 :2 ")

	v := c.view()
	defer v.Release()
	args := [][]byte{[]byte("SORT_RO"), []byte("{a}l"), []byte("BY"), []byte("w*")}
	sort, _ := c.core.cfg.Table.Lookup(args)
	var got string
	read := func(generation uint64) error {
		_, err := Over(v, claim(generation, "a"), World{Now: c.now}, func(r Reads) { got = string(r.Run(sort, 0, 2, args)) })
		return err
	}
	if _, ok := errors.AsType[*group.Refusal](read(1)); !ok {
		t.Errorf("a computed key read by an old descriptor: %q", got)
	}
	if err := read(2); err != nil || got != "-"+command.TextCrossShard+"\r\n" {
		t.Errorf("a computed key read: %q, %v", got, err)
	}
}

// TestHeavyMoved evaluates a group beside the loop whose slots move meanwhile.
func TestHeavyMoved(t *testing.T) {
	c := newTestCore(t)
	c.bigSets()
	g := c.claimed(1, "a b u", "SUNIONSTORE u a b")
	q := c.prepare(g)
	c.ownsOnly("a")
	c.want(c.runAll(q), wantMoved)
	v := c.view()
	defer v.Release()
	if p, err := c.core.Prepare(v, c.now, g, new(Ending)); err != nil || !p.void {
		t.Errorf("prepared %v, %v", p, err)
	}
}

// A format of rows has the number of the cluster version that brought it: the
// newest that this program writes is the newest that its node confirms.
func TestFormatIsThatOfTheCluster(t *testing.T) {
	if keyspace.Format != cluster.Newest {
		t.Errorf("rows have format %d, the newest version is %d", keyspace.Format, cluster.Newest)
	}
}
