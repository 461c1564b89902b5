package peer

import (
	"fmt"

	"tutti/internal/cluster"
)

// Hello is the first frame of every connection, sent by the one who dialed:
//
//	magic:4 version:1 class:1 node:8 incarnation:8 nonce:8 wall:8 cluster
type Hello struct {
	Class       Class
	Node        cluster.NodeID
	Incarnation uint64 // number of starts of the node
	Nonce       uint64 // of this start
	Wall        int64  // the sender's wall clock in milliseconds
	Cluster     string
}

const (
	helloMagic   = "tuti"
	helloVersion = 2
	helloFixed   = 38
	clusterMax   = 255
)

func (h Hello) encode(dst []byte) []byte {
	dst = append(dst, helloMagic...)
	dst = append(dst, helloVersion, byte(h.Class))
	dst = be.AppendUint64(dst, uint64(h.Node))
	dst = be.AppendUint64(dst, h.Incarnation)
	dst = be.AppendUint64(dst, h.Nonce)
	dst = be.AppendUint64(dst, uint64(h.Wall))
	return append(dst, h.Cluster...)
}

func decodeHello(b []byte) (Hello, error) {
	if len(b) < helloFixed || len(b) > helloFixed+clusterMax || string(b[:4]) != helloMagic {
		return Hello{}, fmt.Errorf("%w: no hello", ErrFrame)
	}
	if b[4] != helloVersion {
		return Hello{}, fmt.Errorf("%w: peer speaks version %d, this node %d", ErrFrame, b[4], helloVersion)
	}
	h := Hello{Class: Class(b[5]), Node: cluster.NodeID(be.Uint64(b[6:])), Incarnation: be.Uint64(b[14:]), Nonce: be.Uint64(b[22:]),
		Wall: int64(be.Uint64(b[30:])), Cluster: string(b[helloFixed:])}
	if h.Class >= classes && h.Class != Stream {
		return Hello{}, fmt.Errorf("%w: class %d", ErrFrame, h.Class)
	}
	return h, nil
}

// hello is what this node says first on a connection.
func (l *Links) hello(class Class) Hello {
	return Hello{Class: class, Node: l.cfg.Node, Incarnation: l.cfg.Incarnation, Nonce: l.cfg.Nonce,
		Wall: l.cfg.Wall(), Cluster: l.cfg.Cluster}
}
