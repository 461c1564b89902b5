package cluster

import (
	"cmp"
	"fmt"
	"slices"
)

// Part is what a replica does in its group.
type Part uint8

// The parts.
const (
	// Voter decides with the others.
	Voter Part = iota
	// Learner follows and answers reads, but does not count.
	Learner
	// Leaving votes for the last time: a joint change is under way.
	Leaving
	parts
)

// Replica is a copy of a shard on a node.
type Replica struct {
	ID   ReplicaID `json:"id"`
	Node NodeID    `json:"node"`
	// Data is the generation of the node's data that the replica is part of. A
	// node that lost its data makes it anew under a higher generation: what it
	// had promised before nobody may expect of it any more.
	Data uint64 `json:"data,omitempty"`
	Part Part   `json:"part"`
}

// Descriptor is what a shard knows of itself, at one place of its log: a
// replicated row of it, and the authority on what it owns.
type Descriptor struct {
	ID    ShardID
	Slots SlotRange
	// Generation grows with every change: of two descriptors of a shard the one
	// with the higher generation is the newer.
	Generation uint64
	// Next is the replica id that is handed out next.
	// Invariant: greater than all that were ever handed out.
	Next     ReplicaID
	Replicas []Replica // by id
}

func (d Descriptor) check() error {
	if s := d.Slots; s.First < 0 || s.End > Slots || s.Empty() && s != (SlotRange{}) {
		return fmt.Errorf("shard %d owns the slots from %d to before %d: %w", d.ID, s.First, s.End, ErrMap)
	}
	if len(d.Replicas) > ReplicasMax {
		return fmt.Errorf("shard %d has %d replicas, want at most %d: %w", d.ID, len(d.Replicas), ReplicasMax, ErrMap)
	}
	for i, r := range d.Replicas {
		if r.ID == 0 || r.ID >= d.Next || i > 0 && r.ID <= d.Replicas[i-1].ID || r.Node == 0 || r.Node > NodeMax || r.Part >= parts {
			return fmt.Errorf("shard %d has replica %d on node %d as %d: %w", d.ID, r.ID, r.Node, r.Part, ErrMap)
		}
	}
	return nil
}

// Replica returns the replica of an id.
func (d Descriptor) Replica(id ReplicaID) (Replica, bool) {
	i, ok := slices.BinarySearchFunc(d.Replicas, id, func(r Replica, id ReplicaID) int { return cmp.Compare(r.ID, id) })
	if !ok {
		return Replica{}, false
	}
	return d.Replicas[i], true
}

// Gone reports whether the replica id was one of the shard and is none any
// more, which is for ever.
func (d Descriptor) Gone(id ReplicaID) bool {
	_, in := d.Replica(id)
	return !in && id < d.Next
}

// On returns the newest replica on a node.
func (d Descriptor) On(node NodeID) (r Replica, ok bool) {
	for _, x := range d.Replicas {
		if x.Node == node {
			r, ok = x, true
		}
	}
	return r, ok
}

// Nodes lists the nodes that have a replica, in order.
func (d Descriptor) Nodes() []NodeID { return d.nodes(func(Replica) bool { return true }) }

// Voters lists the nodes whose replicas vote, in order, those that are about to
// leave left out.
func (d Descriptor) Voters() []NodeID {
	return d.nodes(func(r Replica) bool { return r.Part == Voter })
}

// Learners lists the nodes whose replicas learn, in order.
func (d Descriptor) Learners() []NodeID {
	return d.nodes(func(r Replica) bool { return r.Part == Learner })
}

func (d Descriptor) nodes(which func(Replica) bool) []NodeID {
	nodes := make([]NodeID, 0, len(d.Replicas))
	for _, r := range d.Replicas {
		if which(r) {
			nodes = append(nodes, r.Node)
		}
	}
	slices.Sort(nodes)
	return slices.Compact(nodes)
}
