package eval

import (
	"errors"
	"fmt"
	"testing"

	"tutti/internal/group"
	"tutti/internal/store"
)

var wantUsers = fmt.Sprint("status ", group.UsersChanged)

// byUsers is a group whose commands were let in by the users of an epoch.
func (c *testCore) byUsers(epoch uint64, lines ...string) *group.Group {
	g := c.write(lines...)
	g.Claim.Users = epoch
	return g
}

// learn has the core go by what the shard's row of users says, as the shard's
// machine does when the row was written.
func (c *testCore) learn() {
	c.t.Helper()
	var err error
	if c.users, err = store.UsersEpoch(c.state, testShard); err != nil {
		c.t.Fatal(err)
	}
}

// TestUsersChanged refuses, as a whole, what was let in by the rights of users as
// they are not any more, whether it writes or reads.
func TestUsersChanged(t *testing.T) {
	c := newTestCore(t)
	c.want(c.run(c.byUsers(3, "SET a 1"), c.write("TUTTI.FENCE")), "+OK ", ":0 ")
	c.want(c.run(c.write("TUTTI.FENCE 5"), c.write("TUTTI.FENCE 4")), ":5 ", ":5 ")
	c.learn()
	old := c.byUsers(4, "SET a 2", "GET a")
	b := c.evaluate(c.input(), old, c.byUsers(5, "GET a"), c.byUsers(6, "GET a"), c.write("GET a"))
	if r := b.Replies[0]; r.Status != group.UsersChanged || r.Users != 5 || len(r.Replies) != 0 || b.Data != nil {
		t.Errorf("a group by old rights: %+v", r)
	}
	for i, what := range []string{"by those rights", "by newer ones", "of the node itself"} {
		if got := text(b.Replies[i+1]); got != "$1 1 " {
			t.Errorf("a group %s: %q", what, got)
		}
	}
	// Whoever sends it again finds that out again, and does not get it executed.
	c.core.Remember(b)
	if r, known, err := c.core.Outcome(old, c.view()); !known || err != nil || r.Refusal() == nil || r.Refusal().Users != 5 {
		t.Errorf("sent again: %+v, %v, %v", r, known, err)
	}
	c.reign()
	c.want(c.run(old), wantUsers)

	v := c.view()
	defer v.Release()
	v.Users = c.users
	for epoch, want := range map[uint64]bool{0: true, 4: false, 5: true, 6: true} {
		called := false
		_, err := Over(v, group.Claim{Users: epoch}, World{Now: c.now}, func(Reads) { called = true })
		ref, refused := errors.AsType[*group.Refusal](err)
		if called != want || refused == want || refused && (ref.Status != group.UsersChanged || ref.Users != 5) {
			t.Errorf("a read by the rights of epoch %d: called %v, %v", epoch, called, err)
		}
	}
}

// TestAppliedBeforeUsersChanged sends a group again that was applied before its
// rights went: it is answered, not refused.
func TestAppliedBeforeUsersChanged(t *testing.T) {
	c := newTestCore(t)
	g := c.byUsers(1, "INCR a")
	c.want(c.run(g), ":1 ")
	c.run(c.write("TUTTI.FENCE 2"))
	c.learn()
	if r, known, err := c.core.Outcome(g, c.view()); !known || err != nil || text(r) != ":1 " {
		t.Errorf("%+v, %v, %v", r, known, err)
	}
}

// TestHeavyUsersChanged evaluates a group beside the loop while its rights go.
func TestHeavyUsersChanged(t *testing.T) {
	c := newTestCore(t)
	c.bigSets()
	g := c.byUsers(1, "SUNIONSTORE u a b")
	q := c.prepare(g)
	c.users = 2
	c.want(c.runAll(q), wantUsers)
}
