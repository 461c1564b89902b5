package eval

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"tutti/internal/group"
	"tutti/internal/keyspace"
)

// atomic is a transaction of the commands.
func (c *testCore) atomic(lines ...string) *group.Group {
	g := c.write(lines...)
	g.Atomic = true
	return g
}

// taskOf claims a task of queue q and returns its id and token.
func (c *testCore) taskOf(q string) (id, token string) {
	c.t.Helper()
	words := strings.Fields(c.run(c.write("TASK.CLAIM w FROM " + q))[0])
	if len(words) < 6 {
		c.t.Fatalf("claimed %v", words)
	}
	return words[3], words[5]
}

// What a worker writes together with the end of its task is applied only if the task
// is still its own.
func TestFencedFinishUndoesTransaction(t *testing.T) {
	c := newTestCore(t)
	c.run(c.write("TASK.ADD q p", "SET k old"))
	id, token := c.taskOf("q")
	fenced := c.atomic("SET k new", "TASK.DONE "+id+" 7 r", "SET other x")
	b := c.evaluate(c.input(), fenced, c.write("GET k"))
	if r := b.Replies[0]; r.Status != group.Undone || len(r.Replies) != 1 || !strings.HasPrefix(string(r.Replies[0]), "-FENCED task "+id) {
		t.Errorf("%v %s", r.Status, r.Replies)
	}
	many := c.atomic("TASK.DONE " + id + " " + token + " r " + id + " 7 r")
	if r := c.evaluate(c.input(), many).Replies[0]; r.Status != group.Undone || len(r.Replies) != 1 || !strings.HasPrefix(string(r.Replies[0]), "-FENCED task "+id) {
		t.Errorf("of many: %v %q", r.Status, r.Replies)
	}
	if got := text(b.Replies[1]); got != "$3 old " {
		t.Errorf("k is %s", got)
	}
	if b.Data != nil {
		t.Error("what was undone has effects")
	}
	c.want(c.run(c.atomic("SET k new", "TASK.DONE "+id+" "+token+" r"), c.write("GET k", "EXISTS other")), "+OK :1 ", "$3 new :0 ")
	// The outcome of one that was undone is not recorded beside the effects of others.
	undone := c.atomic("SET k newer", "TASK.DONE "+id+" 7 r")
	c.run(undone, c.write("SET more 1"))
	c.reign()
	view := c.view()
	defer view.Release()
	if _, known, err := c.core.Outcome(undone, view); known || err != nil {
		t.Errorf("recorded: %v, %v", known, err)
	}
}

// Tasks are changed in the loop only, where the leader's memory is: what is too much
// for that is refused, and never evaluated beside it.
func TestTasksAreNotSetAside(t *testing.T) {
	c := newTestCore(t)
	c.bigSets()
	for _, g := range []*group.Group{c.write("SUNIONSTORE u a b", "SUNIONSTORE u a b", "TASK.ADD q p"), c.atomic("SUNIONSTORE u a b", "SUNIONSTORE u a b", "TASK.ADD q p")} {
		got := c.run(g, c.write("EXISTS u", "TASK.QUEUE q"))
		if !strings.Contains(got[0], "touch too many rows") && got[0] != "status "+fmt.Sprint(group.Undone) {
			t.Errorf("%.200s", got[0])
		}
		if !strings.HasPrefix(got[1], ":0 ") || !strings.Contains(got[1], "total-added :0") {
			t.Errorf("%.200s", got[1])
		}
	}
	// What is about tasks alone has room, and what goes beyond is told apart.
	payloads := strings.Repeat(" p", 1000)
	var lines []string
	for range 8 {
		lines = append(lines, "TASK.ADD q COUNT 1000"+payloads)
	}
	got := c.run(c.write(lines...))[0]
	if n := strings.Count(got, "*1000 "); n == 0 || n == 8 || strings.Count(got, "-ERR the commands before this one") != 8-n {
		t.Errorf("%d of 8 commands were applied: %.100s", n, got)
	}
	if _, _, err := c.core.Evaluate(c.input(), queue(c.write("SUNIONSTORE u a b"))); !errors.Is(err, keyspace.ErrHeavy) {
		t.Errorf("what does not change tasks is evaluated here: %v", err)
	}
}

// A claim is told once: an attempt that comes again gets the same answer, also from
// the next leader.
func TestClaimIsToldAgain(t *testing.T) {
	c := newTestCore(t)
	c.run(c.write("TASK.ADD q COUNT 2 one two"))
	g := c.write("TASK.CLAIM w FROM q")
	first := c.run(g)[0]
	c.reign()
	view := c.view()
	defer view.Release()
	r, known, err := c.core.Outcome(g, view)
	if err != nil || !known || text(r) != first {
		t.Errorf("again: %s, first: %s, %v", text(r), first, err)
	}
	if second := c.run(c.write("TASK.CLAIM w COUNT 9 FROM q"))[0]; !strings.Contains(second, "two") || strings.Contains(second, "one") {
		t.Errorf("claimed %s", second)
	}
}

// The sweep of a leader does what time asks for, and a batch that raft did not take
// is done again.
func TestSweepOfTasks(t *testing.T) {
	c := newTestCore(t)
	sweep := NewSweep(c.core)
	c.run(c.write("TASK.ADD q p IN 1000"))
	now := func() (int64, bool) { return c.now, true }
	if sweep.TasksDue(now, 0) {
		t.Error("due before its time")
	}
	c.now += 1000
	for i := range 2 {
		if !sweep.TasksDue(now, 0) {
			t.Fatalf("not due, try %d", i)
		}
		in := c.input()
		in.Mono = time.Second
		in.Sweep = func(tx *keyspace.Tx) { sweep.Step(tx, c.now, c.owned.Slots, nil, false) }
		b := c.evaluate(in)
		if i == 0 {
			if err := sweep.Dropped(c.state.Newest(testShard, c.at.Index)); err != nil {
				t.Fatal(err)
			}
			continue
		}
		c.apply(b)
		if err := sweep.Wrote(b, c.state.Newest(testShard, c.at.Index)); err != nil {
			t.Fatal(err)
		}
	}
	c.taskOf("q")
}

// waits is a command that waits.
func (c *testCore) waits(line string) *group.Group {
	g := c.write(line)
	g.Wait = &group.Wait{Round: 1}
	return g
}

// A worker that waits gets a task in the batch that adds it, one of those that wait
// gets it, and whoever waits for its end is told that in the batch of its finish.
func TestTasksAreWaitedFor(t *testing.T) {
	c := newTestCore(t)
	first, second := c.waits("TASK.CLAIM w BLOCK 0 FROM other q"), c.waits("TASK.CLAIM w BLOCK 0 FROM q")
	for _, g := range []*group.Group{first, second} {
		b := c.evaluate(c.input(), g)
		if b.Replies[0].Status != group.Parked {
			t.Fatalf("status %v", b.Replies[0].Status)
		}
		c.core.Kept()
	}
	b := c.evaluate(c.input(), c.write("TASK.ADD q p"))
	if len(b.Late) != 1 || b.Late[0].Seq != first.Seq || !strings.Contains(text(b.Late[0].Reply), " $1 p ") {
		t.Fatalf("served %+v", b.Late)
	}
	c.core.Kept()
	c.apply(b)
	words := strings.Fields(text(b.Late[0].Reply))
	id, token := words[3], words[5]
	end := c.waits("TASK.GET " + id + " WAIT 0")
	if b := c.evaluate(c.input(), end); b.Replies[0].Status != group.Parked {
		t.Fatalf("status %v", b.Replies[0].Status)
	}
	c.core.Kept()
	b = c.evaluate(c.input(), c.write("TASK.DONE "+id+" "+token+" result"))
	if len(b.Late) != 1 || b.Late[0].Seq != end.Seq || !strings.Contains(text(b.Late[0].Reply), " $4 done ") {
		t.Fatalf("told %+v", b.Late)
	}
	if got := c.core.Waiters(); got != 1 {
		t.Errorf("%d wait", got)
	}
}
