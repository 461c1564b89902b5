package shard

import (
	"math"
	"testing"

	"go.etcd.io/raft/v3/tracker"
)

// The log is kept for followers that take entries, however slowly, not for those that are
// away, or get a copy.
func TestFollowersKeepTheLog(t *testing.T) {
	takes := func(match uint64) tracker.Progress {
		return tracker.Progress{Match: match, State: tracker.StateReplicate, RecentActive: true}
	}
	away := takes(3)
	away.RecentActive = false
	copied := takes(4)
	copied.State = tracker.StateSnapshot
	for _, c := range []struct {
		what     string
		progress map[uint64]tracker.Progress
		want     uint64
	}{
		{"nobody", nil, math.MaxUint64},
		{"itself", map[uint64]tracker.Progress{1: takes(9)}, 9},
		{"one is slow", map[uint64]tracker.Progress{1: takes(9), 2: takes(8), 3: takes(5)}, 5},
		{"one is away", map[uint64]tracker.Progress{1: takes(9), 2: takes(8), 3: away}, 8},
		{"one gets a copy", map[uint64]tracker.Progress{1: takes(9), 2: takes(8), 3: copied}, 8},
	} {
		if got := followed(c.progress); got != c.want {
			t.Errorf("%s: behind %d, want %d", c.what, got, c.want)
		}
	}
}
