package node

import (
	"context"
	"log/slog"
	"net"

	"tutti/internal/cluster"
	"tutti/internal/peer"
)

// pipes is a listener of connections that know who dialed.
type pipes struct {
	accept chan net.Conn
	closed chan struct{}
}

type pipe struct {
	net.Conn
	from cluster.NodeID
}

func newPipes() pipes { return pipes{make(chan net.Conn), make(chan struct{})} }

func (p pipe) RemoteAddr() net.Addr { return &net.TCPAddr{} }

func (p pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.accept:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p pipes) Close() error   { close(p.closed); return nil }
func (p pipes) Addr() net.Addr { return &net.TCPAddr{} }

// pipedLinks returns links of a node that reaches the others by pipes; dialed, if not
// nil, sees each connection that it makes.
func pipedLinks(id cluster.NodeID, nets map[cluster.NodeID]pipes, changed func(node cluster.NodeID, up bool), dialed func(net.Conn)) *peer.Links {
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
