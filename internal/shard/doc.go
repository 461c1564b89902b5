// Package shard is one Raft group: it orders groups of commands, has them
// evaluated at the leader (package eval), replicates their effects, applies them
// everywhere, and then lets the replies go.
//
// Who follows a write through it reads, in this order:
//
//	host.go        what others call: Submit, Read
//	frames.go      the same from other nodes
//	loop.go        one goroutine that owns replicas; all comes through its inbox
//	admit.go       the queue of a leader: other terms refused, repetitions answered
//	leadership.go  all that lasts for one term of a leader; it has the queue evaluated
//	replica.go     the replica's life around etcd raft's RawNode
//	appends.go     what raft gives to the log; outbox.go what it sends
//	machine.go     what is committed is applied, seen, and answered
//	read.go        who waits for a view, or for a majority; quickest.go whom a leader asks for
//	               it, vouch.go how a follower asks its leader
//
// Beside that way lie what a leader does on the side (heavy.go, sweeper.go,
// space.go, audits.go, change.go, slots.go, reach.go), what every replica does (auditor.go,
// snapshot.go, members.go, invite.go, campaign.go, transfer.go), and how
// replicas come to a node and leave it (hosting.go).
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
// proposed is found again by session and sequence, see package eval.
package shard
