package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// outputWait is how long a killed command's output is waited for: a process that has
// left its group may hold it open.
const outputWait = time.Second

// execution is one attempt to run a command.
type execution struct {
	number  int // from 1
	claim   claimedTask
	argv    []string
	timeout time.Duration
	folder  string // of its output, which may be long
}

// ending is how an execution ended.
type ending struct {
	execution
	began  time.Time
	took   time.Duration
	exit   int
	signal syscall.Signal
	why    string // it failed; empty: it did not
}

// ended is when it ended.
func (e ending) ended() time.Time { return e.began.Add(e.took) }

// output is the name of the file with what the command has written to stdout or stderr.
func (e execution) output(stream string) string {
	return filepath.Join(e.folder, strconv.Itoa(e.number)+"."+stream)
}

// run runs the command until it ends, or kills it with all of its group at the
// deadline or the end of ctx.
func (e execution) run(ctx context.Context) ending {
	out := ending{execution: e, began: time.Now()}
	if e.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, e.timeout)
		defer cancel()
	}
	err := e.start(ctx)
	out.took = time.Since(out.began)
	exit, exited := errors.AsType[*exec.ExitError](err)
	switch {
	case err == nil:
		return out
	case exited:
		out.exit = exit.ExitCode()
		out.why = exit.Error()
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			out.exit, out.signal = 0, status.Signal()
		}
	default:
		out.exit, out.why = 127, err.Error()
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		out.why = fmt.Sprintf("killed after %v: %s", e.timeout, out.why)
	}
	return out
}

func (e execution) start(ctx context.Context) error {
	stdout, err := os.Create(e.output("out"))
	if err != nil {
		return err
	}
	defer stdout.Close()
	stderr, err := os.Create(e.output("err"))
	if err != nil {
		return err
	}
	defer stderr.Close()
	cmd := exec.CommandContext(ctx, e.argv[0], e.argv[1:]...)
	cmd.Stdout, cmd.Stderr = stdout, stderr
	cmd.SysProcAttr = childAttr()
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = outputWait
	return cmd.Run()
}

// copyOutput prints what the command has written, and removes it.
func (e execution) copyOutput(stdout, stderr io.Writer) error {
	return errors.Join(moveInto(stdout, e.output("out")), moveInto(stderr, e.output("err")))
}

func moveInto(to io.Writer, name string) error {
	f, err := os.Open(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil // it could not even be made
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := io.Copy(to, f); err != nil {
		return err
	}
	return os.Remove(name)
}
