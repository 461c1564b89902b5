package eval

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
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
	p, err := c.core.Prepare(v, c.now, g, new(atomic.Bool))
	if err != nil || p == nil {
		c.t.Fatalf("prepared %v, %v", p, err)
	}
	return []Waiting{{Group: g, Prepared: p}}
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

	// After heavyTriesMax the loop takes it as it is.
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

// TestHeavyStopped ends an evaluation whose result nobody wants any more, and
// one that is too heavy even beside the loop.
func TestHeavyStopped(t *testing.T) {
	c := newTestCore(t)
	c.bigSets()
	v := c.view()
	defer v.Release()
	stop := new(atomic.Bool)
	stop.Store(true)
	if p, err := c.core.Prepare(v, c.now, c.write("SUNIONSTORE u a b"), stop); p != nil || err != nil {
		t.Errorf("stopped: %v, %v", p, err)
	}
}
