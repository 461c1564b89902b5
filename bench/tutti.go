package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// tuttiCluster is what `tutti dev --nodes 3` runs: node i answers clients on
// port base+i-1, the links between the nodes use mutual TLS, every node fsyncs.
type tuttiCluster struct {
	binary string
	dir    string
	dev    *process
	addrs  []string
	own    map[int]*process // nodes this tool restarted itself
	// stopped are the pids of nodes that got SIGSTOP.
	stopped map[int]int
}

// tuttiStatus is the part of `tutti status --json` that is used here.
type tuttiStatus struct {
	Nodes []struct {
		ID     int    `json:"id"`
		PID    int    `json:"pid"`
		Client string `json:"client"`
		Up     bool   `json:"up"`
	} `json:"nodes"`
	Shards []struct {
		ID     int `json:"id"`
		Leader int `json:"leader"`
	} `json:"shards"`
}

// startTutti starts a cluster; flags are more of those of tutti dev.
func startTutti(ctx context.Context, l *lab, flags ...string) (*tuttiCluster, error) {
	dir, err := l.clusterDir("tutti")
	if err != nil {
		return nil, err
	}
	base, err := freePorts(3)
	if err != nil {
		return nil, err
	}
	c := &tuttiCluster{binary: l.binary["tutti"], dir: filepath.Join(dir, "data"), own: map[int]*process{}, stopped: map[int]int{}}
	for i := range 3 {
		c.addrs = append(c.addrs, loopback(base+i))
	}
	c.dev, err = spawn(dir, "dev", c.binary, append([]string{"dev", "--nodes", "3", "--dir", c.dir, "--listen", loopback(base)}, flags...)...)
	if err != nil {
		return nil, err
	}
	err = waitReady(ctx, "tutti dev", []*process{c.dev}, func() error {
		for _, addr := range c.addrs {
			if _, err := respCall(addr, "SET", "bench:ready", addr); err != nil {
				return fmt.Errorf("SET through %s: %w", addr, err)
			}
		}
		return nil
	})
	if err != nil {
		c.stop()
		return nil, err
	}
	return c, nil
}

// pids are the supervisor and the nodes below it.
func (c *tuttiCluster) pids() []int {
	all := append([]int{c.dev.pid()}, descendants(c.dev.pid())...)
	for _, p := range c.own {
		if !p.ended() {
			all = append(all, p.pid())
		}
	}
	return all
}

func (c *tuttiCluster) stop() {
	for _, p := range c.own {
		p.stop()
	}
	children := descendants(c.dev.pid())
	c.dev.stop()
	// A supervisor that had to be killed leaves its nodes behind. A pid may
	// belong to someone else by now: only our binary is killed.
	for _, pid := range children {
		if c.isOurs(pid) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

func (c *tuttiCluster) isOurs(pid int) bool {
	exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	return err == nil && exe == c.binary
}

func (c *tuttiCluster) fill(ctx context.Context, w workload, keys int) error {
	leader, err := c.leader(ctx)
	if err != nil {
		return err
	}
	return fillRESP(ctx, c.addrs[leader], w, keys, false)
}

func (c *tuttiCluster) load(ctx context.Context, j job, w window) (*tally, error) {
	addrs := c.addrs
	if !j.random {
		leader, err := c.leader(ctx)
		if err != nil {
			return nil, err
		}
		addrs = addrs[leader : leader+1]
	}
	return runRESP(ctx, addrs, j, false, w)
}

// status asks the nodes one after the other; the first that answers wins.
func (c *tuttiCluster) status(ctx context.Context) (tuttiStatus, error) {
	var s tuttiStatus
	var errs []error
	for _, addr := range c.addrs {
		ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
		out, err := exec.CommandContext(ctx, c.binary, "status", "--json", "--addr", addr).Output()
		cancel()
		// What it says is JSON also where its exit status says that the cluster is not
		// all right, as a moment after the start.
		if len(out) > 0 {
			if err = json.Unmarshal(out, &s); err == nil {
				return s, nil
			}
			err = fmt.Errorf("%w in %.80q", err, out)
		} else if exit, ok := errors.AsType[*exec.ExitError](err); ok && len(exit.Stderr) > 0 {
			err = fmt.Errorf("%w: %s", err, lastLines(string(exit.Stderr), 3))
		}
		errs = append(errs, fmt.Errorf("tutti status --json --addr %s: %w", addr, err))
	}
	return s, errors.Join(errs...)
}

// leader returns the node (0 for the first) that leads the first shard, once
// all nodes are up.
func (c *tuttiCluster) leader(ctx context.Context) (int, error) {
	s, err := c.status(ctx)
	if err != nil {
		return 0, err
	}
	if len(s.Shards) == 0 || s.Shards[0].Leader == 0 {
		return 0, errors.New("no leader yet")
	}
	for _, n := range s.Nodes {
		if !n.Up {
			return 0, fmt.Errorf("node %d is down", n.ID)
		}
		if n.ID == s.Shards[0].Leader {
			i := slices.Index(c.addrs, n.Client)
			if i < 0 {
				return 0, fmt.Errorf("status gives leader node %d the address %s, not one of %v", n.ID, n.Client, c.addrs)
			}
			return i, nil
		}
	}
	return 0, fmt.Errorf("status names leader %d, which is not among its nodes", s.Shards[0].Leader)
}

// pidOf asks status for the process of a node.
func (c *tuttiCluster) pidOf(ctx context.Context, node int) (int, error) {
	s, err := c.status(ctx)
	if err != nil {
		return 0, err
	}
	for _, n := range s.Nodes {
		if n.Client == c.addrs[node] {
			return n.PID, nil
		}
	}
	return 0, fmt.Errorf("status names no node at %s", c.addrs[node])
}

// strike sends a signal to one node.
func (c *tuttiCluster) strike(ctx context.Context, node int, sig syscall.Signal) (time.Time, error) {
	// Status knows no process of a node that does not answer, so that of a
	// stopped one is remembered.
	pid, known := c.stopped[node]
	if !known {
		var err error
		if pid, err = c.pidOf(ctx, node); err != nil {
			return time.Time{}, err
		}
	}
	delete(c.stopped, node)
	if sig == syscall.SIGSTOP {
		c.stopped[node] = pid
	}
	if !c.isOurs(pid) {
		return time.Time{}, fmt.Errorf("status gives node %d the pid %d, which is not a process of %s", node+1, pid, c.binary)
	}
	at := time.Now()
	if err := syscall.Kill(pid, sig); err != nil || sig != syscall.SIGKILL {
		return at, err
	}
	for c.isOurs(pid) { // the link to the executable goes with the process
		if err := sleep(ctx, time.Millisecond); err != nil {
			return at, err
		}
	}
	return at, nil
}

// restartPatience is how long `tutti dev` has for restarting a node itself.
const restartPatience = 3 * time.Second

// restart brings a killed node back: waits whether dev does it, else starts
// the node from its folder.
func (c *tuttiCluster) restart(ctx context.Context, node int) error {
	if c.own[node] == nil {
		deadline := time.Now().Add(restartPatience)
		for time.Now().Before(deadline) {
			if _, err := respCall(c.addrs[node], "PING"); err == nil {
				return nil
			}
			if err := sleep(ctx, 50*time.Millisecond); err != nil {
				return err
			}
		}
	}
	id := nodeName(node)
	p, err := spawn(filepath.Dir(c.dir), id, c.binary, "start", "--dir", filepath.Join(c.dir, id))
	if err != nil {
		return err
	}
	c.own[node] = p
	return waitReady(ctx, "tutti start --dir "+id, []*process{p}, func() error {
		_, err := respCall(c.addrs[node], "PING")
		return err
	})
}
