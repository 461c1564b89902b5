package audit

import (
	"slices"

	"tutti/internal/cluster"
)

// hashRing is how many entries a replica remembers the hashes of.
const hashRing = 4096

// Hashes are the chained hashes of the newest entries that a replica has applied.
type Hashes struct {
	ring [hashRing]struct{ index, hash uint64 }
}

// Comparison is what a leader asked the voters about, and what they told.
type Comparison struct {
	Index uint64                    // of the entry; 0: nothing has been asked
	Told  map[cluster.NodeID]uint64 // node -> hash
}

// Compare begins a comparison of what the voters hold at an entry.
func Compare(index uint64) Comparison {
	return Comparison{Index: index, Told: make(map[cluster.NodeID]uint64)}
}

// Odd returns the nodes that differ from a majority of the voters. tie says that
// all have told and there is no majority.
func (c *Comparison) Odd(voters int) (nodes []cluster.NodeID, majority uint64, tie bool) {
	votes := make(map[uint64]int)
	most := 0
	for _, hash := range c.Told {
		if votes[hash]++; votes[hash] > most {
			most, majority = votes[hash], hash
		}
	}
	if most <= voters/2 {
		return nil, 0, len(c.Told) >= voters && len(votes) > 1
	}
	for node, hash := range c.Told {
		if hash != majority {
			nodes = append(nodes, node)
		}
	}
	slices.Sort(nodes)
	return nodes, majority, false
}

// Note takes the hash of an entry that is applied.
func (h *Hashes) Note(index, hash uint64) {
	e := &h.ring[index%hashRing]
	e.index, e.hash = index, hash
}

// At returns the hash of an entry, if it is one of the newest.
func (h *Hashes) At(index uint64) (hash uint64, ok bool) {
	e := h.ring[index%hashRing]
	return e.hash, e.index == index && index != 0
}
