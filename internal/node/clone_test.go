package node

import (
	"math"
	"strings"
	"testing"
	"time"

	"tutti/internal/cluster"
	"tutti/internal/peer"
)

// A process that is refused ends when nobody speaks to it, and not before: the node
// itself may be refused by one peer to which its clone was quicker.
func TestCloneEndsWhenNobodySpeaksToIt(t *testing.T) {
	m, err := cluster.NewMap(cluster.Map{Members: []cluster.Member{{ID: 1, Version: 1}, {ID: 2, Version: 1}, {ID: 3, Version: 1}}})
	if err != nil {
		t.Fatal(err)
	}
	refused := peer.Twin{Node: 2, By: 1, Start: 4, Sits: 3}
	for _, c := range []struct {
		name       string
		one, three time.Duration
		ends       bool
	}{
		{"nobody has spoken", math.MaxInt64, math.MaxInt64, true},
		{"not for long enough", cloneSilence, cloneSilence, true},
		{"the third speaks", math.MaxInt64, time.Second, false},
		{"who refuses it speaks", 100 * time.Millisecond, math.MaxInt64, false},
		{"one has spoken a moment ago", math.MaxInt64, cloneSilence - 1, false},
	} {
		silent := map[cluster.NodeID]time.Duration{1: c.one, 2: 0, 3: c.three}
		err := clone(m, refused, func(id cluster.NodeID) time.Duration { return silent[id] })
		if (err != nil) != c.ends {
			t.Errorf("%s: %v", c.name, err)
		}
		if err != nil && !strings.Contains(err.Error(), "another process runs as node 2 elsewhere: node 1 speaks to that one (start 3) and refuses this one (start 4)") {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
