package peer

import (
	"errors"
	"fmt"

	"tutti/internal/cluster"
)

// Hello is the first frame of every connection, sent by the one who dialed:
//
//	magic:4 layout:1 class:1 newest:8 oldest:8 node:8 incarnation:8 nonce:8 wall:8 cluster
//
// What comes before node stays in its place in every layout, so that nodes that
// can't understand each other can say why. A node speaks all versions of the
// formats from oldest to newest; what is sent on a connection is of those that
// both sides speak.
type Hello struct {
	Class          Class
	Newest, Oldest cluster.Version
	Node           cluster.NodeID
	Incarnation    uint64 // number of starts of the node
	Nonce          uint64 // of this start
	Wall           int64  // the sender's wall clock in milliseconds
	Cluster        string
}

const (
	helloMagic  = "tuti"
	helloLayout = 3
	helloPrefix = 22 // what stays in its place
	helloFixed  = 54
	clusterMax  = 255
)

// ErrVersion says that two nodes speak no common version of the formats.
var ErrVersion = errors.New("nodes of these versions can't speak with each other")

func (h Hello) encode(dst []byte) []byte {
	dst = append(dst, helloMagic...)
	dst = append(dst, helloLayout, byte(h.Class))
	dst = be.AppendUint64(dst, uint64(h.Newest))
	dst = be.AppendUint64(dst, uint64(h.Oldest))
	dst = be.AppendUint64(dst, uint64(h.Node))
	dst = be.AppendUint64(dst, h.Incarnation)
	dst = be.AppendUint64(dst, h.Nonce)
	dst = be.AppendUint64(dst, uint64(h.Wall))
	return append(dst, h.Cluster...)
}

// decodeHello reads a hello. Of one whose layout is unknown, which is
// ErrVersion, it returns the versions.
func decodeHello(b []byte) (Hello, error) {
	if len(b) < helloPrefix || string(b[:4]) != helloMagic {
		return Hello{}, fmt.Errorf("%w: no hello", ErrFrame)
	}
	h := Hello{Class: Class(b[5]), Newest: cluster.Version(be.Uint64(b[6:])), Oldest: cluster.Version(be.Uint64(b[14:]))}
	if b[4] != helloLayout {
		return h, fmt.Errorf("%w: a hello of layout %d, not %d", ErrVersion, b[4], helloLayout)
	}
	if len(b) < helloFixed || len(b) > helloFixed+clusterMax {
		return Hello{}, fmt.Errorf("%w: a hello of %d bytes", ErrFrame, len(b))
	}
	if h.Class >= classes && h.Class != Stream {
		return Hello{}, fmt.Errorf("%w: class %d", ErrFrame, h.Class)
	}
	if h.Oldest == 0 || h.Oldest > h.Newest {
		return Hello{}, fmt.Errorf("%w: versions %d to %d", ErrFrame, h.Oldest, h.Newest)
	}
	h.Node, h.Incarnation = cluster.NodeID(be.Uint64(b[22:])), be.Uint64(b[30:])
	h.Nonce, h.Wall, h.Cluster = be.Uint64(b[38:]), int64(be.Uint64(b[46:])), string(b[helloFixed:])
	return h, nil
}

// hello is what this node says first on a connection.
func (l *Links) hello(class Class) Hello {
	return Hello{Class: class, Newest: l.cfg.Newest, Oldest: l.cfg.Oldest, Node: l.cfg.Node,
		Incarnation: l.cfg.Incarnation, Nonce: l.cfg.Nonce, Wall: l.cfg.Wall(), Cluster: l.cfg.Cluster}
}

// readHello reads what a peer says first and checks that it is who it has proved
// to be, and speaks a version that this node speaks.
func (l *Links) readHello(from cluster.NodeID, kind Kind, payload []byte) (Hello, error) {
	if kind != kindHello {
		return Hello{}, fmt.Errorf("%w: kind %d instead of a hello", ErrFrame, kind)
	}
	h, err := decodeHello(payload)
	if err != nil && !errors.Is(err, ErrVersion) {
		return h, err
	}
	mine, oldest := l.cfg.Newest, l.cfg.Oldest
	switch {
	case h.Newest < oldest:
		return h, fmt.Errorf("%w: node %d is too old, its newest formats are of version %d, and this node speaks no older ones than %d: update node %d",
			ErrVersion, from, h.Newest, oldest, from)
	case h.Oldest > mine:
		return h, fmt.Errorf("%w: node %d is too new, it speaks no older formats than version %d, and the newest of this node are of version %d: update this node",
			ErrVersion, from, h.Oldest, mine)
	case err != nil:
		return h, fmt.Errorf("node %d: %w", from, err)
	case h.Node != from || h.Cluster != l.cfg.Cluster:
		return h, fmt.Errorf("%w: hello of node %d of cluster %q from node %d", ErrFrame, h.Node, h.Cluster, from)
	}
	return h, nil
}
