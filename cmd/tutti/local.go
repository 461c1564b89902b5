package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	"tutti/internal/node"
)

// localCluster is the nodes of one cluster as child processes of this one, for
// dev and demo.
type localCluster struct {
	dir     string
	dirs    []string
	members []node.Member
	level   string
	procs   []*process
	exits   chan int // index of a node whose process ended; one per start, so the capacity is never exceeded for long
}

// process is one node's process.
type process struct {
	cmd      *exec.Cmd
	done     chan struct{} // closed when it has ended
	stopping atomic.Bool
	logName  string
}

func (p *process) pid() int { return p.cmd.Process.Pid }

func (p *process) ended() string { return p.cmd.ProcessState.String() + ", log: " + p.logName }

// start starts node i. The child dies with this process, even if that is
// killed.
func (c *localCluster) start(i int) error {
	self, err := os.Executable()
	if err != nil {
		return failed(err, "")
	}
	logName := filepath.Join(c.dirs[i], "log.txt")
	log, err := os.OpenFile(logName, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return failed(err, "")
	}
	defer log.Close()
	cmd := exec.Command(self, "start", "--dir", c.dirs[i], "--log", c.level, "--debug-command")
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = childAttr()
	if err := cmd.Start(); err != nil {
		return failed(err, "")
	}
	p := &process{cmd: cmd, done: make(chan struct{}), logName: logName}
	for len(c.procs) <= i {
		c.procs = append(c.procs, nil)
	}
	c.procs[i] = p
	go func() {
		_ = cmd.Wait()
		close(p.done)
		c.exits <- i
	}()
	return nil
}

func (c *localCluster) startAll() error {
	for i, m := range c.members {
		// Look first: the child would say so too, but only in its log.
		for _, addr := range []string{m.Client, m.Peer} {
			l, err := net.Listen("tcp", addr)
			if err != nil {
				return &exitError{code: exitError1, what: fmt.Sprintf("cannot listen on %s: %v", addr, err), safe: "no data was changed",
					do: "stop what uses the address, or choose another with --listen"}
			}
			l.Close()
		}
		if err := c.start(i); err != nil {
			return err
		}
	}
	return nil
}

// ready waits until every node answers and knows a leader.
func (c *localCluster) ready(ctx context.Context, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for i := range c.members {
		for {
			s, err := c.status(i)
			if err == nil && led(s) {
				break
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("node %d is not ready after %v; its log: %s", c.members[i].ID, limit, c.procs[i].logName)
			case <-c.procs[i].done:
				return fmt.Errorf("node %d ended: %s", c.members[i].ID, c.procs[i].ended())
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
	return nil
}

func led(s node.Status) bool {
	for _, sh := range s.Shards {
		if sh.Leader == 0 {
			return false
		}
	}
	return true
}

// status asks node i for its view of the cluster.
func (c *localCluster) status(i int) (node.Status, error) {
	return askStatus(c.members[i].Client, time.Second)
}

func askStatus(addr string, limit time.Duration) (node.Status, error) {
	var s node.Status
	conn, err := dialRESP(addr, limit)
	if err != nil {
		return s, err
	}
	defer conn.Close()
	v, err := conn.do(limit, "TUTTI.STATUS")
	if err != nil {
		return s, err
	}
	if v.IsError() {
		return s, fmt.Errorf("%s: %s", addr, v.Str)
	}
	return s, json.Unmarshal(v.Str, &s)
}

// stopAll stops all nodes, gently first.
func (c *localCluster) stopAll() {
	for _, p := range c.procs {
		if p != nil {
			p.stopping.Store(true)
			_ = p.cmd.Process.Signal(syscall.SIGTERM)
		}
	}
	for _, p := range c.procs {
		if p == nil {
			continue
		}
		select {
		case <-p.done:
		case <-time.After(10 * time.Second):
			_ = p.cmd.Process.Kill()
			<-p.done
		}
	}
}
