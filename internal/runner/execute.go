package runner

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// What a command may have.
const (
	FilesMax   = 1024    // open at once, per process
	AddressMax = 8 << 30 // bytes of address space, per process
	// outputWait is how long the output of a command that was killed is waited for: a
	// process that has left its group may hold it open.
	outputWait = time.Second
)

// exitNotFound and exitNotRun are those of a shell.
const (
	exitNotRun   = 126
	exitNotFound = 127
)

// limits sets what a command may have, and becomes the command: its words are
// arguments here, nothing looks into them. A limit that is lower already stays.
var limits = fmt.Sprintf(`ulimit -c 0; ulimit -n %d 2>/dev/null; ulimit -v %d 2>/dev/null; exec "$@"`, FilesMax, AddressMax>>10)

// process is a command to be run.
type process struct {
	Command
	run, task string // whose it is
	node      string
}

// start runs the command until it ends, in a folder of its own. It kills it, with
// all of its group, at the deadline or the end of ctx.
func (p process) start(ctx context.Context) Result {
	began := time.Now()
	r := Result{Number: p.Number, Node: p.node, BeganMS: began.UnixMilli()}
	p.carryOut(ctx, &r)
	r.TookMS = time.Since(began).Milliseconds()
	return r
}

func (p process) carryOut(ctx context.Context, r *Result) {
	if !strings.Contains(p.Argv[0], "/") {
		if _, err := exec.LookPath(p.Argv[0]); err != nil {
			r.Exit, r.Why = exitNotFound, fmt.Sprintf("%.200s can't be found on node %s", p.Argv[0], p.node)
			return
		}
	}
	folder, err := os.MkdirTemp("", "tutti-run-")
	if err != nil {
		r.Exit, r.Why = exitNotRun, err.Error()
		return
	}
	defer os.RemoveAll(folder)
	stdout, stderr := &output{max: StdoutMax}, &output{max: StderrMax}
	timed, cancel := ctx, context.CancelFunc(func() {})
	if p.TimeoutMS > 0 {
		timed, cancel = context.WithTimeout(ctx, time.Duration(p.TimeoutMS)*time.Millisecond)
	}
	defer cancel()
	err = p.execute(timed, folder, stdout, stderr)
	r.Stdout, r.CutOut, r.Stderr, r.CutErr = stdout.kept, stdout.cut, stderr.kept, stderr.cut
	exit, exited := errors.AsType[*exec.ExitError](err)
	switch {
	case err == nil, errors.Is(err, exec.ErrWaitDelay):
		return
	case exited:
		r.Exit = exit.ExitCode()
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			r.Exit, r.Signal = 0, int(status.Signal())
		}
	default:
		r.Exit, r.Why = exitNotRun, err.Error()
	}
	if timed.Err() != nil && ctx.Err() == nil {
		r.Why = fmt.Sprintf("killed after %v", time.Duration(p.TimeoutMS)*time.Millisecond)
	}
}

func (p process) execute(ctx context.Context, folder string, stdout, stderr *output) error {
	cmd := exec.CommandContext(ctx, "/bin/sh", append([]string{"-c", limits, "sh"}, p.Argv...)...)
	cmd.Dir, cmd.Env = folder, p.environment(folder)
	cmd.Stdout, cmd.Stderr = stdout, stderr
	cmd.SysProcAttr = groupAttr()
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = outputWait
	err := cmd.Run()
	if cmd.Process != nil {
		// What it has left behind in its group ends with it.
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	}
	return err
}

// environment is all that a command sees of the node's.
func (p process) environment(folder string) []string {
	path := os.Getenv("PATH")
	if path == "" {
		path = "/usr/local/bin:/usr/bin:/bin"
	}
	return []string{"PATH=" + path, "HOME=" + folder, "TMPDIR=" + folder, "PWD=" + filepath.Clean(folder), "LANG=C.UTF-8",
		"TUTTI_JOB=" + p.run, "TUTTI_TASK=" + p.task, "TUTTI_NODE=" + p.node, "PARALLEL_SEQ=" + strconv.Itoa(p.Number)}
}
