package server

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"time"

	"tutti/internal/rawsock"
)

// What a connection speaks before it speaks RESP: TLS where the node is
// configured for it, nothing otherwise. Who got it wrong is answered in foreign.go.

const (
	// handshakeTimeout is how long a client may take for its handshake.
	handshakeTimeout = 5 * time.Second

	// recordHandshake is the first byte of every TLS connection, and of no
	// command.
	recordHandshake = 22
)

var errTLSHello = errors.New("the client speaks TLS, this port does not")

// secured makes a connection speak TLS if the node is configured for it. The
// handshake is still to come: it belongs to the goroutine of the connection.
func (s *Server) secured(nc net.Conn) net.Conn {
	if _, within := nc.(inside); within || s.cfg.TLS == nil {
		return nc
	}
	return tls.Server(rawsock.Wrap(nc), s.cfg.TLS)
}

// shake makes the handshake, if there is one to make, and reports whether the
// client may go on.
func (c *conn) shake() bool {
	t, ok := c.nc.(*tls.Conn)
	if !ok {
		return true
	}
	ctx, cancel := context.WithTimeout(c.s.ctx, handshakeTimeout)
	defer cancel()
	err := t.HandshakeContext(ctx)
	if err == nil {
		return true
	}
	c.s.stats.handshakesFailed.Add(1)
	record, plain := errors.AsType[tls.RecordHeaderError](err)
	if !plain || record.Conn == nil {
		c.s.cfg.Logger.Debug("client connection ended", "id", c.id, "remote", c.nc.RemoteAddr().String(), "error", err)
	} else {
		c.s.logs.foreign.TurnAway(c.s.cfg.Logger, record.Conn, record.RecordHeader[:], errNeedTLS, aboutClients)
	}
	return false
}
