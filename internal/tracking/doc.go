// Package tracking tells clients that keep values of keys when those have changed: it is
// what CLIENT TRACKING stands on.
//
// # What may be relied on
//
// A value that a client has read through its node is never kept beyond the change that
// made it old: each change behind what was read is told, or everything is. That holds
// although reads are answered by any node from its own replica, for these reasons.
//
//  1. Keys are remembered on the node that the client is connected to, before the read
//     begins (Client.Begin, Client.Remember).
//  2. That node hears of each entry of each shard that is applied after that: from its
//     own replica, before views show the entry, or, where it has none, from a node that
//     has one (a feed). Reads are linearizable, so what was applied before the key was
//     remembered is seen by the read. What is heard of later, though the read has seen
//     it, is told apart by the index of the entry (Client.Saw).
//  3. What comes while the client executes commands is kept and told behind their
//     replies (Client.End): an answer never comes after the word that it is old.
//  4. Whoever can't hear any more forgets everything and tells everybody so: when a
//     snapshot was installed, slots have moved, a feed has a gap, its link is lost, or
//     nothing has shown for staleMax that the source is up to date. A source shows that
//     by a round of reads, which takes a majority; so a node that was cut off knows.
//     A new leader alone is no reason: entries come from the log, which has no gap.
//  5. What is read while there is no such source is told to be old at once, behind its
//     reply. Nothing waits for tracking, and nothing is refused because of it.
//
// The memory is bounded: beyond the setting tracking-table-max-keys, or bytesMax, some
// key is forgotten, and told to be old.
//
// With NOLOOP a client is not told of a key that it has changed itself. An entry holds
// changes of many, and does not say whose they are: the leader finds that out and says
// with the reply which keys the client's group alone has changed in that entry
// (Client.Wrote, group.Reply). What is not known to be the client's alone is told.
//
// # Frames
//
// All integers are big-endian, n are uvarints.
//
//	follow  kind 100   version:1 shard:8 feed:8
//	fed     kind 101   version:1 shard:8 feed:8 line:8 seq:8 flags:1
//	                   index:8 unused:16 { len:n key }
//
// With follow a node asks for the changes of a shard, twice a second as long as it wants
// them; a feed with another number begins anew. Each fed has the next seq, beginning
// with 1; a sender that forgets who has asked begins another line. Flag 1 says that the
// sender is up to date, flag 2 that everything may have changed. index is that of the
// entry. unused was for what nobody asks for any more.
package tracking
