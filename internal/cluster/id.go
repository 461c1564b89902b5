package cluster

// NodeID names a node within its cluster; it is never given to another one.
// 0: nobody.
type NodeID uint64

// NodeMax is the greatest id of a node: object ids carry it in 16 bits.
const NodeMax NodeID = 1<<16 - 1

// ShardID names a shard within its cluster; it is never given to another one.
type ShardID uint64

// Meta is the shard that holds the map itself. It owns no slots.
const Meta ShardID = 0

// ReplicaID names a copy of a shard within the shard's Raft group. The shard's
// log hands them out, in order, and never one twice: who has forgotten what it
// promised comes back under a new id, as somebody who never promised anything.
// 0: nobody.
type ReplicaID uint64
