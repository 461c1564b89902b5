package shard

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"tutti/internal/group"
)

// waitTogether gives the leader commands that all wait before it evaluates one, and returns
// their replies.
func waitTogether(t *testing.T, n *testNode, lines []string) []group.Reply {
	t.Helper()
	replies := make([]chan group.Reply, len(lines))
	n.call(func(r *Replica) {
		for i, line := range lines {
			n.seq++
			g := newGroup(n.session, n.seq, line)
			replies[i] = make(chan group.Reply, 1)
			g.Term, g.Done = n.term, func(reply group.Reply) { replies[i] <- reply }
			r.admit(g)
		}
	})
	synctest.Wait()
	all := make([]group.Reply, len(lines))
	for i := range lines {
		if len(replies[i]) != 1 {
			t.Fatalf("%d answers to %.20q", len(replies[i]), lines[i])
		}
		all[i] = <-replies[i]
	}
	return all
}

// TestLargeGroupsTakeTurns has large groups wait in front of small ones: between two large
// ones those who wait are served, and all large ones are in the end, in their order.
func TestLargeGroupsTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newTestNode(t, 1)
		n.lead()
		value := strings.Repeat("v", 2*largeBatch)
		all := waitTogether(t, n, []string{"SET a " + value, "SET b " + value, "SET c " + value, "INCR x", "INCR y"})
		for i, reply := range all {
			if reply.Status != group.OK {
				t.Fatalf("group %d: %s", i, text(reply))
			}
		}
		at := func(i int) uint64 { return all[i].Index }
		if at(3) != at(4) || at(3) >= at(1) {
			t.Errorf("small groups are in the entries %d and %d, the second large one in %d", at(3), at(4), at(1))
		}
		if at(0) >= at(1) || at(1) >= at(2) {
			t.Errorf("large groups are in the entries %d, %d, %d", at(0), at(1), at(2))
		}
		n.want(n.run("STRLEN c"), fmt.Sprintf(":%d ", len(value)))
		n.stop()
	})
}

// TestLargeGroupsFillTheirOwnQueue: what is too much of large groups is refused, and takes
// no room from others.
func TestLargeGroupsFillTheirOwnQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newTestNode(t, 1)
		n.lead()
		const size = 8 << 20
		value := strings.Repeat("v", size)
		var lines []string
		for i := range queueBytesMax/size + 1 {
			lines = append(lines, fmt.Sprintf("SET k%d %s", i, value))
		}
		all := waitTogether(t, n, append(lines, "INCR x"))
		for i, reply := range all {
			want := group.OK
			if i == len(lines)-1 {
				want = group.Busy
			}
			if reply.Status != want {
				t.Errorf("group %d of %d: %s, want status %v", i, len(all), text(reply), want)
			}
		}
		n.stop()
	})
}

// TestLargeGroupsEndWithTheTerm: those that wait are told that nothing was applied.
func TestLargeGroupsEndWithTheTerm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newTestNode(t, 1)
		n.lead()
		reply := make(chan group.Reply, 1)
		n.call(func(r *Replica) {
			n.seq++
			g := newGroup(n.session, n.seq, "SET a "+strings.Repeat("v", largeMin))
			g.Term, g.Done = n.term, func(r group.Reply) { reply <- r }
			r.admit(g)
			if len(r.leader.queue.large.groups) != 1 {
				t.Error("it is not among the large ones")
			}
			r.leader.queue.drop()
		})
		if got := <-reply; got.Status != group.NotLeader {
			t.Errorf("%s, want that the node does not lead", text(got))
		}
		n.stop()
	})
}
