package sim

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"tutti/internal/proof/respclient"
	"tutti/internal/resp"
)

// Client speaks RESP with one node at a time. It belongs to one goroutine.
type Client struct {
	c    *Cluster
	host string
	at   int              // node
	conn *respclient.Conn // nil: none
	// Timeout bounds a command, connecting included.
	Timeout time.Duration
}

const clientTimeout = 12 * time.Second // longer than the nodes take to give up

// Client returns a client on a host of its own.
func (c *Cluster) Client(host string) *Client {
	if host == "" {
		c.clients++
		host = fmt.Sprintf("c%d", c.clients)
	}
	return &Client{c: c, host: host, at: 1, Timeout: clientTimeout}
}

// Host returns the name of the client's host.
func (k *Client) Host() string { return k.host }

// At makes the client talk to node i from now on.
func (k *Client) At(i int) *Client {
	if k.at != i {
		k.Close()
		k.at = i
	}
	return k
}

// Close closes the connection; the next command opens another.
func (k *Client) Close() {
	if k.conn != nil {
		k.conn.Close()
		k.conn = nil
	}
}

// errNotSent says that a command never left.
var errNotSent = errors.New("not sent")

// Do sends a command and waits for its reply.
func (k *Client) Do(args ...string) (resp.Value, error) {
	v, err := k.Pipe(args)
	if err != nil {
		return resp.Value{}, err
	}
	return v[0], nil
}

// Pipe sends commands at once and waits for all replies.
func (k *Client) Pipe(cmds ...[]string) ([]resp.Value, error) {
	end := time.Now().Add(k.Timeout)
	if k.conn == nil {
		ctx, cancel := context.WithDeadline(context.Background(), end)
		conn, err := k.c.Net.Dial(ctx, k.host, fmt.Sprintf("n%d:6379", k.at))
		cancel()
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errNotSent, err)
		}
		k.conn = respclient.New(conn)
	}
	_ = k.conn.SetDeadline(end)
	values, err := k.conn.Pipe(cmds...)
	if err != nil {
		k.Close()
	}
	return values, err
}

// Must is Do for commands that may not fail.
func (k *Client) Must(args ...string) resp.Value {
	k.c.t.Helper()
	v, err := k.Do(args...)
	if err == nil {
		err = respclient.Err(v)
	}
	if err != nil {
		k.c.t.Fatalf("%s %s at node %d: %v", stamp(), strings.Join(args, " "), k.at, err)
	}
	return v
}

// Text returns what a reply says.
func Text(v resp.Value) string { return respclient.Text(v) }
