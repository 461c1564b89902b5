package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"tutti/internal/node"
)

// stopTimeout is what a node gets to hand over and close; it then is killed.
const stopTimeout = 10 * time.Second

// localCluster is the nodes of one cluster as child processes of this one, for
// dev and demo.
type localCluster struct {
	dir     string
	dirs    []string
	members []node.Member
	door    target // how the nodes are spoken to, see target.at
	level   string
	http    []string   // where the nodes answer HTTP; nil: nowhere
	flags   [][]string // of each node's runs; nil: none
	logs    []string   // the files of their logs
	procs   []*process // Invariant: len(procs) == len(members); nil: never started
}

// process is one node's process.
type process struct {
	cmd      *exec.Cmd
	done     chan struct{} // closed when it has ended
	stopping atomic.Bool   // its end is wanted
	began    time.Time
	logName  string
	logFrom  int64 // where its part of the log begins
}

func newLocalCluster(dir, level string, members []node.Member) *localCluster {
	c := &localCluster{dir: dir, level: level, members: members, procs: make([]*process, len(members))}
	for _, m := range members {
		c.dirs = append(c.dirs, filepath.Join(dir, nodeFolder(uint64(m.ID))))
		c.logs = append(c.logs, filepath.Join(dir, nodeFolder(uint64(m.ID)), "log.txt"))
	}
	return c
}

func nodeFolder(id uint64) string { return fmt.Sprintf("node-%d", id) }

// isOver reports whether the process has ended.
func (p *process) isOver() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// ended says why the process has ended: by its own last word, if it had one.
func (p *process) ended() string {
	why := p.cmd.ProcessState.String()
	if log, err := os.ReadFile(p.logName); err == nil && int64(len(log)) > p.logFrom {
		for line := range strings.Lines(string(log[p.logFrom:])) {
			if word, ok := strings.CutPrefix(line, errorPrefix); ok {
				why = strings.TrimSpace(word)
			}
		}
	}
	return why + "; its log: " + p.logName
}

// kill is kill -9.
func (p *process) kill() {
	p.stopping.Store(true)
	_ = p.cmd.Process.Kill()
	<-p.done
}

// stop is SIGTERM, then waiting. It fails if the process did not end by itself
// in time, or ended with an error.
func (p *process) stop() error {
	p.stopping.Store(true)
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(stopTimeout):
		_ = p.cmd.Process.Kill()
		<-p.done
		return fmt.Errorf("it had not ended %v after SIGTERM; its log: %s", stopTimeout, p.logName)
	}
	if !p.cmd.ProcessState.Success() {
		return errors.New(p.ended())
	}
	return nil
}

// start starts node i. The child dies with this process, even if that is
// killed, unless attr says otherwise.
func (c *localCluster) start(i int, attr *syscall.SysProcAttr) error {
	return c.launch(i, attr, "start")
}

// launch runs node i by a subcommand that makes it, or that starts it.
func (c *localCluster) launch(i int, attr *syscall.SysProcAttr, args ...string) error {
	self, err := os.Executable()
	if err != nil {
		return failed(err, "")
	}
	if err := os.MkdirAll(c.dirs[i], 0o700); err != nil {
		return failed(err, "choose a folder that this user may write to")
	}
	logName := c.logs[i]
	log, err := os.OpenFile(logName, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return failed(err, "choose a folder that this user may write to")
	}
	defer log.Close()
	logFrom, err := log.Seek(0, io.SeekEnd)
	if err != nil {
		return failed(err, "")
	}
	cmd := exec.Command(self, append(args, "--dir", c.dirs[i], "--log", c.level)...)
	if c.flags != nil {
		cmd.Args = append(cmd.Args, c.flags[i]...)
	}
	if c.http != nil {
		cmd.Args = append(cmd.Args, "--http-listen", c.http[i])
	}
	cmd.Stdout, cmd.Stderr = log, log
	// Nothing of a local cluster is written outside of its folder.
	cmd.Env = append(os.Environ(), "XDG_CONFIG_HOME="+c.dir)
	cmd.SysProcAttr = attr
	// The nodes share this machine: each gets its part of the cores. Go's
	// scheduler otherwise wakes threads for cores that are taken.
	if os.Getenv("GOMAXPROCS") == "" {
		cmd.Env = append(cmd.Env, fmt.Sprintf("GOMAXPROCS=%d", max(1, runtime.NumCPU()/len(c.members))))
	}
	if err := cmd.Start(); err != nil {
		return failed(err, "")
	}
	p := &process{cmd: cmd, done: make(chan struct{}), began: time.Now(), logName: logName, logFrom: logFrom}
	c.procs[i] = p
	go func() {
		_ = cmd.Wait()
		close(p.done)
	}()
	return nil
}

// portsFree fails if an address is in use. The nodes would say so too, but only
// in their logs.
func (c *localCluster) portsFree() error {
	for _, m := range c.members {
		for _, addr := range []string{m.Client, m.Peer} {
			if err := free(addr); err != nil {
				return err
			}
		}
	}
	return nil
}

// free fails if addr can't be listened on.
func free(addr string) error {
	l, err := net.Listen("tcp", addr)
	if err == nil {
		return l.Close()
	}
	e := &exitError{code: exitFailed, what: fmt.Sprintf("cannot listen on %s: %v", addr, cause(err)), safe: safeNothingStarted,
		do: "choose another address with --listen"}
	if errors.Is(err, syscall.EADDRINUSE) {
		e.what, e.do = addr+" is in use by another process", "stop what uses the address, or choose another with --listen"
		if s, err := askStatus(addr, time.Second, ofItself); err == nil {
			e.what = fmt.Sprintf("%s is in use: node %d of the tutti cluster %q runs there", addr, s.Node, s.Cluster)
		}
	}
	return e
}

// await polls the status of node i until it is as wanted.
func (c *localCluster) await(ctx context.Context, i int, wanted func(node.Status) bool) (node.Status, error) {
	for {
		s, err := c.status(i)
		if err == nil && wanted(s) {
			return s, nil
		}
		select {
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return s, fmt.Errorf("node %d is not ready in time; its log: %s", c.members[i].ID, c.procs[i].logName)
			}
			return s, ctx.Err()
		case <-c.procs[i].done:
			return s, fmt.Errorf("node %d ended: %s", c.members[i].ID, c.procs[i].ended())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func led(s node.Status) bool {
	for _, sh := range s.Shards {
		if sh.Leader == 0 {
			return false
		}
	}
	return true
}

// at is how node i is spoken to.
func (c *localCluster) at(i int) target { return c.door.at(c.members[i].Client) }

// status asks node i for its view of the cluster.
func (c *localCluster) status(i int) (node.Status, error) {
	return c.at(i).status(statusTimeout, ofItself)
}

// ofItself asks a node for what it knows without asking others: no verdict.
const ofItself = "LOCAL"

// askStatus asks a node of this machine that speaks plain RESP.
func askStatus(addr string, limit time.Duration, how ...string) (node.Status, error) {
	return target{addr: addr}.status(limit, how...)
}

// status asks the node for its view of the cluster.
func (t target) status(limit time.Duration, how ...string) (s node.Status, err error) {
	return s, t.ask(limit, &s, append([]string{"TUTTI.STATUS"}, how...)...)
}

// ask asks the node for a JSON document.
func (t target) ask(limit time.Duration, answer any, args ...string) error {
	conn, err := t.dial(limit)
	if err != nil {
		return err
	}
	defer conn.Close()
	v, err := conn.do(limit, args...)
	if err != nil {
		return err
	}
	if v.IsError() {
		return refusedBy(string(v.Str))
	}
	if err := json.Unmarshal(v.Str, answer); err != nil {
		return fmt.Errorf("%w: %w", errNoTutti, err)
	}
	return nil
}

// refusedBy is the error of a node that was asked for what every node tells, and
// answered text.
func refusedBy(text string) error {
	if answerCode(text) == exitNoLogin {
		return fmt.Errorf("%w: %s", errLogin, text)
	}
	return fmt.Errorf("%w: %s", errNoTutti, text)
}

var errNoTutti = errors.New("it answers, but not as a tutti node does")

// died names a node that has ended although nobody wanted it to.
func (c *localCluster) died() error {
	for i, p := range c.procs {
		if p == nil || p.stopping.Load() {
			continue
		}
		if p.isOver() {
			return fmt.Errorf("node %d ended: %s", c.members[i].ID, p.ended())
		}
	}
	return nil
}

// stopAll stops all nodes that run, gently first.
func (c *localCluster) stopAll() error {
	ends := make(chan error, len(c.procs))
	n := 0
	for i, p := range c.procs {
		if p == nil || p.isOver() {
			continue
		}
		n++
		go func() {
			err := p.stop()
			if c.removed(i) {
				err = nil // it was ending by itself, and may have taken the signal for a second one
			}
			if err != nil {
				err = fmt.Errorf("node %d: %w", c.members[i].ID, err)
			}
			ends <- err
		}()
	}
	var errs []error
	for range n {
		errs = append(errs, <-ends)
	}
	return errors.Join(errs...)
}

// freePorts listens on n loopback ports that nobody else listens on, and nobody can until
// the listener is closed. They lie below those that the kernel gives to outgoing
// connections: such a one would otherwise now and then take the port of a node that is
// down for a moment.
func freePorts(n int) (held []net.Listener, err error) {
	const first, end = 10_000, 32_000
	for range 1000 {
		l, err := net.Listen("tcp", loopback(first+rand.IntN(end-first)))
		if err != nil {
			continue
		}
		if held = append(held, l); len(held) == n {
			return held, nil
		}
	}
	for _, l := range held {
		l.Close()
	}
	return nil, fmt.Errorf("found only %d free ports of %d between %d and %d on 127.0.0.1", len(held), n, first, end)
}
