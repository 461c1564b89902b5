package main

import (
	"bufio"
	"context"
	"net"
	"syscall"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// respClient keeps one connection per node and drops it after any error, since
// a late reply would answer the next command.
type respClient struct {
	addrs []string
	conns []net.Conn
	ins   []*bufio.Reader
}

func newRESPClient(addrs []string) *respClient {
	return &respClient{addrs: addrs, conns: make([]net.Conn, len(addrs)), ins: make([]*bufio.Reader, len(addrs))}
}

func (c *tuttiCluster) newClient() (kvClient, error) { return newRESPClient(c.addrs), nil }

func (c *respClient) call(ctx context.Context, node int, args ...string) (text string, err error) {
	err = c.pipeline(ctx, node, appendCommand(nil, args...), 1, func(reply string) { text = reply })
	return text, err
}

// pipeline sends n commands at once and hands out their replies in order. The
// first that is an error ends it.
func (c *respClient) pipeline(ctx context.Context, node int, commands []byte, n int, each func(reply string)) (err error) {
	if c.conns[node] == nil {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "tcp", c.addrs[node])
		if err != nil {
			return err
		}
		c.conns[node], c.ins[node] = conn, bufio.NewReader(conn)
	}
	conn := c.conns[node]
	defer func() {
		if err != nil {
			_ = conn.Close()
			c.conns[node] = nil
		}
	}()
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(10 * time.Second)
	}
	if err := conn.SetDeadline(deadline); err != nil {
		return err
	}
	if _, err := conn.Write(commands); err != nil {
		return err
	}
	for range n {
		text, err := readText(c.ins[node])
		if err != nil {
			return err
		}
		each(text)
	}
	return nil
}

func (c *respClient) put(ctx context.Context, node int, key string, value []byte) error {
	_, err := c.call(ctx, node, "SET", key, string(value))
	return err
}

func (c *respClient) has(ctx context.Context, node int, key string) (bool, error) {
	n, err := c.call(ctx, node, "EXISTS", key)
	return n == "1", err
}

func (c *respClient) close() {
	for _, conn := range c.conns {
		if conn != nil {
			_ = conn.Close()
		}
	}
}

// etcdClient has a client of its own per node, so that the node is our choice
// and never the balancer's.
type etcdClient []*clientv3.Client

func (c *etcdCluster) newClient() (kvClient, error) {
	var clients etcdClient
	for _, n := range c.nodes {
		client, err := c.client(n.addr)
		if err != nil {
			clients.close()
			return nil, err
		}
		clients = append(clients, client)
	}
	return clients, nil
}

func (c etcdClient) put(ctx context.Context, node int, key string, value []byte) error {
	_, err := c[node].Put(ctx, key, string(value))
	return err
}

func (c etcdClient) has(ctx context.Context, node int, key string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	r, err := c[node].Get(ctx, key, clientv3.WithCountOnly())
	return err == nil && r.Count == 1, err
}

func (c etcdClient) close() {
	for _, client := range c {
		_ = client.Close()
	}
}

func (c *etcdCluster) strike(_ context.Context, node int, sig syscall.Signal) (time.Time, error) {
	p := c.procs[node]
	at := time.Now()
	if err := p.cmd.Process.Signal(sig); err != nil {
		return at, err
	}
	if sig == syscall.SIGKILL {
		<-p.done
	}
	return at, nil
}

func (c *etcdCluster) restart(ctx context.Context, node int) error {
	n := c.nodes[node]
	p, err := spawn(n.dir, nodeName(node), c.binary, n.args...)
	if err != nil {
		return err
	}
	c.procs[node] = p
	return waitReady(ctx, "restart of etcd", []*process{p}, func() error {
		_, err := c.status(ctx, node)
		return err
	})
}
