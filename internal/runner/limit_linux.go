package runner

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// errSetuid says that a command may be one that takes on the rights of another user,
// which it could not if it was traced.
var errSetuid = errors.New("programs may change the user here")

// startLimited starts a command that has its limits before its first instruction: as one
// that is traced it stops when it has become its program, is given them, and goes on by
// itself. After an error nothing of it has run.
func startLimited(cmd *exec.Cmd) error {
	if bound, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0); os.Geteuid() != 0 && (err != nil || bound == 0) {
		return errSetuid
	}
	runtime.LockOSThread() // who traces is a thread
	defer runtime.UnlockOSThread()
	cmd.SysProcAttr.Ptrace = true
	if err := cmd.Start(); err != nil {
		return err
	}
	pid := cmd.Process.Pid
	err := awaitStop(pid)
	if err == nil {
		err = limit(pid)
	}
	if err == nil {
		err = syscall.PtraceDetach(pid)
	}
	if err != nil && !errors.Is(err, syscall.ESRCH) { // else it was killed meanwhile
		_ = syscall.Kill(-pid, syscall.SIGKILL)
		_ = cmd.Wait()
		return fmt.Errorf("limit process %d: %w", pid, err)
	}
	return nil
}

// awaitStop waits until a process that is traced stops, or ends; somebody else is told
// of that, too.
func awaitStop(pid int) error {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WSTOPPED|unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

// limit sets what a process may have. A limit that is lower already stays.
func limit(pid int) error {
	for _, l := range []struct {
		resource int
		max      uint64
	}{{unix.RLIMIT_CORE, 0}, {unix.RLIMIT_NOFILE, FilesMax}, {unix.RLIMIT_AS, AddressMax}} {
		var now unix.Rlimit
		if err := unix.Prlimit(pid, l.resource, nil, &now); err != nil {
			return err
		}
		if err := unix.Prlimit(pid, l.resource, &unix.Rlimit{Cur: min(now.Cur, l.max), Max: min(now.Max, l.max)}, nil); err != nil {
			return err
		}
	}
	return nil
}
