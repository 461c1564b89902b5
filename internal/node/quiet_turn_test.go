package node

import (
	"testing"
	"time"

	"tutti/internal/cluster"
)

// While somebody writes a little, nothing is done for which he would have to wait,
// however long that goes on: the log is not opened anew, and memory is given back bit by
// bit. While a replica is copied nothing is touched.
func TestGivingBackKeepsNobodyWaiting(t *testing.T) {
	var g given
	const trickle = quietBytes / 2
	for i, step := range []struct {
		wrote   int64
		copying bool
		want    giving
	}{
		{quietBytes + 1, false, giveNothing},
		{trickle, true, giveNothing},
		{0, true, giveNothing},
		{trickle, false, giveCut},
		{trickle, false, giveMemory},
		{trickle, true, giveNothing},
		{trickle, false, giveMemory},
		{stillBytes, false, giveAll},
		{trickle, false, giveMemory},
		{trickle, false, giveNothing},
		{stillBytes, false, giveRest},
	} {
		if got := g.next(step.wrote, step.copying); got != step.want {
			t.Errorf("step %d: %d instead of %d", i, got, step.want)
		}
	}
}

// Who is never still keeps what it needs to write, and gives it back when it is.
func TestRestlessNeverWaits(t *testing.T) {
	var g given
	for range 1000 {
		if got := g.next(quietBytes, false); got == giveAll || got == giveRest {
			t.Fatalf("gives back %d while somebody writes", got)
		}
	}
	if got := g.next(0, false); got != giveAll {
		t.Errorf("when it is still it is %d", got)
	}
	if g.next(quietBytes+1, false); g != (given{}) {
		t.Errorf("after the next flood it has given back %+v", g)
	}
}

// Of any three nodes in a row no two give back at the same moment: a majority goes on.
func TestNodesTakeTurnsInGivingBack(t *testing.T) {
	var members []cluster.Member
	for _, id := range []cluster.NodeID{1, 2, 5, 6, 9} {
		members = append(members, cluster.Member{ID: id})
	}
	const after = 9 * time.Second
	for i := range len(members) - 2 {
		turns := make(map[time.Duration]bool)
		for _, m := range members[i : i+3] {
			turns[turn(members, m.ID, after)%after] = true
		}
		if !turns[0] || !turns[3*time.Second] || !turns[6*time.Second] {
			t.Errorf("from node %d on: %v", members[i].ID, turns)
		}
	}
	if got := turn(members, 7, after); got != 0 {
		t.Errorf("a node that is not in the map waits %s", got)
	}
}
