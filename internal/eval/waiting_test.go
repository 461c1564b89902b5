package eval

import (
	"strings"
	"testing"

	"tutti/internal/group"
)

// parked evaluates a command that finds nothing.
func (c *testCore) parked(g *group.Group) {
	c.t.Helper()
	if b := c.evaluate(c.input(), g); b.Replies[0].Status != group.Parked || b.Data != nil {
		c.t.Fatalf("status %v", b.Replies[0].Status)
	}
	c.core.Kept()
}

// again is the registration of a command that waits already.
func (c *testCore) again(of *group.Group, cancel bool) *group.Group {
	g := c.waits("BLPOP q 0")
	if g.Wait.Seq, g.Wait.Cancel = of.Seq, cancel; cancel {
		g.Cmds = nil
	}
	return g
}

// TestWaiterIsServedOnce registers a command that was served again, with a later
// leader too, and cancels it: it finds its answer, until its node has that.
func TestWaiterIsServedOnce(t *testing.T) {
	c := newTestCore(t)
	w := c.waits("BLPOP q 0")
	c.parked(w)
	b := c.evaluate(c.input(), c.write("RPUSH q x y"))
	if len(b.Late) != 1 || !strings.Contains(text(b.Late[0].Reply), "x") {
		t.Fatalf("served %+v", b.Late)
	}
	c.core.Kept()
	c.apply(b)
	c.core.Applied(b)
	for _, leader := range []string{"the same leader", "a later one"} {
		for _, cancel := range []bool{false, true} {
			b := c.evaluate(c.input(), c.again(w, cancel))
			if got := text(b.Replies[0]); b.Replies[0].Status != group.OK || !strings.Contains(got, "x") || b.Data != nil {
				t.Errorf("%s, cancel %v: %v %q", leader, cancel, b.Replies[0].Status, got)
			}
			c.core.Kept()
		}
		c.reign()
	}
	got := c.write("GET a")
	got.Got = []uint64{w.Seq}
	if _, _, err := c.core.Outcome(got, c.view()); err != nil {
		t.Fatal(err)
	}
	c.run(got, c.write("SET a b"))
	c.reign()
	if rows := c.rows("w"); len(rows) != 0 {
		t.Errorf("kept though it was got: %q", rows)
	}
}

// TestWaiterIsCancelled: nothing is given to who has cancelled, whoever leads.
func TestWaiterIsCancelled(t *testing.T) {
	c := newTestCore(t)
	w := c.waits("BLPOP q 0")
	c.parked(w)
	b := c.evaluate(c.input(), c.again(w, true))
	if b.Replies[0].Status != group.OK || len(b.Replies[0].Replies) != 0 {
		t.Errorf("%+v", b.Replies[0])
	}
	c.core.Kept()
	if b := c.evaluate(c.input(), c.write("RPUSH q x")); len(b.Late) != 0 {
		t.Errorf("served %+v", b.Late)
	}
	if n := c.core.Waiters(); n != 0 {
		t.Errorf("%d wait", n)
	}
}

// TestWaitersInOneBatch parks and serves in one batch, in line, after each command
// of a pipeline, and after a transaction as a whole; a batch that is not proposed
// leaves all in line.
func TestWaitersInOneBatch(t *testing.T) {
	c := newTestCore(t)
	first, second := c.waits("BLPOP q 0"), c.waits("BLPOP q 0")
	push := c.write("RPUSH q 1", "RPUSH q 2", "RPUSH q 3", "LLEN q")
	for range 2 {
		b := c.evaluate(c.input(), first, second, push)
		if len(b.Late) != 2 || b.Late[0].Seq != first.Seq || b.Late[1].Seq != second.Seq {
			t.Fatalf("served %+v", b.Late)
		}
		if got := strings.TrimSpace(text(b.Replies[2])); got != ":1 :1 :1 :1" {
			t.Errorf("pushed: %q", got)
		}
		c.core.Dropped()
		if n := c.core.Waiters(); n != 0 {
			t.Fatalf("%d wait though nothing was proposed", n)
		}
	}
	c.parked(first)
	all := c.atomic("RPUSH q 1", "LLEN q", "LPOP q")
	if b := c.evaluate(c.input(), all); len(b.Late) != 0 || !strings.Contains(text(b.Replies[0]), "1") {
		t.Errorf("served %+v, %q", b.Late, text(b.Replies[0]))
	}
}

// TestWaiterComesToAForeignKey: whose command comes to a key of another shard when
// something is there for it is sent where it belongs, and takes nothing.
func TestWaiterComesToAForeignKey(t *testing.T) {
	c := newTestCore(t)
	c.ownsOnly("q")
	w := c.claimed(1, "q", "BLMOVE q other LEFT RIGHT 0")
	w.Wait = &group.Wait{Round: 1}
	c.parked(w)
	b := c.evaluate(c.input(), c.claimed(2, "q", "RPUSH q x", "LLEN q"))
	if len(b.Late) != 1 || b.Late[0].Status != group.Moved || b.Late[0].Refusal() == nil {
		t.Fatalf("%+v", b.Late)
	}
	if got := text(b.Replies[0]); got != ":1 :1 " {
		t.Errorf("pushed: %q", got)
	}
}
