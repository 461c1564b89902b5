package shard

import (
	"slices"

	pb "go.etcd.io/raft/v3/raftpb"

	"tutti/internal/cluster"
)

// A replica's id in its Raft group is generation<<16 | node. The generation
// counts how often the node's data was lost and made anew: who has forgotten
// what it promised comes back as somebody else, who never promised anything.
// Between nodes the node's id is the address; inside raft it is the replica's.

const nodeBits = 16

func replicaID(node cluster.NodeID, generation uint64) cluster.ReplicaID {
	return cluster.ReplicaID(generation<<nodeBits | uint64(node))
}

func replicaNode(id cluster.ReplicaID) cluster.NodeID {
	return cluster.NodeID(id) & cluster.NodeMax
}

func replicaGeneration(id cluster.ReplicaID) uint64 { return uint64(id >> nodeBits) }

// NewestGeneration returns the highest generation of a node's replicas in a
// configuration, 0 if it has none.
func NewestGeneration(conf *pb.ConfState, node cluster.NodeID) (newest uint64) {
	for _, ids := range [][]uint64{conf.GetVoters(), conf.GetVotersOutgoing(), conf.GetLearners(), conf.GetLearnersNext()} {
		for _, id := range ids {
			if id := cluster.ReplicaID(id); replicaNode(id) == node {
				newest = max(newest, replicaGeneration(id))
			}
		}
	}
	return newest
}

// replicaNodes returns the nodes of replicas, as raft lists them, in order.
func replicaNodes(ids []uint64) []cluster.NodeID {
	nodes := make([]cluster.NodeID, 0, len(ids))
	for _, id := range ids {
		nodes = append(nodes, replicaNode(cluster.ReplicaID(id)))
	}
	slices.Sort(nodes)
	return slices.Compact(nodes)
}
