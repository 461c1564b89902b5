package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"time"
)

// cpuShares hold processes to shares of a core, each in a control group of its
// own: the kernel stops the threads of a group that has used up its quota until the
// next period begins, and lets them run before all others until then, whatever else the
// machine does. Nodes on one machine then have what machines of their own
// would have, and more nodes are more processor. This process, the clients, comes as
// early and has no quota. It takes root and the cpu controller of cgroup version 1.
type cpuShares struct {
	groups []string
	own    string // this process's group; empty: it has none of its own
	pinned int    // processes
}

const (
	cpuGroups  = "/sys/fs/cgroup/cpu"
	cpuPeriod  = "cpu.cfs_period_us"
	cpuQuota   = "cpu.cfs_quota_us"
	cpuWeight  = "cpu.shares"
	groupProcs = "cgroup.procs"
	setGroups  = "/sys/fs/cgroup/cpuset"
	setCores   = "cpuset.cpus"
	setMemory  = "cpuset.mems"
	// sharePeriod is short, so that who has to wait for the next one does not wait
	// long: latencies would tell of nothing else.
	sharePeriod = 10 * time.Millisecond
	// shareMin and shareMost are what a group can be held to, of a core: the kernel
	// takes no quota below 1 ms.
	shareMin, shareMost = 0.1, 1
	// shareWeight is how much a group weighs, while it has quota left, beside one
	// that has nothing said of it, which weighs 1,024.
	shareWeight = 100 * 1024
)

// shareMethod says in the result how processes are held.
const shareMethod = "cpu.cfs_quota_us of cgroup version 1, periods of 10 ms, each on one of the cores, before all other processes"

// newCPUShares fails with the reason if this machine can't have them.
func newCPUShares() (*cpuShares, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("shares of a core take root")
	}
	if _, err := os.Stat(filepath.Join(cpuGroups, cpuQuota)); err != nil {
		// The root group has no quota; its children do.
		if _, err := os.Stat(filepath.Join(cpuGroups, "cpu.shares")); err != nil {
			return nil, fmt.Errorf("shares of a core take the cpu controller of cgroup version 1: %w", err)
		}
	}
	s := &cpuShares{}
	if err := s.ahead(); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// group makes a control group.
func (s *cpuShares) group(name string) (string, error) {
	group := filepath.Join(cpuGroups, fmt.Sprintf("tutti-bench-%d-%s", os.Getpid(), name))
	if err := os.Mkdir(group, 0o755); err != nil {
		return "", err
	}
	s.groups = append(s.groups, group)
	return group, write(group, cpuWeight, shareWeight)
}

// ahead has this process come before others.
func (s *cpuShares) ahead() (err error) {
	if s.own, err = s.group("clients"); err != nil {
		return err
	}
	return write(s.own, groupProcs, int64(os.Getpid()))
}

// hold gives process pid, with all its threads, so much of a core, always of the same
// one: what a group has left of its quota for one core is lost when its threads wake up
// on another.
func (s *cpuShares) hold(pid int, cores float64) error {
	group, err := s.group(strconv.Itoa(pid))
	if err != nil {
		return err
	}
	if err := s.pin(pid); err != nil {
		return fmt.Errorf("keep process %d on a core: %w", pid, err)
	}
	period := sharePeriod.Microseconds()
	if err := errors.Join(write(group, cpuPeriod, period), write(group, cpuQuota, int64(float64(period)*cores)), write(group, groupProcs, int64(pid))); err != nil {
		return fmt.Errorf("hold process %d to %.2f cores: %w", pid, cores, err)
	}
	return nil
}

// pin keeps a process on one core, each on the next.
func (s *cpuShares) pin(pid int) error {
	group := filepath.Join(setGroups, fmt.Sprintf("tutti-bench-%d-%d", os.Getpid(), pid))
	if err := os.Mkdir(group, 0o755); err != nil {
		return err
	}
	s.groups = append(s.groups, group)
	memory, err := os.ReadFile(filepath.Join(setGroups, setMemory))
	if err != nil {
		return err
	}
	s.pinned++
	return errors.Join(write(group, setCores, int64(s.pinned%runtime.NumCPU())), os.WriteFile(filepath.Join(group, setMemory), memory, 0o644), write(group, groupProcs, int64(pid)))
}

func write(group, file string, value int64) error {
	return os.WriteFile(filepath.Join(group, file), []byte(strconv.FormatInt(value, 10)), 0o644)
}

// close removes the groups. The processes that are held must have ended.
func (s *cpuShares) close() error {
	var errs []error
	if s.own != "" {
		errs = append(errs, write(cpuGroups, groupProcs, int64(os.Getpid())))
	}
	for _, g := range s.groups {
		if err := os.Remove(g); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	s.groups, s.own = nil, ""
	return errors.Join(errs...)
}
