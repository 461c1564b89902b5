// Package group is what entry nodes and shards say to each other: groups of
// commands one way, replies the other, and how both look in a frame.
//
// A group is the commands of one connection for one shard, evaluated together.
// Who sends it again changes its attempt and term, never its sequence: by
// session and sequence a shard finds what it has evaluated before.
//
// # Encodings
//
// Numbers with a width in bytes are big-endian; uvarint is that of
// encoding/binary; text is its length as an uvarint and then its bytes. Both
// begin with their version. Who meets one that it does not know refuses the
// frame and names it: nothing of what follows can be read.
//
//	group: version:1=4 shard:8 session:8 seq:8 attempt:4 term:8 floor:8
//	       flags:1 (1 open, 2 atomic, 4 about a waiter, 8 cancels it, 16 user,
//	       32 room, 64 asks for its own) proto:1
//	       first:2 end:2 (the slots of its keys) generation:8 (of the descriptor
//	       by which the shard owns them) users:8 (epoch of the users by whose
//	       rights; 0: the node's own)
//	       watches:uvarint { db:1 exists:1 version:8 key:text }
//	       commands:uvarint { db:1 arguments:uvarint { text } }
//	       [waiter:8 order:8 round:8, with flag 4]
//	       [name:text rules:uvarint { text }, with flag 16] [room:4, with flag 32] got:uvarint { waiter:8 }
//	reply: version:1=4 shard:8 session:8 seq:8 attempt:4 status:1 leader:8
//	       term:8 index:8 time:8 users:8 (that the sender must know) flags:1 (1 late,
//	       2 unfit, 4 own) order:8 [from:4 need:4, with flag 2] [own:uvarint { key:text },
//	       with flag 4] owned:text (of no bytes, or the descriptor of the
//	       shard, see package cluster) replies
//	replies: count:uvarint { text }
//
// A leader from before flag 64 ignores it, and a reply has flag 4 only where it was asked
// for, so they need no version of their own.
//
// The same encoding of replies stands in the rows from which a repetition is
// answered. testdata holds one frame of each kind; they must
// decode for as long as their version is spoken.
package group
