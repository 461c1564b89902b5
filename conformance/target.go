package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"tutti/internal/proof/respclient"
)

// opener starts a server in a fresh state whose data lies in dir.
type opener interface {
	open(ctx context.Context, dir string) (*server, error)
}

// server is a running target.
type server struct {
	addr string
	cmd  *exec.Cmd // nil if it is not ours to stop
	log  string
}

// redisTarget is Debian's redis-server with what its suite sets by default.
type redisTarget struct{ binary string }

func (t *redisTarget) open(ctx context.Context, dir string) (*server, error) {
	base, err := freePorts(1)
	if err != nil {
		return nil, err
	}
	return spawn(ctx, dir, loopback(base), 1, t.binary, "--port", strconv.Itoa(base), "--bind", "127.0.0.1",
		"--dir", dir, "--save", "", "--daemonize", "no")
}

// tuttiTarget is a cluster of three nodes; the suite speaks with the first.
type tuttiTarget struct{ binary string }

func (t *tuttiTarget) open(ctx context.Context, dir string) (*server, error) {
	base, err := freePorts(3)
	if err != nil {
		return nil, err
	}
	return spawn(ctx, dir, loopback(base), 3, t.binary, "dev", "--nodes", "3", "--debug-command",
		"--dir", filepath.Join(dir, "data"), "--listen", loopback(base))
}

// runningTarget is somebody else's server.
type runningTarget struct{ addr string }

func (t *runningTarget) open(_ context.Context, _ string) (*server, error) {
	if err := ping(t.addr); err != nil {
		return nil, fmt.Errorf("target %s: %w", t.addr, err)
	}
	return &server{addr: t.addr}, nil
}

func buildTutti(ctx context.Context, binary, dir string) (string, error) {
	if binary != "" {
		return filepath.Abs(binary)
	}
	binary = filepath.Join(dir, "tutti")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", binary, "./cmd/tutti").CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build ./cmd/tutti: %w\n%s", err, strings.TrimSpace(string(out)))
	}
	return binary, nil
}

// spawn starts a server and waits until the given number of consecutive ports
// takes writes.
func spawn(ctx context.Context, dir, addr string, ports int, binary string, args ...string) (*server, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	s := &server{addr: addr, log: filepath.Join(dir, "server.log")}
	log, err := os.Create(s.log)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	s.cmd = exec.Command(binary, args...)
	s.cmd.Dir, s.cmd.Stdout, s.cmd.Stderr = dir, log, log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for this tool, which then stops it
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	ended := make(chan struct{})
	go func() {
		_ = s.cmd.Wait() // seen through ended
		close(ended)
	}()
	host, first, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	base, err := strconv.Atoi(first)
	if err != nil {
		return nil, err
	}
	for i := range ports {
		node := net.JoinHostPort(host, strconv.Itoa(base+i))
		if err := s.await(ctx, node, ended); err != nil {
			s.close()
			return nil, fmt.Errorf("%s is not ready: %w; it said:\n%s", filepath.Base(binary), err, s.output())
		}
	}
	return s, nil
}

func (s *server) await(ctx context.Context, node string, ended <-chan struct{}) error {
	deadline := time.After(30 * time.Second)
	for {
		err := ping(node)
		if err == nil {
			return nil
		}
		select {
		case <-ended:
			return errors.New("it ended while starting")
		case <-deadline:
			return fmt.Errorf("no answer from %s for 30 s: %w", node, err)
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// close stops the server and, after 10 s, kills its process group: the group
// is ours alone.
func (s *server) close() {
	if s.cmd == nil {
		return
	}
	pid := s.cmd.Process.Pid
	_ = syscall.Kill(pid, syscall.SIGTERM)
	for range 100 {
		if syscall.Kill(-pid, 0) != nil {
			return // no process is left in the group
		}
		time.Sleep(100 * time.Millisecond)
	}
	_ = syscall.Kill(-pid, syscall.SIGKILL)
}

// alive says whether the target still answers.
func (s *server) alive() bool { return ping(s.addr) == nil }

func (s *server) output() string {
	data, err := os.ReadFile(s.log)
	if err != nil {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	return strings.Join(lines[max(0, len(lines)-8):], "\n")
}

// ping asks for a write, which a cluster without a leader refuses.
func ping(addr string) error {
	c, err := respclient.Dial(context.Background(), addr, time.Now().Add(5*time.Second))
	if err != nil {
		return err
	}
	defer c.Close()
	v, err := c.Do("DEL", "conformance:ready")
	if err != nil {
		return err
	}
	return respclient.Err(v)
}

// freePorts returns the first of n consecutive free ports on loopback.
func freePorts(n int) (int, error) {
	for range 100 {
		base, free := 20000+rand.IntN(900), true // below the suite's own ports, from 21079
		for i := 0; i < n && free; i++ {
			l, err := net.Listen("tcp", loopback(base+i))
			if free = err == nil; free {
				_ = l.Close()
			}
		}
		if free {
			return base, nil
		}
	}
	return 0, fmt.Errorf("found no %d consecutive free ports on loopback", n)
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
