package group

import "tutti/internal/cluster"

// Status is the outcome of one attempt.
type Status uint8

// The statuses.
const (
	// OK: evaluated, and its effects are applied.
	OK Status = iota
	// NotLeader: refused before evaluation; Leader and Term say whom to try.
	NotLeader
	// Lost: leadership was lost while the attempt was in flight. The same
	// sequence may be tried again.
	Lost
	// Busy: refused before evaluation, for now.
	Busy
	// NoSession: the shard does not know the session. An attempt before this
	// one may have been applied; this one was not.
	NoSession
	// Pruned: the sequence has been acknowledged or given up.
	Pruned
	// WatchFailed: a watched key changed, nothing was evaluated.
	WatchFailed
	// NoSpace: the group is a transaction that needs room on a full disk, nothing
	// was evaluated.
	NoSpace
	// Dropped: applied, but the reply was too large to keep for this retry.
	Dropped
)

// Reply answers one attempt of a group.
type Reply struct {
	Shard   cluster.ShardID
	Session uint64
	Seq     uint64
	Attempt uint32
	Status  Status
	Leader  cluster.NodeID // node, with NotLeader; 0: unknown
	Term    uint64
	Index   uint64   // applied index from which the effects are visible
	Time    int64    // shard time of the evaluation
	Replies [][]byte // one RESP reply per command
}
