// Package tuttitest starts a cluster inside a test: real nodes in the process of the
// test, which speak TCP on the loopback and keep their data in memory. What a program
// does with a cluster can so be tried with nothing installed.
package tuttitest

import (
	"context"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"

	"tutti"
	"tutti/internal/node/nodetest"
)

// NodesCount is how many nodes a cluster has: one may be stopped.
const NodesCount = 3

// Cluster is a running cluster.
type Cluster struct {
	t     testing.TB
	nodes *nodetest.Cluster
}

// Start starts a cluster of three nodes, and returns when it serves. It is closed when
// the test ends.
func Start(t testing.TB) *Cluster {
	t.Helper()
	return &Cluster{t, nodetest.Start(t, nodetest.Options{Nodes: NodesCount})}
}

// Addr returns where node i serves clients, counted from 0. Every node takes every
// command.
func (c *Cluster) Addr(i int) string { return c.nodes.Addr(i) }

// Client returns a client of node i, which is closed when the test ends.
func (c *Cluster) Client(i int) *redis.Client {
	client := redis.NewClient(&redis.Options{Addr: c.Addr(i)})
	c.t.Cleanup(func() { client.Close() })
	return client
}

// Work runs a worker at node i until the test ends, or until stop is called, which
// returns when the worker has drained.
func (c *Cluster) Work(i int, cfg tutti.WorkConfig, tasks ...tutti.Handler) (stop func()) {
	client := c.Client(i)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := tutti.Work(ctx, client, cfg, tasks...); err != nil {
			c.t.Errorf("worker: %v", err)
		}
	})
	stop = func() {
		cancel()
		running.Wait()
	}
	c.t.Cleanup(stop)
	return stop
}

// Kill ends node i as a crash would: without a word to its clients or to the others,
// who go on.
func (c *Cluster) Kill(i int) {
	c.t.Helper()
	c.nodes.Stop(i)
}

// Restart starts node i again, which must have been killed. It has its data.
func (c *Cluster) Restart(i int) {
	c.t.Helper()
	c.nodes.Restart(i)
}
