package shard

import (
	"slices"
	"testing"

	"tutti/internal/cluster"
)

func TestComparison(t *testing.T) {
	for _, c := range []struct {
		name   string
		told   map[cluster.NodeID]uint64
		voters int
		odd    []cluster.NodeID
		tie    bool
	}{
		{"nobody yet", map[cluster.NodeID]uint64{1: 7}, 3, nil, false},
		{"all equal", map[cluster.NodeID]uint64{1: 7, 2: 7, 3: 7}, 3, nil, false},
		{"two differ, the third has not told", map[cluster.NodeID]uint64{1: 7, 2: 8}, 3, nil, false},
		{"one is odd", map[cluster.NodeID]uint64{1: 7, 2: 8, 3: 8}, 3, []cluster.NodeID{1}, false},
		{"two are odd", map[cluster.NodeID]uint64{1: 7, 2: 8, 3: 8, 4: 9, 5: 8}, 5, []cluster.NodeID{1, 4}, false},
		{"all differ", map[cluster.NodeID]uint64{1: 7, 2: 8, 3: 9}, 3, nil, true},
		{"half and half", map[cluster.NodeID]uint64{1: 7, 2: 8}, 2, nil, true},
		{"alone", map[cluster.NodeID]uint64{1: 7}, 1, nil, false},
		{"a plurality is no majority", map[cluster.NodeID]uint64{1: 7, 2: 7, 3: 8, 4: 9, 5: 10}, 5, nil, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			q := comparison{index: 1, told: c.told}
			odd, _, tie := q.odd(c.voters)
			if !slices.Equal(odd, c.odd) || tie != c.tie {
				t.Errorf("odd %v, tie %v", odd, tie)
			}
		})
	}
}
