// Package waiter is the commands that wait at the leader of a shard for what is
// not there yet: BLPOP for an element, TASK.CLAIM for a task.
//
// A waiter has a name, the session and sequence of the group that brought it, and
// topics (keyspace.Tx.Signal). It stands in the line of each of its topics, in the
// order in which waiters came to the shard, which outlives a change of leader: the
// leader numbers them, term before count, and the entry node brings the number
// along when it registers them with the next leader.
//
// A registry is the memory of one leader in one term, and belongs to its loop. What
// an evaluation does to it counts only once that is kept: an evaluation that came
// to nothing is undone.
package waiter
