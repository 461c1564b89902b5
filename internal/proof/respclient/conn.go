// Package respclient is the RESP client of everything that proves: the simulation,
// the tests of one process, bench and conformance. The product has its own in
// cmd/tutti, so that a fault of one does not hide in the other.
package respclient

import (
	"bufio"
	"context"
	"errors"
	"net"
	"strconv"
	"strings"
	"time"

	"tutti/internal/resp"
)

// Conn is a client's connection. It belongs to one goroutine. After an error it
// must be closed: a reply that comes late would answer the next command.
type Conn struct {
	net.Conn
	in  *bufio.Reader
	out []byte
}

// New makes a client of a connection.
func New(conn net.Conn) *Conn { return &Conn{Conn: conn, in: bufio.NewReader(conn)} }

// Dial connects to addr until end, which is also when everything on the
// connection fails that has not happened by then.
func Dial(ctx context.Context, addr string, end time.Time) (*Conn, error) {
	dialer := net.Dialer{Deadline: end}
	conn, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return New(conn), conn.SetDeadline(end)
}

// Send sends commands at once.
func (c *Conn) Send(cmds ...[]string) error {
	c.out = c.out[:0]
	for _, args := range cmds {
		c.out = resp.AppendCommandStrings(c.out, args...)
	}
	_, err := c.Write(c.out)
	return err
}

// Receive waits for the next reply; io.EOF says that the server has closed.
func (c *Conn) Receive() (resp.Value, error) { return resp.ReadValue(c.in) }

// Pipe sends commands at once and waits for all replies.
func (c *Conn) Pipe(cmds ...[]string) ([]resp.Value, error) {
	if err := c.Send(cmds...); err != nil {
		return nil, err
	}
	replies := make([]resp.Value, len(cmds))
	for i := range replies {
		var err error
		if replies[i], err = c.Receive(); err != nil {
			return nil, err
		}
	}
	return replies, nil
}

// Do sends a command and waits for its reply. That the reply is an error is
// none of Do's, see Err.
func (c *Conn) Do(args ...string) (resp.Value, error) {
	replies, err := c.Pipe(args)
	if err != nil {
		return resp.Value{}, err
	}
	return replies[0], nil
}

// Err is the error that a reply is, or nil.
func Err(v resp.Value) error {
	if !v.IsError() {
		return nil
	}
	return errors.New(string(v.Str))
}

// Text is what a reply says.
func Text(v resp.Value) string {
	switch {
	case v.Null:
		return "nil"
	case v.Kind == resp.KindInt:
		return strconv.FormatInt(v.Int, 10)
	case v.Kind == resp.KindArray:
		parts := make([]string, len(v.Elems))
		for i, e := range v.Elems {
			parts[i] = Text(e)
		}
		return "[" + strings.Join(parts, " ") + "]"
	}
	return string(v.Str)
}
