package eval

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"tutti/internal/group"
	"tutti/internal/keyspace"
	"tutti/internal/store"
)

// members is a SADD of n members, long enough for a union of 18,000 to be
// committed beside the loop too.
func members(key string, from, n int) string {
	var b strings.Builder
	b.WriteString("SADD " + key)
	for i := range n {
		fmt.Fprintf(&b, " m%06d%s", from+i, padding)
	}
	return b.String()
}

const padding = "-the-rest-of-a-member-of-a-set"

// bigSets fills the sets a and b, whose union is too heavy for the loop.
func (c *testCore) bigSets() {
	for i := range 6 {
		c.run(c.write(members("a", i*2000, 2000)))
		c.run(c.write(members("b", (i+3)*2000, 2000)))
	}
}

func (c *testCore) view() *store.View {
	v := c.state.View(testShard, c.at, c.dbs, func() {})
	v.Owned = c.owned
	return v
}

// prepare evaluates a group beside the loop, after the loop has refused it.
func (c *testCore) prepare(g *group.Group) []Waiting {
	c.t.Helper()
	if _, n, err := c.core.Evaluate(c.input(), queue(c.write("SET other 1"), g)); n != 1 || !errors.Is(err, keyspace.ErrHeavy) {
		c.t.Fatalf("group %d: %v, want group 1 to be too heavy", n, err)
	}
	v := c.view()
	defer v.Release()
	c.core.Changes.Follow(v.Index)
	p, err := c.core.Prepare(v, c.now, g, new(Ending))
	if err != nil || p == nil {
		c.t.Fatalf("prepared %v, %v", p, err)
	}
	return []Waiting{{Group: g, Prepared: p}}
}

// A transaction that has seen which keys there are must not miss one that came meanwhile.
func TestHeavyWalks(t *testing.T) {
	c := newTestCore(t)
	c.bigSets()
	for _, walk := range []string{"KEYS x*", "DBSIZE", "SCAN 0", "RANDOMKEY"} {
		again := func() *group.Group { return c.atomic(walk, "SUNIONSTORE u a b", "SUNIONSTORE u a b") }
		q := c.prepare(again())
		c.run(c.write("SET x:" + walk[:3] + " 1"))
		if _, n, err := c.core.Evaluate(c.input(), q); n != 0 || !errors.Is(err, keyspace.ErrHeavy) || q[0].tries != 1 {
			t.Errorf("%s: %d, %v, although a key has come", walk, n, err)
		}
		if got := c.runAll(c.prepare(again())); len(got) != 1 || !strings.HasSuffix(got[0], ":18000 ") {
			t.Errorf("%s: %.100q", walk, got)
		}
	}
}

// TestHeavyLibraries has libraries of functions change while one is loaded beside the loop
// or one of their functions is called there: neither counts.
func TestHeavyLibraries(t *testing.T) {
	c := newTestCore(t)
	load := func(name, body string) *group.Group {
		g := c.write("TUTTI.FUNCTION LOAD REPLACE x")
		g.Cmds[0].Args[3] = fmt.Appendf(nil, "#!lua name=%s\n%s", name, body)
		return g
	}
	const long = "for i = 1, 300000 do end"
	function := func(answer string) string {
		return fmt.Sprintf("redis.register_function('f', function() %s return '%s' end)", long, answer)
	}
	c.want(c.run(load("a", function("old"))), "$1 a ")
	for _, x := range []struct {
		name  string
		heavy func() *group.Group
		want  string
	}{
		{"loaded", func() *group.Group { return load("b", long+" redis.register_function('g', function() end)") }, "$1 b "},
		{"called", func() *group.Group { return c.write("FCALL f 0") }, "$3 new "},
	} {
		q := c.prepare(x.heavy())
		c.run(load("a", function("new")))
		if _, n, err := c.core.Evaluate(c.input(), q); n != 0 || !errors.Is(err, keyspace.ErrHeavy) || q[0].tries != 1 {
			t.Errorf("%s: %d, %v, although a library has changed", x.name, n, err)
		}
		if got := c.runAll(c.prepare(x.heavy())); got[0] != x.want {
			t.Errorf("%s: %q, want %q", x.name, got, x.want)
		}
	}
}

func TestHeavyCore(t *testing.T) {
	c := newTestCore(t)
	c.bigSets()
	union := c.write("SUNIONSTORE u a b")
	q := c.prepare(union)
	// What others do meanwhile to other keys, and that the key counts move, is
	// no reason to evaluate again.
	c.want(c.run(c.write("SET x 1", "SET y 2")), "+OK +OK ")
	before := c.at.Index
	c.want(c.runAll(q), ":18000 ")
	if c.at.Index != before+1 {
		t.Errorf("the result took %d entries", c.at.Index-before)
	}
	c.want(c.run(c.write("SCARD u", "SISMEMBER u m017999"+padding, "DBSIZE")), ":18000 :1 :5 ")
	// The reply is recorded with the entry.
	if s := c.core.sessions.byID[testSession]; s.open[union.Seq].reply == nil {
		t.Error("the outcome is not remembered")
	}

	for _, change := range []string{"SREM b m007000" + padding, "DEL b", "SET u x", "FLUSHDB", "PEXPIRE a 1"} {
		g := c.write("SUNIONSTORE u a b", "SUNIONSTORE u a b")
		q := c.prepare(g)
		c.run(c.write(change))
		c.now += 2
		_, n, err := c.core.Evaluate(c.input(), q)
		if q[0].Prepared != nil || q[0].tries != 1 {
			t.Errorf("after %q a result that came too late is still there", change)
		}
		if change != "FLUSHDB" && change != "DEL b" && (n != 0 || !errors.Is(err, keyspace.ErrHeavy)) {
			t.Errorf("after %q: %v, want it too heavy again", change, err)
		}
		c.run(c.write("FLUSHALL"))
		c.bigSets()
	}

	// Overtaken by others heavyTriesMax times, it says whom to hold back for once.
	q = c.prepare(c.write("SUNIONSTORE u a b"))
	q[0].tries = heavyTriesMax - 1
	c.run(c.write("SREM b m007000" + padding))
	if _, n, err := c.core.Evaluate(c.input(), q); n != 0 || !errors.Is(err, keyspace.ErrHeavy) || q[0].Holds == nil {
		t.Errorf("overtaken: %d, %v, holds %d keys", n, err, len(q[0].Holds))
	}
	for line, want := range map[string]bool{"SADD b x": true, "SET u 1": true, "MSET n 1 a 2": true, "INCR n": false, "GET a": false, "SMEMBERS b": false} {
		if got := c.core.Touches(q[0].Holds, c.write(line), c.dbs); got != want {
			t.Errorf("%s waits: %t", line, got)
		}
	}
	q[0].tries = heldTriesMax
	c.want(c.runAll(q), ":18000 ")
	// Where nobody can be held back the loop takes it as it is.
	c.want(c.runAll([]Waiting{{Group: c.write("SUNIONSTORE u a b"), tries: heavyTriesMax}}), ":18000 ")
}

// TestHeavyWatch checks that a transaction's watched keys are part of what must
// not have changed.
func TestHeavyWatch(t *testing.T) {
	c := newTestCore(t)
	c.bigSets()
	g := c.write("SUNIONSTORE u a b")
	g.Watches = []group.Watch{{Key: []byte("w")}}
	q := c.prepare(g)
	c.run(c.write("SET w 1"))
	c.want(c.runAll(q), fmt.Sprint("status ", group.WatchFailed))
}

// TestHeavyRefused has a group of many arguments whose watched key has changed, which the
// loop finds out: it is not heavy any more.
func TestHeavyRefused(t *testing.T) {
	c := newTestCore(t)
	c.run(c.write("SET w 1"))
	g := c.write("MSET" + strings.Repeat(" k v", heavyArgs))
	g.Watches = []group.Watch{{Key: []byte("w")}}
	c.want(c.runAll(c.prepare(g)), fmt.Sprint("status ", group.WatchFailed))
}

// TestHeavyStopped ends an evaluation whose result nobody wants any more, and
// one that is too heavy even beside the loop.
func TestHeavyStopped(t *testing.T) {
	c := newTestCore(t)
	c.bigSets()
	v := c.view()
	defer v.Release()
	stop := new(Ending)
	stop.Drop()
	if p, err := c.core.Prepare(v, c.now, c.write("SUNIONSTORE u a b"), stop); p != nil || err != nil {
		t.Errorf("stopped: %v, %v", p, err)
	}
}

// A result does not count any more once a key that it found has expired, whether its
// row has been removed or not.
func TestHeavyDeadline(t *testing.T) {
	c := newTestCore(t)
	c.bigSets()
	c.run(c.write("PEXPIRE a 1000"))
	q := c.prepare(c.write("SUNIONSTORE u a b"))
	c.now += 999
	c.want(c.runAll(q), ":18000 ")
	q = c.prepare(c.write("SUNIONSTORE u a b"))
	c.now++
	b, n, err := c.core.Evaluate(c.input(), q)
	if n == 1 && string(b.Replies[0].Replies[0]) == ":18000\r\n" || err != nil && !errors.Is(err, keyspace.ErrHeavy) {
		t.Errorf("a result over a key that has expired counts: %v", err)
	}
}

// Slots that the shard did not own for a while may have other keys now.
func TestHeavySlotsChanged(t *testing.T) {
	c := newTestCore(t)
	c.bigSets()
	q := c.prepare(c.write("SUNIONSTORE u a b"))
	c.core.SlotsChanged()
	if _, n, err := c.core.Evaluate(c.input(), q); n != 0 || !errors.Is(err, keyspace.ErrHeavy) {
		t.Errorf("%d, %v, want it too heavy again", n, err)
	}
}

// Changes are noted only while somebody will ask, from the state on over which the
// earliest of those is evaluated, and not without bound; also those of entries that say
// themselves which keys they have written.
func TestChanges(t *testing.T) {
	row := func(i int) []byte { return append([]byte{1, 0, 0, 'm', 0, 0, 0, 0}, fmt.Sprintf("%08d", i)...) }
	for _, told := range []bool{false, true} {
		c := newTestCore(t)
		ch := &c.core.Changes
		keys := map[uint64]struct{}{}
		hash, _ := keyspace.ObjectHash(row(7))
		keys[hash] = struct{}{}
		note := func(index uint64, from, n int) {
			tx := keyspace.NewTx(c.view(), keyspace.Env{Databases: c.dbs})
			for i := range n {
				tx.Put(row(from+i), nil)
			}
			var r rows
			if told {
				r.keys = new(changed)
				r.add(tx)
			}
			ch.note(index, tx, &r)
		}
		asks := func(what string, index uint64, want bool) {
			t.Helper()
			if got := ch.touched(keys, index); got != want {
				t.Errorf("told %v, %s: changed since %d is %v", told, what, index, got)
			}
			if any := ch.any(index); !any && want {
				t.Errorf("told %v, %s: none has changed since %d", told, what, index)
			}
		}
		asks("nobody follows", 10, true)
		ch.Follow(10)
		note(11, 0, 5)
		asks("other keys", 10, false)
		note(12, 5, 5)
		asks("the key itself", 10, true)
		ch.Follow(12)
		asks("seen by the later one", 12, false)
		asks("not by the earlier one", 10, true)
		ch.Unfollow()
		asks("one is left", 12, false)
		note(13, 100, changesMax+1)
		asks("too many", 12, true)
		ch.Unfollow()
		ch.Follow(13)
		asks("anew", 13, false)
		asks("from before", 12, true)
	}
}

// A command with very many arguments is not tried in the loop at all.
func TestHeavyByItsArguments(t *testing.T) {
	c := newTestCore(t)
	del := c.write("DEL" + strings.Repeat(" k", heavyArgs-1))
	c.want(c.runAll([]Waiting{{Group: del}}), ":0 ")
	del = c.write("DEL" + strings.Repeat(" k", heavyArgs))
	if _, n, err := c.core.Evaluate(c.input(), queue(c.write("SET k 1"), del)); n != 1 || !errors.Is(err, keyspace.ErrHeavy) {
		t.Errorf("group %d: %v, want group 1 to be heavy", n, err)
	}
	c.want(c.runAll([]Waiting{{Group: del, tries: heavyTriesMax}}), ":0 ")
}
