// Package peer is the links between nodes: frames over connections that the
// node has secured.
//
// A node keeps two connections to each peer for what it sends there, and
// accepts two from each for what it receives: Control for small urgent frames
// (heartbeats, votes, read indexes), Bulk for everything else, so that a large
// frame can't delay a heartbeat into an election. Snapshots travel over
// streams of their own.
//
// # Frame
//
//	length:4 crc:4 kind:1 payload
//
// Integers are big-endian; length counts kind and payload, crc is CRC-32C of
// both. The first frame of a connection is the hello (see hello.go). A frame
// that is too long, has a wrong checksum or comes out of turn closes the
// connection: TLS has authenticated the peer, so it is a defect, not noise.
//
// # Kinds
//
// Each kind has one handler, registered before the links start. The first frame
// of a stream says by its kind who takes the stream. Numbers are written out and
// are for ever: another layout of a payload is another kind.
//
//	 0…15   this package: 1 hello, 2 ping, 3 and 4 clocks, 5 a twin that is refused
//	16…31   frames of package shard, see there
//	32…35   the frames of a snapshot's stream, see package shard
//	36…39   the frames of the streams that carry one large group or reply, see package shard
//	64…67   the map, the users, and who runs commands, see package node
//	80…82   what replicas have confirmed, and starts that are refused, see package node
//	83…85   ways to a majority, and rounds of reads that come by way of voters, see package shard
//	96…99   messages and who wants them, see package pubsub
//
// # Versions
//
// The hello names the versions of the formats that its sender speaks, from the
// oldest to the newest. Two nodes without a common one refuse each other, and
// each says which of them is to be updated. What a version has brought is sent
// once all members speak it, as with all formats (see cluster.Version), so a
// kind that nobody here takes comes of a defect at the worst: it is refused with
// a sentence that names it and the version of the peer, and the connection goes
// on. It is never taken for damage.
//
// Sending never blocks: a frame is dropped when the peer's buffer is full or
// the peer is unknown, as a network may drop it. Raft and the router send again.
package peer
