package main

import (
	"context"
	"encoding/json"
	"time"

	"tutti/internal/proof/respclient"
	"tutti/internal/resp"
)

// respNodes is one goroutine's connections to the nodes of a cluster: one each,
// opened when it is needed and dropped after any error.
type respNodes struct {
	addrs []string
	conns []*respclient.Conn // nil: none
}

func newRESPNodes(addrs []string) *respNodes {
	return &respNodes{addrs: addrs, conns: make([]*respclient.Conn, len(addrs))}
}

// askTimeout is for who has no deadline.
const askTimeout = 10 * time.Second

func deadlineOf(ctx context.Context) time.Time {
	if end, ok := ctx.Deadline(); ok {
		return end
	}
	return time.Now().Add(askTimeout)
}

// open returns a connection that fails at end. A new one is used only when the
// node behind it has answered: the switch takes connections also for nodes that
// are down, and what is sent on those would count as perhaps applied.
func (n *respNodes) open(ctx context.Context, node int, end time.Time) (*respclient.Conn, error) {
	if c := n.conns[node]; c != nil {
		return c, c.SetDeadline(end)
	}
	c, err := respclient.Dial(ctx, n.addrs[node], end)
	if err != nil {
		return nil, err
	}
	n.conns[node] = c
	if _, err := c.Do("PING"); err != nil {
		n.drop(node)
		return nil, err
	}
	return c, nil
}

// ask sends one command; an error reply is an error.
func (n *respNodes) ask(ctx context.Context, node int, args ...string) (v resp.Value, err error) {
	c, err := n.open(ctx, node, deadlineOf(ctx))
	if err != nil {
		return v, err
	}
	if v, err = c.Do(args...); err != nil {
		n.drop(node)
		return v, err
	}
	return v, respclient.Err(v)
}

// pipeline sends count commands, which are encoded, at once and hands out what
// the replies say in order. The first that is an error ends it.
func (n *respNodes) pipeline(ctx context.Context, node int, commands []byte, count int, each func(reply string)) (err error) {
	c, err := n.open(ctx, node, deadlineOf(ctx))
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			n.drop(node)
		}
	}()
	if _, err := c.Write(commands); err != nil {
		return err
	}
	for range count {
		v, err := c.Receive()
		if err == nil {
			err = respclient.Err(v)
		}
		if err != nil {
			return err
		}
		each(respclient.Text(v))
	}
	return nil
}

func (n *respNodes) put(ctx context.Context, node int, key string, value []byte) error {
	_, err := n.ask(ctx, node, "SET", key, string(value))
	return err
}

func (n *respNodes) has(ctx context.Context, node int, key string) (bool, error) {
	v, err := n.ask(ctx, node, "EXISTS", key)
	return v.Int == 1, err
}

func (n *respNodes) drop(node int) {
	if c := n.conns[node]; c != nil {
		_ = c.Close()
		n.conns[node] = nil
	}
}

func (n *respNodes) close() {
	for i := range n.conns {
		n.drop(i)
	}
}

// askRESP is one command on a connection of its own, within probeTimeout.
func askRESP(ctx context.Context, addr string, args ...string) (resp.Value, error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	n := newRESPNodes([]string{addr})
	defer n.close()
	return n.ask(ctx, 0, args...)
}

// askJSON is askRESP for a command that answers JSON.
func askJSON(ctx context.Context, addr string, into any, args ...string) error {
	v, err := askRESP(ctx, addr, args...)
	if err != nil {
		return err
	}
	return json.Unmarshal(v.Str, into)
}

// respCall is one command on a connection of its own, within 15 s, and what its
// reply says.
func respCall(addr string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	n := newRESPNodes([]string{addr})
	defer n.close()
	v, err := n.ask(ctx, 0, args...)
	if err != nil {
		return "", err
	}
	return respclient.Text(v), nil
}
