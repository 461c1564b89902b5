package tracking

import (
	"encoding/binary"
	"errors"
	"fmt"

	"tutti/internal/cluster"
	"tutti/internal/peer"
)

// The kinds of frames, see the documentation of the package.
const (
	KindFollow peer.Kind = 100
	KindFed    peer.Kind = 101
)

const (
	layout      = 1
	followBytes = 17
	fedMin      = 58
	fedUnused   = 16
	// partMax is about how many bytes of keys a frame has.
	partMax = 256 << 10
)

// errFrame says that a peer has sent what can't be read.
var errFrame = errors.New("malformed frame of tracking")

var be = binary.BigEndian

// The flags of a fed.
const (
	flagFresh = 1 << iota // the sender is up to date
	flagAll               // everything may have changed
)

// follow asks for the changes of a shard.
type follow struct {
	shard cluster.ShardID
	feed  uint64
}

func (f follow) encode(dst []byte) []byte {
	return be.AppendUint64(be.AppendUint64(append(dst, layout), uint64(f.shard)), f.feed)
}

func decodeFollow(b []byte) (f follow, err error) {
	if len(b) != followBytes || b[0] != layout {
		return f, fmt.Errorf("%w: a follow of %d bytes", errFrame, len(b))
	}
	return follow{cluster.ShardID(be.Uint64(b[1:])), be.Uint64(b[9:])}, nil
}

// fed is changes of a shard on their way to a node that follows it. When it is decoded
// the keys lie in the frame.
type fed struct {
	follow
	line  uint64
	seq   uint64
	flags byte
	index uint64
	keys  [][]byte
}

func (f fed) encode(dst []byte) []byte {
	dst = be.AppendUint64(be.AppendUint64(f.follow.encode(dst), f.line), f.seq)
	dst = append(be.AppendUint64(append(dst, f.flags), f.index), make([]byte, fedUnused)...)
	for _, key := range f.keys {
		dst = append(binary.AppendUvarint(dst, uint64(len(key))), key...)
	}
	return dst
}

func decodeFed(b []byte) (f fed, err error) {
	if len(b) < fedMin || b[0] != layout {
		return f, fmt.Errorf("%w: a fed of %d bytes", errFrame, len(b))
	}
	f.shard, f.feed, f.line, f.seq = cluster.ShardID(be.Uint64(b[1:])), be.Uint64(b[9:]), be.Uint64(b[17:]), be.Uint64(b[25:])
	f.flags, f.index = b[33], be.Uint64(b[34:])
	if f.flags&^(flagFresh|flagAll) != 0 {
		return f, fmt.Errorf("%w: flags %#x", errFrame, f.flags)
	}
	for b = b[fedMin:]; len(b) > 0; {
		n, size := binary.Uvarint(b)
		if size <= 0 || n > uint64(len(b)-size) {
			return f, fmt.Errorf("%w: a key that is cut off", errFrame)
		}
		f.keys = append(f.keys, b[size:size+int(n)])
		b = b[size+int(n):]
	}
	return f, nil
}
