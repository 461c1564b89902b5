package main

import (
	"bufio"
	"crypto/tls"
	"errors"
	"net"
	"syscall"
	"time"

	"tutti/internal/resp"
)

// respConn is a client connection, used by one goroutine.
type respConn struct {
	net.Conn
	r   *bufio.Reader
	buf []byte
}

func dialRESP(addr string, limit time.Duration) (*respConn, error) {
	c, err := net.DialTimeout("tcp", addr, limit)
	if err != nil {
		return nil, err
	}
	return newRESPConn(c), nil
}

func newRESPConn(c net.Conn) *respConn { return &respConn{Conn: c, r: bufio.NewReaderSize(c, 64<<10)} }

// do sends one command and waits for its reply; limit 0 is for ever.
func (c *respConn) do(limit time.Duration, args ...string) (resp.Value, error) {
	replies, err := c.pipeline(limit, args)
	if err != nil {
		return resp.Value{}, err
	}
	return replies[0], nil
}

// pipeline sends commands at once and waits for all replies. After an error
// the connection is of no more use.
func (c *respConn) pipeline(limit time.Duration, commands ...[]string) ([]resp.Value, error) {
	c.buf = c.buf[:0]
	for _, args := range commands {
		c.buf = resp.AppendCommandStrings(c.buf, args...)
	}
	deadline := time.Time{}
	if limit > 0 {
		deadline = time.Now().Add(limit)
	}
	_ = c.SetDeadline(deadline)
	if _, err := c.Write(c.buf); err != nil {
		return nil, err
	}
	replies := make([]resp.Value, len(commands))
	for i := range replies {
		v, err := resp.ReadValue(c.r)
		if err != nil {
			return nil, err
		}
		replies[i] = v
	}
	return replies, nil
}

// alive reports whether the peer has not closed the connection while it was
// idle. Without a look, a command written to a dead one would count as sent.
func (c *respConn) alive() bool {
	under := c.Conn
	if t, ok := under.(*tls.Conn); ok {
		under = t.NetConn() // between two replies TLS sends nothing but its end
	}
	raw, err := under.(*net.TCPConn).SyscallConn()
	if err != nil {
		return false
	}
	open := false
	err = raw.Read(func(fd uintptr) bool {
		var b [1]byte
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		open = errors.Is(err, syscall.EAGAIN) // nothing to read, not even the end
		return true
	})
	return err == nil && open
}

// clients is one goroutine's connections to the nodes of a cluster, one each,
// opened when it is needed and dropped after an error: a late reply would
// answer the next command.
type clients struct {
	nodes []target
	conns []*respConn
	limit time.Duration // of one call
}

// dialTime is what a connection may take, TLS and the login included.
const dialTime = 5 * time.Second

func newClients(nodes []target, limit time.Duration) *clients {
	return &clients{nodes: nodes, conns: make([]*respConn, len(nodes)), limit: limit}
}

// call sends commands to a node. If sent is false no byte of them has left.
func (c *clients) call(node int, commands ...[]string) (replies []resp.Value, sent bool, err error) {
	conn := c.conns[node]
	if conn != nil && !conn.alive() {
		conn.Close()
		conn = nil
	}
	if conn == nil {
		c.conns[node] = nil
		if conn, err = c.nodes[node].dial(min(c.limit, dialTime)); err != nil {
			return nil, false, err
		}
		c.conns[node] = conn
	}
	replies, err = conn.pipeline(c.limit, commands...)
	if err != nil {
		conn.Close()
		c.conns[node] = nil
	}
	return replies, true, err
}

func (c *clients) close() {
	for _, conn := range c.conns {
		if conn != nil {
			conn.Close()
		}
	}
}
