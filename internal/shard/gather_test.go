package shard

import (
	"testing"
	"time"

	"tutti/internal/eval"
	"tutti/internal/group"
)

// A batch waits for those who were answered, until most are back or for gatherMax, and
// ever less often where that is in vain.
func TestGather(t *testing.T) {
	const now = time.Hour
	for _, c := range []struct {
		name              string
		answered, waiting int
		come              int           // how many wait then
		after             time.Duration // how long after the answers
		waits             bool
	}{
		{"nobody is back", 25, 25, 26, time.Microsecond, true},
		{"most are back", 25, 25, 40, time.Microsecond, false},
		{"they come too late", 25, 25, 26, gatherMax, false},
		{"few", gatherLeast - 1, 25, 26, 0, false},
		{"as few as may be", gatherLeast, 0, 1, 0, true},
	} {
		var g gather
		g.answered(c.answered, c.waiting, now)
		left, waits := g.waits(c.come, now+c.after)
		if waits != c.waits || waits && left != gatherMax-c.after {
			t.Errorf("%s: waits %v, for %v", c.name, waits, left)
		}
	}
	var g gather
	tried := 0
	for range 4 * gatherVainMax {
		g.answered(50, 0, now)
		if _, waits := g.waits(1, now); waits {
			tried++
			if _, waits = g.waits(1, now+gatherMax); waits {
				t.Fatal("it waits for ever")
			}
		}
	}
	if tried < 10 || tried > 20 {
		t.Errorf("it was tried %d times in vain", tried)
	}
	for range 2 * gatherVainMax { // they are quick again
		g.answered(50, 0, now)
		g.waits(50, now)
	}
	if g.skip > 0 || g.vain > 0 {
		t.Errorf("%d batches are not waited for, though all are back each time", g.skip)
	}
}

// Groups that come while a batch waits are counted, and all again when some have gone.
func TestGatherCounts(t *testing.T) {
	var g gather
	queue := make([]eval.Waiting, 5)
	for i := range queue {
		queue[i].Group = &group.Group{Cmds: make([]group.Command, i+1)}
	}
	for _, c := range []struct{ from, to, want int }{{0, 0, 0}, {0, 2, 3}, {0, 2, 3}, {0, 5, 15}, {3, 5, 9}, {4, 5, 5}} {
		if n := g.counts(queue[c.from:c.to]); n != c.want {
			t.Errorf("groups %d to %d: %d commands, want %d", c.from, c.to, n, c.want)
		}
	}
}
