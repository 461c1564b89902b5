// Package task is tasks: records that wait in queues until workers take them, run
// them, and have one result recorded. It is their rows and their state machine over
// a keyspace.Tx, and what the leader of a shard remembers of them in its term.
//
//	id.go       names of tasks, which carry their slot and their queue
//	row.go      keys of rows; rows.go: access to them
//	record.go   a task: its options and its state; queue.go: a queue
//	change.go   a command's change of tasks: what leaving and entering a state implies
//	add.go, claim.go, report.go, finish.go, turn.go: the changes that clients ask for
//	fetch.go    the rows of tasks that are claimed together
//	step.go     those that time asks for, in the background of batches
//	read.go     what there is, for those who look
//	lead.go     the leader's memory: ready lists (lane.go), leases (lease.go), timers
//	why.go      what a task waits for
//	tally.go    what those who watch are told: queues, since when (moments.go), and
//	            how long tasks took (meter.go)
//
// # States
//
//	waiting    for tasks before it (AFTER), or for its turn among those of its KEY
//	scheduled  for a time: IN, AT, or the next attempt
//	ready      in its queue's list
//	running    claimed by a worker, under a token
//	done       with its result; dead: with its last errors; cancelled
//
// Every transition, with all that it implies, is part of one transaction. Whether
// one may happen is decided by rows alone. What a leader has in memory says where to
// look and since when a worker is silent, so a new leader, which remembers nothing,
// decides the same.
//
// A finish applies only if the task has not ended and its token is the recorded
// one. A token is given to one claim of one task, and told only after the claim is
// applied, so a worker that was taken for dead is known by it for ever.
//
// # Where tasks lie
//
// A queue is one thing and lies in the slot of its name: its list of ready tasks, its
// settings and counts, its unique keys and the turns of its KEYs. So limits, order
// and uniqueness are exact. The rows of a task itself lie in the slot of its id:
// that of its NEAR key, or else its queue's. Both slots must be the same shard's.
// Tasks lie outside of databases.
//
// # Rows of version 1
//
// All begin 01 slot:2 't' (package keyspace). Integers in keys are big-endian. The
// first byte of each value is its version. Strings in keys that others follow have
// their length ahead: q is len:1 name, k is len:2 key.
//
//	in the slot of the task:
//	'h' number:8                        its payload
//	's' number:8                        its options and its state, see record.go
//	'c' number:8                        it is running: lease:uvarint (ms) worker
//	'd' due:8 number:8 kind:1           a timer; kind: r to run, t time-out, x expiry, k end of retention
//	'a' number:8 slot:2 number:8        the second task waits for the first to end
//	'o' number:8                        it has ended and others wait for that: state:1
//	in the slot of the queue:
//	'q' name                            settings and counts, see queue.go
//	'r' q 9-prio:1 order:8              ready: slot:2 number:8
//	'n' q slot:2 number:8               a task of the queue lies in another slot; nothing
//	'u' q key                           the task with this unique key: slot:2 number:8
//	'k' q k                             the turns of a KEY: see queue.go
//	'w' q k order:8                     waits for its turn: slot:2 number:8
//
// order is the raft index shifted left by 20, plus a number within the batch: it
// only grows, so tasks of one priority are first in, first out, and whoever has
// taken a list up to some order never looks there again, where only tombstones are.
package task
