package shard

import "slices"

// A replica's id in its Raft group is generation<<16 | node. The generation
// counts how often the node's data was lost and made anew: who has forgotten
// what it promised comes back as somebody else, who never promised anything.
// Between nodes the node's id is the address; inside raft it is the replica's.

const nodeBits = 16

// NodeMax is the greatest id of a node.
const NodeMax = 1<<nodeBits - 1

func replicaID(node, generation uint64) uint64 { return generation<<nodeBits | node }

func replicaNode(id uint64) uint64       { return id & NodeMax }
func replicaGeneration(id uint64) uint64 { return id >> nodeBits }

// replicaNodes returns the nodes of replicas, in order.
func replicaNodes(ids []uint64) []uint64 {
	nodes := make([]uint64, 0, len(ids))
	for _, id := range ids {
		nodes = append(nodes, replicaNode(id))
	}
	slices.Sort(nodes)
	return slices.Compact(nodes)
}
