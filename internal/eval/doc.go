// Package eval is what a group of commands does to a shard's state: evaluation,
// and nothing else. It has no goroutine, clock or I/O of its own; what it reads,
// the time and the randomness are given to it, so the same input gives the same
// bytes. Package shard decides when something is evaluated, and what may be told.
//
//	core.go     groups in, a batch out: replies, and the entry that makes them true
//	seal.go     that entry, and what it means for the leader's memory once applied
//	session.go  what was evaluated before: repetitions are answered, not executed
//	heavy.go    groups that are too much for a batch, evaluated over a view
//	pieces.go   effects that are too much for an entry, brought in pieces
//	sweep.go    the background work that batches take along
//	read.go     commands that only read, over a view
//
// Whether a group may run on this shard is asked of its claim, before anything of
// it runs (core.go, read.go), and of each key that it comes to by its transaction.
package eval
