// Package command says what each command means: the table of commands, and
// their evaluation over a transaction, one file per family.
//
// Evaluation is a pure function of the transaction: no clock, no randomness
// but the transaction's, no waiting. It happens once, at the leader of a shard
// (writes) or over a replica's view (reads); what it writes is replicated as
// effects.
//
// A handler parses, checks, then acts, and appends exactly one reply. It is
// named after its command in lower case.
package command
