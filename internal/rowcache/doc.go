// Package rowcache keeps the newest values of small rows in memory, beside the
// store that holds all of them.
//
// Every reader of a shard reads the state at one applied index. What it finds
// here must be what the snapshot of that index says, or transactions would see
// two states. So a value lies here together with the index of the entry that
// wrote it, and these rules hold:
//
//   - What an entry writes is told to Write before anybody may read the state at its
//     index.
//   - A reader at an index uses a value of that index or an earlier one only. No
//     entry has written the row in between, or it would have replaced the value.
//   - What a reader has found in its snapshot is kept by Fill only if no entry has
//     written the row since.
//
// The last rule needs the newest index that wrote a row, also of rows that are not
// here. They share counters: a row that shares one with another that was written
// is not kept, this time.
//
// A row that is known to be absent is kept as well: most commands that make
// something look first whether it is there. What nobody has looked up is not kept when
// it is written, but for what is looked up once soon: see Change.Once.
//
// # Memory
//
// A Cache is the memory of a node, taken once and outside of Go's heap: the
// collector would keep as much again free. It is cut into stripes with a lock
// each. A stripe is a ring of records and a table that finds them:
//
//	table   buckets of eight slots; slot: tag:32 place:32, in units of 8 bytes, from 1 on
//	record  cap:4 rowlen:2 flags:1 unused:1 vallen:4 owner:4 index:8 row val
//
// The buckets double as rows come: bucket i of n becomes 2i and 2i+1 of 2n. So few rows
// take few pages, and looking for one that is not here touches none that was not in use.
//
// Integers are in the machine's order. cap is what the record takes of the ring,
// a multiple of 8; padding at the end of the ring has nothing but cap and flags.
// New records overwrite the oldest, but for those that were read since they came
// or were last spared: these move to the front, as in the CLOCK algorithm.
//
// Each shard has Rows of its own in the Cache, since indices are its own. State
// that is replaced as a whole gets new Rows: their owner's number is another, so
// nothing of the old ones is found any more, and its place is taken in time.
package rowcache
