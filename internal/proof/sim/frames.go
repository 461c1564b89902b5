package sim

import (
	"encoding/binary"
	"math/rand/v2"
	"strings"
)

// Frames is what befalls whole frames between nodes in one direction. Below
// them a stream of bytes hides what a network does: TCP leaves nothing lost,
// doubled, late or wrong. But the nodes' own links may lose a frame when a
// buffer is full or a connection ends, frames overtake each other on the two
// connections of a link, and TCP's checksum lets some errors through. Shares
// lie between 0 and 1.
type Frames struct {
	Drop, Duplicate, Reorder float64
	// Flip changes one bit of a frame. It befalls streams (snapshots), too,
	// whose frames are in order and complete or not there.
	Flip float64
}

// FrameCount counts what has happened to frames.
type FrameCount struct{ Dropped, Duplicated, Reordered, Flipped int }

const (
	frameHead  = 8  // length:4 crc:4, see package peer
	helloClass = 14 // where the hello, a connection's first frame, names its class
	laterMax   = 4  // how many frames a reordered one lets pass, at most
)

// framer puts the faults of frames between a node and its connection to a peer.
// Every write there is of whole frames.
type framer struct {
	count   *FrameCount
	begun   bool
	ordered bool // a stream, or the way back of one
	held    []heldFrame
}

type heldFrame struct {
	b    []byte
	left int // frames that pass before it
}

// peerPort is that of the connections between nodes.
const peerPort = ":7379"

func newFramer(addr string, dialer bool, count *FrameCount) *framer {
	if !strings.HasSuffix(addr, peerPort) && !strings.HasSuffix(addr, rivalPort) {
		return nil
	}
	return &framer{count: count, ordered: !dialer}
}

// pass returns what of a write reaches the network, in which order.
func (f *framer) pass(p []byte, fault Frames, r *rand.Rand) []byte {
	if !f.begun && len(p) > helloClass {
		f.begun = true
		f.ordered = f.ordered || p[helloClass] > 1
		return p
	}
	if fault == (Frames{}) && len(f.held) == 0 {
		return p
	}
	out := make([]byte, 0, len(p))
	for len(p) >= frameHead {
		n := min(frameHead+int(binary.BigEndian.Uint32(p)), len(p))
		out = f.frame(out, p[:n], fault, r)
		p = p[n:]
	}
	return append(out, p...)
}

func (f *framer) frame(out, b []byte, fault Frames, r *rand.Rand) []byte {
	if r.Float64() < fault.Flip {
		f.count.Flipped++
		b = append([]byte(nil), b...)
		b[r.IntN(len(b))] ^= 1 << r.IntN(8)
	}
	if f.ordered {
		return append(out, b...)
	}
	switch {
	case r.Float64() < fault.Drop:
		f.count.Dropped++
		return out
	case r.Float64() < fault.Reorder:
		f.count.Reordered++
		f.held = append(f.held, heldFrame{append([]byte(nil), b...), 1 + r.IntN(laterMax)})
		return out
	case r.Float64() < fault.Duplicate:
		f.count.Duplicated++
		out = append(out, b...)
	}
	out = append(out, b...)
	keep := f.held[:0]
	for _, h := range f.held {
		if h.left--; h.left > 0 {
			keep = append(keep, h)
			continue
		}
		out = append(out, h.b...)
	}
	f.held = keep
	return out
}
