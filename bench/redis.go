package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// redisCluster is one primary and two replicas, each of which fsyncs every
// write before it answers or acknowledges it.
type redisCluster struct {
	procs []*process
	addrs []string // the primary's first
}

func startRedis(ctx context.Context, l *lab) (*redisCluster, error) {
	dir, err := l.clusterDir("redis")
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
		p, err := spawn(nodeDir, "redis", l.binary["redis"], args...)
		if err != nil {
			c.stop()
			return nil, err
		}
		c.procs = append(c.procs, p)
		c.addrs = append(c.addrs, loopback(base+i))
	}
	err = waitReady(ctx, "redis", c.procs, func() error {
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

func (c *redisCluster) fill(ctx context.Context, keys int) error {
	if err := fillRESP(ctx, c.addrs[0], keys, true); err != nil {
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
		if j.write {
			return nil, fmt.Errorf("only the primary of Redis takes writes")
		}
		addrs = c.addrs
	}
	return runRESP(ctx, addrs, j, true, w)
}

// respCall sends one command on a connection of its own and returns the reply
// as text. An error reply is an error.
func respCall(addr string, args ...string) (string, error) {
	conn, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(15 * time.Second)); err != nil {
		return "", err
	}
	if _, err := conn.Write(appendCommand(nil, args...)); err != nil {
		return "", err
	}
	return readText(bufio.NewReader(conn))
}

// readText reads one reply that is not an array.
func readText(in *bufio.Reader) (string, error) {
	var data []byte
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return "", err
		}
		data = append(data, line...)
		r, _, err := parseReply(data)
		switch {
		case err == nil && r.kind == '-':
			return "", fmt.Errorf("%s", r.text)
		case err == nil:
			return strings.Clone(string(r.text)), nil
		case !errors.Is(err, errIncomplete):
			return "", err
		}
	}
}
