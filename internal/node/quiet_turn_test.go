package node

import (
	"testing"
	"time"

	"tutti/internal/cluster"
)

// While somebody writes a little, the log is not opened anew, for which that client
// would have to wait; while a replica is copied nothing is touched.
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
	} {
		if got := g.next(step.wrote, step.copying); got != step.want {
			t.Errorf("step %d: %d instead of %d", i, got, step.want)
		}
	}
}

// Who is never still gives all back in the end.
func TestRestlessGivesBackInTheEnd(t *testing.T) {
	var g given
	for range restlessMax + 1 {
		if got := g.next(quietBytes, false); got == giveAll || got == giveNothing {
			t.Fatalf("gives back %d", got)
		}
	}
	if got := g.next(quietBytes, false); got != giveAll {
		t.Errorf("at last it is %d", got)
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
