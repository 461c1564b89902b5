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
// arguments here, nothing looks into them.
var limits = fmt.Sprintf(`ulimit -c 0; ulimit -n %d 2>/dev/null; ulimit -v %d 2>/dev/null; exec "$@"`, FilesMax, AddressMax>>10)

// process is a command to be run.
type process struct {
	Command
	run, task string // whose it is
	node      string
	desk      *desk
}

// start runs the command until it ends, in the folder of the desk, which it leaves as
// it is then. It kills it, with all of its group, at the deadline or the end of ctx.
func (p process) start(ctx context.Context) Result {
	began := time.Now()
	r := Result{Number: p.Number, Node: p.node, BeganMS: began.UnixMilli()}
	p.carryOut(ctx, &r)
	r.TookMS = time.Since(began).Milliseconds()
	return r
}

func (p process) carryOut(ctx context.Context, r *Result) {
	program := p.Argv[0]
	if !strings.Contains(program, "/") {
		var err error
		if program, err = exec.LookPath(program); err != nil {
			r.Exit, r.Why = exitNotFound, fmt.Sprintf("%.200s can't be found on node %s", p.Argv[0], p.node)
			return
		}
	}
	folder, err := p.desk.take()
	if err != nil {
		r.Exit, r.Why = exitNotRun, err.Error()
		return
	}
	stdout, stderr := &output{max: StdoutMax}, &output{max: StderrMax}
	timed, cancel := ctx, context.CancelFunc(func() {})
	if p.TimeoutMS > 0 {
		timed, cancel = context.WithTimeout(ctx, time.Duration(p.TimeoutMS)*time.Millisecond)
	}
	defer cancel()
	err = p.execute(timed, program, folder, stdout, stderr)
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

func (p process) execute(ctx context.Context, program, folder string, stdout, stderr *output) error {
	build := func(program string, argv ...string) *exec.Cmd {
		cmd := exec.CommandContext(ctx, program)
		cmd.Args = argv
		cmd.Dir, cmd.Env = folder, p.environment(folder)
		cmd.Stdout, cmd.Stderr = stdout, stderr
		cmd.SysProcAttr = groupAttr()
		cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
		cmd.WaitDelay = outputWait
		return cmd
	}
	cmd := build(program, p.Argv...)
	if err := startLimited(cmd); err != nil {
		// A shell costs half as much again as a short command. It starts what isn't
		// started so, a script without a first line for instance, or says what is wrong.
		cmd = build("/bin/sh", append([]string{"/bin/sh", "-c", limits, "sh"}, p.Argv...)...)
		if err := cmd.Start(); err != nil {
			return err
		}
	}
	err := cmd.Wait()
	// What it has left behind in its group ends with it.
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
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
