package main

import (
	"context"
	"syscall"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

func (c *tuttiCluster) newClient() (kvClient, error) { return newRESPNodes(c.addrs), nil }

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
