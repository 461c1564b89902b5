package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// process is one that this tool has started: a node of tutti.
type process struct {
	cmd  *exec.Cmd
	log  string // the file with its output
	done chan struct{}
}

// stopTimeout is how long a node may take to end by itself.
const stopTimeout = 15 * time.Second

// spawn starts a program with its output in dir/name.log. It gets a process group
// of its own, so that Ctrl-C reaches only this tool, which then stops it.
func spawn(dir, name string, env []string, program string, args ...string) (*process, error) {
	p := &process{log: filepath.Join(dir, name+".log"), done: make(chan struct{})}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p.cmd = exec.Command(program, args...)
	p.cmd.Dir, p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr = dir, env, log, log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = p.cmd.Wait() // seen through done; why is in the log
		close(p.done)
	}()
	return p, nil
}

// kill ends it as a power cut would, and waits until it has ended.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // that it has ended already is as well
	<-p.done
}

// stop asks it to end. It is killed if it does not, which is an error.
func (p *process) stop() error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
		if code := p.cmd.ProcessState.ExitCode(); code != 0 {
			return fmt.Errorf("%s: exit code %d; its output: %s", p.cmd.Path, code, p.log)
		}
		return nil
	case <-time.After(stopTimeout):
		p.kill()
		return fmt.Errorf("%s has not ended %v after SIGTERM; its output: %s", p.cmd.Path, stopTimeout, p.log)
	}
}

// freeAddrs returns addresses of this machine on which nobody listens: the kernel
// chooses the ports.
func freeAddrs(n int) (addrs []string, err error) {
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() // not before all are chosen
		addrs = append(addrs, l.Addr().String())
	}
	return addrs, nil
}

// lookEvery is how often something is looked at that other processes do.
const lookEvery = 50 * time.Millisecond

// eventually calls probe until it returns nil.
func eventually(within time.Duration, what string, probe func() error) error {
	end := time.Now().Add(within)
	for {
		err := probe()
		if err == nil {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("%s: not after %v: %w", what, within, err)
		}
		time.Sleep(lookEvery)
	}
}
