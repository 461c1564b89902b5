// Package shard is one Raft group: it orders groups of commands, evaluates
// them at the leader, replicates their effects, applies them everywhere, and
// then lets the replies go.
//
// core.go is the pure part: groups in, write set and replies out, over a
// reader it is given. replica.go is the life of one replica around etcd raft's
// RawNode; loop.go drives the replicas that one event loop owns, on one
// goroutine; host.go is the node's set of loops, and what others call.
//
// # The cycle of a leader
//
// One entry per shard is in flight. Whatever arrives meanwhile is the next
// batch: evaluated over applied state, one after the other, each command seeing
// the writes of those before. The effects become one raft entry; the replies
// are held until that entry is applied here at its index and term. A batch
// without effects is held until a ReadIndex round that began after its
// evaluation confirms that this node still led. So no reply ever speaks for a
// state that a newer leader has replaced.
//
// Every attempt of a group names the term it is meant for and is refused in
// any other; the inbox is emptied at step-down. What a lost leader may have
// proposed is found again by session and sequence, see session.go.
package shard
