// Package pubsub brings messages from whoever publishes them to whoever has
// subscribed, on any node.
//
// A node knows its own subscribers, and of each peer which channels and patterns
// somebody there has subscribed to, and how many: its table. So a message goes in one
// hop to the nodes that want it and to no others, and the publisher is told how many
// receivers there are without asking anybody.
//
// # What may be relied on
//
// As in Redis a message is delivered at most once, and lost to whoever can't be
// reached: while a link is broken, when a peer or subscriber does not take what it is
// sent, or when a node ends. Messages of one connection arrive in the order in which
// it published them. A subscription is answered when all peers whose links stand know
// of it, so a message that is published after that, on any of them, arrives. A node
// that has just started, or whose link has come back, waits for the tables of the
// others before it publishes.
//
// # Frames
//
// All integers are big-endian, n are uvarints.
//
//	interest  kind 96   version:1 start:8 seq:8 flags:1 events:2 entries
//	entry               kind:1 count:n len:n name
//	heard     kind 97   version:1 start:8 seq:8
//	ask       kind 98   version:1
//	message   kind 99   version:1 start:8 seq:8 kind:1 len:n channel payload
//
// An interest is a change of the table of its sender, which numbers its changes (seq)
// since its start: how many subscribers there are now to what the entries name, 0 for
// none. Or it is a part of the whole table as it was at seq: flags has 1 in the first
// part and 2 in the last. A change behind the next one shows that another was lost,
// and the whole is asked for. What was taken over is answered with heard.
// events are the notifications about keys that somebody wants on that node. The
// messages from a node to another have numbers too, so that none is handed over twice.
//
// All of them travel in one connection, in order. Their first byte is the version of
// their layout; a frame of another one is dropped and logged.
package pubsub
