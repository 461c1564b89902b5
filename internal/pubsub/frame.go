package pubsub

import (
	"encoding/binary"
	"errors"
	"fmt"

	"tutti/internal/peer"
)

// The kinds of frames, see the documentation of the package.
const (
	KindInterest peer.Kind = 96
	KindHeard    peer.Kind = 97
	KindAsk      peer.Kind = 98
	KindMessage  peer.Kind = 99
)

const (
	layout      = 1
	interestMin = 20
	heardBytes  = 17
	envelopeMin = 19
	// partMax is about how large a part of a table may get.
	partMax = 256 << 10
)

// errFrame says that a peer has sent what can't be read.
var errFrame = errors.New("malformed frame of messages")

var be = binary.BigEndian

// The flags of an interest.
const (
	firstPart = 1 << iota
	lastPart
)

// interest is a change of what a node wants, or a part of all that it wants.
type interest struct {
	start, seq uint64
	flags      byte
	events     uint16
	entries    []entry
}

// entry says how many subscribers there are to a name.
type entry struct {
	kind  Kind
	count uint64
	name  string
}

func (f interest) encode(dst []byte) []byte {
	dst = append(dst, layout)
	dst = be.AppendUint64(be.AppendUint64(dst, f.start), f.seq)
	dst = be.AppendUint16(append(dst, f.flags), f.events)
	for _, e := range f.entries {
		dst = binary.AppendUvarint(append(dst, byte(e.kind)), e.count)
		dst = append(binary.AppendUvarint(dst, uint64(len(e.name))), e.name...)
	}
	return dst
}

func decodeInterest(b []byte) (f interest, err error) {
	if len(b) < interestMin || b[0] != layout {
		return f, fmt.Errorf("%w: an interest of %d bytes", errFrame, len(b))
	}
	f.start, f.seq, f.flags, f.events = be.Uint64(b[1:]), be.Uint64(b[9:]), b[17], be.Uint16(b[18:])
	if f.flags&^(firstPart|lastPart) != 0 {
		return f, fmt.Errorf("%w: flags %#x", errFrame, f.flags)
	}
	for b = b[interestMin:]; len(b) > 0; {
		e := entry{kind: Kind(b[0])}
		var name []byte
		if e.count, b, err = uvarint(b[1:]); err != nil {
			return f, err
		}
		if name, b, err = prefixed(b); err != nil {
			return f, err
		}
		if e.kind >= kinds {
			return f, fmt.Errorf("%w: an entry of kind %d", errFrame, e.kind)
		}
		e.name = string(name)
		f.entries = append(f.entries, e)
	}
	return f, nil
}

// heard says which change of its receiver's table a node has taken over last.
type heard struct{ start, seq uint64 }

func (f heard) encode(dst []byte) []byte {
	return be.AppendUint64(be.AppendUint64(append(dst, layout), f.start), f.seq)
}

func decodeHeard(b []byte) (f heard, err error) {
	if len(b) != heardBytes || b[0] != layout {
		return f, fmt.Errorf("%w: a heard of %d bytes", errFrame, len(b))
	}
	return heard{be.Uint64(b[1:]), be.Uint64(b[9:])}, nil
}

func encodeAsk(dst []byte) []byte { return append(dst, layout) }

func decodeAsk(b []byte) error {
	if len(b) != 1 || b[0] != layout {
		return fmt.Errorf("%w: an ask of %d bytes", errFrame, len(b))
	}
	return nil
}

// envelope is a message on its way to another node. When it is decoded channel and
// payload lie in the frame.
type envelope struct {
	envelopeID
	kind             Kind
	channel, payload []byte
	everywhere       bool // it is of this node, and for all
}

// envelopeID numbers the messages from a start of a node to a peer.
type envelopeID struct{ start, seq uint64 }

func (f envelope) encode(dst []byte) []byte {
	dst = be.AppendUint64(be.AppendUint64(append(dst, layout), f.start), f.seq)
	dst = binary.AppendUvarint(append(dst, byte(f.kind)), uint64(len(f.channel)))
	return append(append(dst, f.channel...), f.payload...)
}

func decodeEnvelope(b []byte) (f envelope, err error) {
	if len(b) < envelopeMin || b[0] != layout {
		return f, fmt.Errorf("%w: a message of %d bytes", errFrame, len(b))
	}
	f.start, f.seq = be.Uint64(b[1:]), be.Uint64(b[9:])
	if f.kind = Kind(b[17]); f.kind != Channel && f.kind != ShardChannel {
		return f, fmt.Errorf("%w: a message of kind %d", errFrame, f.kind)
	}
	f.channel, f.payload, err = prefixed(b[18:])
	return f, err
}

func uvarint(b []byte) (n uint64, rest []byte, err error) {
	n, size := binary.Uvarint(b)
	if size <= 0 {
		return 0, nil, fmt.Errorf("%w: no number", errFrame)
	}
	return n, b[size:], nil
}

// prefixed cuts off what has its length before it.
func prefixed(b []byte) (head, rest []byte, err error) {
	n, b, err := uvarint(b)
	if err != nil || n > uint64(len(b)) {
		return nil, nil, fmt.Errorf("%w: a name that is cut off", errFrame)
	}
	return b[:n], b[n:], nil
}
