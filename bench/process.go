package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is one server process this tool started.
type process struct {
	cmd  *exec.Cmd
	log  string // its output
	done chan struct{}
}

// spawn starts a server with its output in dir/name.log. The process gets a
// group of its own, so that Ctrl-C reaches only this tool, which then stops
// the servers in order.
func spawn(dir, name, binary string, args ...string) (*process, error) {
	return spawnAs(nil, dir, name, binary, args...)
}

// spawnAs is spawn for somebody else.
func spawnAs(as *syscall.Credential, dir, name, binary string, args ...string) (*process, error) {
	path := filepath.Join(dir, name+".log")
	log, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(binary, args...)
	cmd.Dir = dir
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: as}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, log: path, done: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // the exit is seen through done; its reason is in the log
		close(p.done)
	}()
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// kill is kill -9.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // "already finished" is what we want
	<-p.done
}

// stop asks the process to end and kills it when it does not within 10 s.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(10 * time.Second):
		p.kill()
	}
}

// output returns the last lines the process printed.
func (p *process) output() string {
	data, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return lastLines(string(data), 8)
}

// waitReady calls probe until it succeeds, a process ends, or 30 s passed.
func waitReady(ctx context.Context, what string, procs []*process, probe func() error) error {
	deadline := time.Now().Add(30 * time.Second)
	for {
		err := probe()
		if err == nil {
			return nil
		}
		for _, p := range procs {
			if p.ended() {
				return fmt.Errorf("%s: a server ended while starting; it said:\n%s", what, p.output())
			}
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s: not ready after 30 s: %w", what, err)
		}
		if err := sleep(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
}

// freePorts returns the first of n consecutive ports that nobody listens on,
// below the range from which the kernel takes ports for outgoing connections.
func freePorts(n int) (int, error) {
	for range 100 {
		base := 20000 + rand.IntN(11000)
		free := true
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

// descendants returns the processes below pid, through all generations.
func descendants(pid int) []int {
	children := map[int][]int{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		fields, err := statFields(path)
		if err != nil {
			continue // ended meanwhile
		}
		child, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		parent, _ := strconv.Atoi(fields[1])
		children[parent] = append(children[parent], child)
	}
	var all []int
	for queue := children[pid]; len(queue) > 0; queue = queue[1:] {
		all = append(all, queue[0])
		queue = append(queue, children[queue[0]]...)
	}
	return all
}

// statFields returns the fields of /proc/PID/stat after the command's name,
// which may itself contain spaces: state is 0, ppid 1, utime 11, stime 12,
// and those of its children that have ended 13 and 14.
func statFields(path string) ([]string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	end := bytes.LastIndexByte(data, ')')
	fields := strings.Fields(string(data[end+1:]))
	if len(fields) < 15 {
		return nil, fmt.Errorf("%s: %d fields", path, len(fields))
	}
	return fields, nil
}

// clockTick is USER_HZ, which Linux fixes at 100 for all that /proc shows.
const clockTick = 10 * time.Millisecond

// cpuTime returns what the processes have used so far, user and system.
func cpuTime(pids []int) (time.Duration, error) {
	return sumStat(pids, 11, 13)
}

// familyCPU returns what a process and all below it have used, those that have ended
// included: of them their parents know, which are therefore asked last.
func familyCPU(pid int) (time.Duration, error) {
	var all time.Duration
	for _, child := range slices.Backward(descendants(pid)) {
		if used, err := sumStat([]int{child}, 11, 15); err == nil { // else it has ended meanwhile
			all += used
		}
	}
	used, err := sumStat([]int{pid}, 11, 15)
	return all + used, err
}

// sumStat adds fields of /proc/PID/stat that are in ticks.
func sumStat(pids []int, from, to int) (time.Duration, error) {
	var ticks int64
	for _, pid := range pids {
		fields, err := statFields(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return 0, fmt.Errorf("CPU time of server process %d: %w", pid, err)
		}
		for _, f := range fields[from:to] {
			n, err := strconv.ParseInt(f, 10, 64)
			if err != nil {
				return 0, err
			}
			ticks += n
		}
	}
	return time.Duration(ticks) * clockTick, nil
}

// ownCPU returns what this process, the load generator, has used.
func ownCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
