package node

import (
	"context"
	"crypto/tls"
	"net"

	"tutti/internal/cluster"
	"tutti/internal/trust"
)

// isMember reports whether a node belongs to the cluster now.
type isMember func(cluster.NodeID) bool

// tlsDial returns how a node reaches others.
func tlsDial(h *trust.Holder, in isMember) func(ctx context.Context, to Member) (net.Conn, error) {
	return func(ctx context.Context, to Member) (net.Conn, error) {
		d := tls.Dialer{Config: trust.ClientConfig(h, to.ID, in)}
		return d.DialContext(ctx, "tcp", to.Peer)
	}
}

// tlsSecure returns how a node tells who has reached it. Machines that want to
// join are let in as nobody, node 0.
func tlsSecure(h *trust.Holder, in isMember) func(ctx context.Context, c net.Conn) (net.Conn, cluster.NodeID, error) {
	cfg := trust.ServerConfig(h, in)
	cfg.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if trust.WantsJoin(hello) {
			return trust.JoinServer(h.Identity()), nil
		}
		return cfg, nil
	}
	return func(ctx context.Context, c net.Conn) (net.Conn, cluster.NodeID, error) {
		t := tls.Server(c, cfg)
		if err := t.HandshakeContext(ctx); err != nil {
			return nil, 0, err
		}
		if trust.Joins(t.ConnectionState()) {
			return t, 0, nil
		}
		node, err := trust.PeerID(t.ConnectionState())
		return t, node, err
	}
}
