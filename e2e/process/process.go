// Package process starts, stops and installs the programs that the tools of e2e try.
package process

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Process is a program that has been started.
type Process struct {
	Log string // the file with its output

	cmd  *exec.Cmd
	done chan struct{}
}

// stopTimeout is how long a program may take to end by itself.
const stopTimeout = 15 * time.Second

// Spawn starts a program with its output in dir/name.log; nil env is this tool's own.
// It gets a process group of its own, so that Ctrl-C reaches only this tool, which
// then stops it.
func Spawn(dir, name string, env []string, program string, args ...string) (*Process, error) {
	p := &Process{Log: filepath.Join(dir, name+".log"), done: make(chan struct{})}
	log, err := os.OpenFile(p.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
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

// Kill ends it as a power cut would, and waits until it has ended.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // that it has ended already is as well
	<-p.done
}

// Signal sends it a signal; one that has ended gets none.
func (p *Process) Signal(sig os.Signal) { _ = p.cmd.Process.Signal(sig) }

// SignalGroup sends a signal to it and to all processes that it has started, unless they
// have left its group.
func (p *Process) SignalGroup(sig syscall.Signal) {
	if !p.Ended() {
		_ = syscall.Kill(-p.cmd.Process.Pid, sig)
	}
}

// Done is closed when it has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Ended reports whether it has ended.
func (p *Process) Ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// Stop asks it to end. It is killed if it does not, which is an error, as is an exit
// code other than 0.
func (p *Process) Stop() error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
		if code := p.cmd.ProcessState.ExitCode(); code != 0 {
			return fmt.Errorf("%s: exit code %d; its output: %s", p.cmd.Path, code, p.Log)
		}
		return nil
	case <-time.After(stopTimeout):
		_ = p.cmd.Process.Signal(syscall.SIGQUIT) // a Go program then says what it waits for
		select {
		case <-p.done:
		case <-time.After(stopTimeout / 5):
			p.Kill()
		}
		return fmt.Errorf("%s has not ended %v after SIGTERM; its output: %s", p.cmd.Path, stopTimeout, p.Log)
	}
}

// Output runs a command for what it prints.
func Output(dir, name string, args ...string) (string, error) {
	return OutputUntil(context.Background(), dir, name, args...)
}

// OutputUntil is Output of a command that is killed when ctx ends.
func OutputUntil(ctx context.Context, dir, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.WaitDelay = 5 * time.Second // of a child that holds what it prints to
	var stderr bytes.Buffer
	cmd.Dir, cmd.Stderr = dir, &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s%s", name, strings.Join(args, " "), err, out, stderr.Bytes())
	}
	return strings.TrimSpace(string(out)), nil
}

// Bring installs a program from a Debian package if it is not there.
func Bring(program, pkg string) error {
	if _, err := exec.LookPath(program); err == nil {
		return nil
	}
	return Apt(pkg)
}

// Apt installs Debian packages.
func Apt(packages ...string) error {
	args := append([]string{"install", "-y", "-q", "--no-install-recommends"}, packages...)
	if _, err := Output("", "apt-get", args...); err == nil {
		return nil
	}
	if _, err := Output("", "apt-get", "update", "-q"); err != nil {
		return err
	}
	_, err := Output("", "apt-get", args...)
	return err
}

// Build makes the tutti that is tried, into dir. It is called in the folder of a tool.
func Build(dir string) (string, error) {
	binary := filepath.Join(dir, "tutti")
	_, err := Output(filepath.Join("..", ".."), "go", "build", "-o", binary, "./cmd/tutti")
	return binary, err
}

// lookEvery is how often something is looked at that other processes do.
const lookEvery = 50 * time.Millisecond

// Eventually calls probe until it returns nil.
func Eventually(within time.Duration, what string, probe func() error) error {
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
