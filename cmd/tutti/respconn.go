package main

import (
	"bufio"
	"net"
	"time"

	"tutti/internal/resp"
)

// respConn is a plain client connection, used by one goroutine.
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
	return &respConn{Conn: c, r: bufio.NewReaderSize(c, 64<<10)}, nil
}

// do sends one command and waits for its reply.
func (c *respConn) do(limit time.Duration, args ...string) (resp.Value, error) {
	c.buf = resp.AppendCommandStrings(c.buf[:0], args...)
	_ = c.SetDeadline(time.Now().Add(limit))
	if _, err := c.Write(c.buf); err != nil {
		return resp.Value{}, err
	}
	return resp.ReadValue(c.r)
}
