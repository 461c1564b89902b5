// Package cluster says who belongs to a cluster and what lives where: its
// nodes, its shards, and the replicas that make the shards.
package cluster

import "slices"

// NodeID names a node within its cluster; it is never given to another one.
// 0: nobody.
type NodeID uint64

// NodeMax is the greatest id of a node: object ids carry it in 16 bits.
const NodeMax NodeID = 1<<16 - 1

// ShardID names a shard within its cluster; it is never given to another one.
type ShardID uint64

// ReplicaID names a copy of a shard within the shard's Raft group; it is never
// given to another one: who has forgotten what it promised comes back under a
// new id, as somebody who never promised anything. 0: nobody.
type ReplicaID uint64

// Sorted returns ids in order, each once.
func Sorted[ID NodeID | ShardID | ReplicaID](ids []ID) []ID {
	slices.Sort(ids)
	return slices.Compact(ids)
}
