package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// redisCluster is one primary and two replicas, each of which fsyncs every
// write before it answers or acknowledges it.
type redisCluster struct {
	procs []*process
	addrs []string // the primary's first
}

// startRedis starts a cluster of Redis, or of name, which speaks as it does, with flags
// more than the usual.
func startRedis(ctx context.Context, l *lab, name string, flags ...string) (*redisCluster, error) {
	dir, err := l.clusterDir(name)
	if err != nil {
		return nil, err
	}
	base, err := freePorts(3)
	if err != nil {
		return nil, err
	}
	c := &redisCluster{}
	for i := range 3 {
		nodeDir := filepath.Join(dir, "node-"+strconv.Itoa(i+1))
		if err := os.Mkdir(nodeDir, 0o755); err != nil {
			c.stop()
			return nil, err
		}
		args := []string{
			"--port", strconv.Itoa(base + i), "--bind", "127.0.0.1", "--dir", nodeDir,
			"--appendonly", "yes", "--appendfsync", "always",
			// Neither snapshots nor rewrites of the log in the measured time.
			"--save", "", "--auto-aof-rewrite-percentage", "0",
			"--maxclients", "10000",
		}
		if i > 0 {
			args = append(args, "--replicaof", "127.0.0.1 "+strconv.Itoa(base), "--repl-diskless-sync-delay", "0")
		} else {
			args = append(args, "--repl-diskless-sync-delay", "0")
		}
		p, err := spawn(nodeDir, name, l.binary[name], append(args, flags...)...)
		if err != nil {
			c.stop()
			return nil, err
		}
		c.procs = append(c.procs, p)
		c.addrs = append(c.addrs, loopback(base+i))
	}
	err = waitReady(ctx, name, c.procs, func() error {
		r, err := respCall(c.addrs[0], "WAIT", "2", "200")
		if err != nil {
			return err
		}
		if r != "2" {
			return fmt.Errorf("%s of 2 replicas follow", r)
		}
		return nil
	})
	if err != nil {
		c.stop()
		return nil, err
	}
	return c, nil
}

func (c *redisCluster) pids() []int {
	var pids []int
	for _, p := range c.procs {
		pids = append(pids, p.pid())
	}
	return pids
}

func (c *redisCluster) stop() {
	for _, p := range c.procs {
		p.stop()
	}
}

func (c *redisCluster) fill(ctx context.Context, w workload, keys int) error {
	if err := fillRESP(ctx, c.addrs[0], w, keys, true); err != nil {
		return err
	}
	// Reads of the random route go to both replicas.
	r, err := respCall(c.addrs[0], "WAIT", "2", "10000")
	if err == nil && r != "2" {
		err = fmt.Errorf("%s of 2 replicas have all keys after 10 s", r)
	}
	return err
}

func (c *redisCluster) load(ctx context.Context, j job, w window) (*tally, error) {
	addrs := c.addrs[:1]
	if j.random {
		if j.work.write {
			return nil, fmt.Errorf("only the primary of Redis takes writes")
		}
		addrs = c.addrs
	}
	return runRESP(ctx, addrs, j, true, w)
}
