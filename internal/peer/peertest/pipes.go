// Package peertest links nodes inside of a test, by pipes, so that their time may be
// virtual.
package peertest

import (
	"context"
	"log/slog"
	"net"

	"tutti/internal/cluster"
	"tutti/internal/peer"
)

// Pipes is the listener of one node. Its connections know who has dialed.
type Pipes struct {
	accept chan net.Conn
	closed chan struct{}
}

type pipe struct {
	net.Conn
	from cluster.NodeID
}

func (p pipe) RemoteAddr() net.Addr { return &net.TCPAddr{} }

// NewPipes returns the listener of a node that nobody has dialed yet.
func NewPipes() Pipes { return Pipes{make(chan net.Conn), make(chan struct{})} }

// Accept implements net.Listener.
func (p Pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.accept:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (p Pipes) Close() error { close(p.closed); return nil }

// Addr implements net.Listener.
func (p Pipes) Addr() net.Addr { return &net.TCPAddr{} }

// Links returns links of a node that reaches the others by pipes; changed is
// peer.Config.Changed, and dialed, if not nil, sees each connection that it makes.
func Links(id cluster.NodeID, nets map[cluster.NodeID]Pipes, changed func(node cluster.NodeID, up bool), dialed func(net.Conn)) *peer.Links {
	return peer.New(peer.Config{Node: id, Incarnation: 1, Cluster: "c", Listener: nets[id], Logger: slog.New(slog.DiscardHandler),
		Wall: func() int64 { return 0 },
		Dial: func(ctx context.Context, to cluster.NodeID) (net.Conn, error) {
			here, there := net.Pipe()
			select {
			case nets[to].accept <- pipe{there, id}:
				if dialed != nil {
					dialed(here)
				}
				return here, nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		},
		Secure:  func(_ context.Context, c net.Conn) (net.Conn, cluster.NodeID, error) { return c, c.(pipe).from, nil },
		Changed: changed,
	})
}
