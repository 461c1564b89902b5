// Package store is the disk of a node: one log store and one state store,
// shared by all shards of the node, and the vow that guards the log.
//
// # Log store (folder log/)
//
// A Pebble store with a write-ahead log. One goroutine writes: it takes what
// all shards want appended, writes one batch and fsyncs once. Rows, integers
// big-endian:
//
//	shard:8 'e' index:8   crc:4 type:1 term:8 data    an entry; crc32c covers the index and what follows it
//	shard:8 'h'           crc:4 term:8 vote:8 commit:8
//	shard:8 't'           crc:4 index:8 term:8        the last entry removed from the front
//	shard:8 'i'           crc:4 index:8 term:8        a snapshot is being installed
//	shard:8 'r'           crc:4 replica:8             which replica of the shard this is
//	shard:8 'd'           crc:4 replica:8             it is being dropped
//	shard:8 'g'           crc:4 replica:8             the newest that was dropped: this node is none of those any more
//
// # State store (folder state/)
//
// A Pebble store without a write-ahead log: it is replayed from the log store
// from wherever its last flush ended. Rows of keys, of sessions and of their
// replies reach it late: until then they lie in memory, in a layer (late.go) and the runs
// that layers become, and entries that write very much (run.go, wide.go), over a snapshot of Pebble, and views read all three; runs are
// written back together (writeback.go). Rows below 01 belong to the keyspace (see
// package keyspace). Rows below 00 belong to a shard:
//
//	00 shard:8 'a'                  applied: index:8 term:8 time:8 hash:8
//	00 shard:8 'c'                  configuration: raftpb.ConfState
//	00 shard:8 'd'                  what the shard owns and who its replicas are: see cluster.Descriptor
//	00 shard:8 'm' …                the map, of the meta shard: see package meta
//	00 shard:8 'b'                  logical to physical databases
//	00 shard:8 'k' pdb:4            number of keys: 8
//	00 shard:8 'n' node:8           newest incarnation of an entry node that opened a session: 8
//	00 shard:8 's' session:8        session: what has been pruned
//	00 shard:8 'r' session:8 index:8  replies of one entry to one session
//	00 shard:8 'w' session:8 waiter:8  the answer to a command that waited, until its entry node has got it: see package eval
//	00 shard:8 'p' n:4              piece n of a write set that comes in pieces: bytes of its rows, see pieces.go
//	00 shard:8 'l' hash             text of a script; 'f' …: libraries of functions: see package command
//	00 shard:8 'u'                  epoch of the users from which on rights must have been looked at: version:1=1 epoch:8
//	00 shard:8 'x'                  written by an entry after which all replicas hash their rows from here: row
//	00 shard:8 'o'                  written by an entry from which on the shard owns these slots: version:1=1 first:2 end:2
//
// The values of 'b', 'd', 'o', 'r', 'u' and 'w' begin with their version, for 'm' see package meta;
// another form of the others takes another letter.
//
// # Vow (file vow)
//
// See vow.go.
//
// # Small files (counters, starts, damaged; node.json of package node)
//
// Two copies each, NAME and NAME.2, with a line of text before the body, which
// is drawn beside the type it holds (Counters, Starts, Mark). See twice.go.
//
//	tutti NAME, version V, write N, CRC-32C XXXXXXXX
//	body
//
// # Files that hold nothing
//
// ballast and spare are room for bad times, trial is there while room is tried:
// see Space.
package store
