// Package keyspace lays Redis keys and their values out as rows of an ordered
// key-value store, and gives commands a transaction over those rows.
//
// A Tx reads one consistent state (a Reader) plus its own writes, and collects
// those writes as effects: rows to put and rows to delete. Effects, not
// commands, are replicated; applying them copies bytes and decides nothing.
//
// # Rows
//
// All integers in row keys are big-endian, so that byte order is numeric order.
//
//	01 slot:2 'm' pdb:4 hash:4 key           an object (see "Object row")
//	01 slot:2 's' id:8 hash:4 sub            a field of a hash, member of a set or sorted set
//	01 slot:2 's' id:8 pos:8                 an element of a list
//	01 slot:2 's' id:8 n:4                   a part of a string
//	01 slot:2 's' id:8                       of a list, the runs between its first and its last: (pos:8 n:8)…
//	01 slot:2 's' id:8 ms:8 seq:8            an entry of a stream; of a group, one that was delivered and not acknowledged
//	01 slot:2 'z' id:8 score:8 member        a sorted set by score; no value
//	01 slot:2 'z' id:8 ms:8 seq:8            of a long stream, a block of entries; value: how many
//	01 slot:2 'z' id:8 number:8 ms:8 seq:8   of a group, what was delivered by consumer; no value
//	01 slot:2 'c' id:8 name                  of a stream, a group, which has an id of its own; of a group, a consumer
//	01 slot:2 'x' expire:8 pdb:4 key         expiry index; no value
//	01 slot:2 'h' id:8 hash:4 sub            deadline:8 of a field of a hash
//	01 slot:2 'i' id:8 deadline:8 sub        the same by deadline; no value
//	01 slot:2 'f' deadline:8 pdb:4 key       hashes whose fields have deadlines, by a time before which none is due; no value
//	01 slot:2 'g' id:8                       garbage: rows of a deleted big collection; value: its type
//	01 slot:2 'v'                            index of the last delete or expiry in the slot
//
// slot is CRC16 of the key or its {hash tag}, modulo 16384. pdb is a physical
// database number: FLUSHDB gives a logical database a fresh one, so it costs
// the same for any number of keys. hash is the upper half of xxhash64 of what
// follows it: rows of one container lie in hash order, so a SCAN cursor is a
// position that survives any change, and random members are found by seeking.
// id is the object id (node 16 bit, counter 48 bit), never reused, so RENAME
// within a slot moves one row.
//
// # Object row
//
//	head:1 version:8 [expire:8] body
//
// head holds the type in its low four bits and flags in the high ones: 0x80 has
// an expiry (milliseconds of shard time), 0x40 the body is packed. version is
// the raft index of the last change. The body of a string is its value; of a
// packed collection its elements; of any other collection
//
//	id:8 count:uvarint [list, sorted set: first:8]
//
// first is where the first element is: its position in a list, in a sorted set
// its score as in the score rows. Queues take from that end, and looking for
// the first row from the prefix on would step over a tombstone for every
// element ever taken.
//
// The body of a stream is
//
//	id:8 count groups added first last deleted
//
// of uvarints, ids two of them: how many entries there are, groups, and entries that ever
// were; the ids of the first entry, of the last that ever was, and the highest one deleted.
// What lies before the first is garbage.
//
// Small collections are packed because job queues keep hashes of about ten
// fields: one Get and one Put in place of eleven.
//
// # Versions
//
// A format has the number of the cluster version (package cluster) from which on
// it may be written; Format is the newest that this version knows. An object row
// of format 1 has one of the types 1 to 5 and no flags but the two above. Every
// object row of a later format has another type or flag, and its format behind
// that:
//
//	head:1 format:1 …
//
// Format 2 brought type 6, streams. Format 3 brought flag 0x20, for hashes (type 5) whose
// fields have deadlines:
//
//	head:1 format:1=3 version:8 [expire:8] soonest:8 body
//
// where soonest is a time before which none is due; the body is that of a packed hash,
// with the deadlines behind the values, or
//
//	id:8 count:uvarint timed:uvarint
//
// timed of whose fields have deadlines.
//
// Format 4 brought flag 0x20 of lists (type 2) that were changed in their middle, and fell
// into runs, see listRuns:
//
//	head:1 format:1=4 version:8 [expire:8] body
//
// whose body has behind first, which is where the first run begins, the last:
//
//	id:8 count:uvarint first:8 n of the first run:uvarint pos of the last:8 n of it:uvarint
//
// Format 5 brought streams (type 6) that count their entries by blocks, see
// stream_blocks.go: the body of their row has behind deleted how many are in no block yet,
// a uvarint.
//
// Format 6 brought flag 0x20 for strings (type 1) whose value lies in rows of parts, one
// after the other from number 0 on:
//
//	head:1 format:1=6 version:8 [expire:8] id:8 size:uvarint each:uvarint
//
// of which all but the last have each bytes.
//
// Such is also what of a string is there before its last part is: an upload, whose row has
// the name that its sender gave it as its key, the slot of the key that the value is for,
// and the physical database 2^32-1, which no logical one ever is.
//
// Format 7 changed no rows.
//
// So what is simple stays short, and whoever does not know a row can say which
// version does: that is a RowError with ErrLater, and no damage. A flipped bit is
// told apart by the byte behind it, which is then the highest of a raft index: 0.
//
// The other rows have no byte for it:
//   - elements ('s', 'z', 'c') have the format of the object row with their id;
//   - the value of garbage ('g') begins like an object row: a type above 5 is
//     followed by its format, and whoever does not know it leaves the garbage;
//   - another form of 'x' or 'v' takes another letter. So does a new kind of row:
//     nobody walks over rows whose letter he does not know.
//
// The row of databases begins with its format, see Databases. The bytes of all
// rows are in testdata; a test fails when they change and Format does not.
package keyspace
