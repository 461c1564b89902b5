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
// Sending never blocks: a frame is dropped when the peer's buffer is full or
// the peer is unknown, as a network may drop it. Raft and the router send again.
package peer
