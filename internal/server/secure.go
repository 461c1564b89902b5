package server

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"time"
	"tutti/internal/rawsock"
)

// What a connection speaks before it speaks RESP: TLS where the node is
// configured for it, nothing otherwise, and what a client is told that got it
// wrong. What such a client has sent is not executed.

const (
	// handshakeTimeout is how long a client may take for its handshake.
	handshakeTimeout = 5 * time.Second

	errNeedTLS = "-NEEDTLS this port speaks TLS. Use rediss:// (redis-cli --tls --cacert ca.pem, with the file ca.pem of the node's folder). Nothing was executed.\r\n"

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
	switch {
	case !plain || record.Conn == nil:
		c.s.cfg.Logger.Debug("client connection ended", "id", c.id, "remote", c.nc.RemoteAddr().String(), "error", err)
	case looksLikeHTTP(record.RecordHeader[:]):
		crossProtocol(c.s.cfg.Logger, c.nc.RemoteAddr().String())
	default:
		c.s.cfg.Logger.Debug("client connection ended: it does not speak TLS", "id", c.id, "remote", c.nc.RemoteAddr().String())
		_ = record.Conn.SetWriteDeadline(time.Now().Add(lingerMax))
		if _, err := record.Conn.Write([]byte(errNeedTLS)); err == nil {
			linger(record.Conn, lingerMax)
		}
	}
	return false
}

// looksLikeHTTP reports whether a browser was made to talk to this port, by the
// first bytes of what it sent.
func looksLikeHTTP(begin []byte) bool {
	for _, method := range []string{"GET /", "HEAD ", "POST ", "PUT /", "OPTIO", "DELET", "PATCH", "CONNE", "host:"} {
		if len(begin) >= len(method) && bytes.EqualFold(begin[:len(method)], []byte(method)) {
			return true
		}
	}
	return false
}

// crossProtocol logs that a browser was made to talk to this port. Its connection
// is closed without a word: it need not be told what is here.
func crossProtocol(log *slog.Logger, remote string) {
	log.Warn("possible cross-protocol attack, connection closed", "remote", remote)
}
