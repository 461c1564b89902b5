package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// cpuShares hold processes to shares of a core, each in a control group of its
// own: the kernel stops the threads of a group that has used up its quota until the
// next period begins. Nodes on one machine then have what machines of their own
// would have, and more nodes are more processor. It takes root and the cpu
// controller of cgroup version 1.
type cpuShares struct {
	groups []string
}

const (
	cpuGroups = "/sys/fs/cgroup/cpu"
	cpuPeriod = "cpu.cfs_period_us"
	cpuQuota  = "cpu.cfs_quota_us"
	// sharePeriod is short, so that who has to wait for the next one does not wait
	// long: latencies would tell of nothing else.
	sharePeriod = 10 * time.Millisecond
	// shareMin is the least that the kernel takes, of a period.
	shareMin = 0.1
)

// shareMethod says in the result how processes are held.
const shareMethod = "cpu.cfs_quota_us of cgroup version 1, periods of 10 ms"

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
	return &cpuShares{}, nil
}

// hold gives process pid, with all its threads, so much of a core.
func (s *cpuShares) hold(pid int, cores float64) error {
	group := filepath.Join(cpuGroups, fmt.Sprintf("tutti-bench-%d-%d", os.Getpid(), pid))
	if err := os.Mkdir(group, 0o755); err != nil {
		return err
	}
	s.groups = append(s.groups, group)
	period := sharePeriod.Microseconds()
	for _, x := range []struct {
		file  string
		value int64
	}{{cpuPeriod, period}, {cpuQuota, int64(float64(period) * cores)}, {"cgroup.procs", int64(pid)}} {
		if err := os.WriteFile(filepath.Join(group, x.file), []byte(strconv.FormatInt(x.value, 10)), 0o644); err != nil {
			return fmt.Errorf("hold process %d to %.2f cores: %w", pid, cores, err)
		}
	}
	return nil
}

// close removes the groups. The processes must have ended.
func (s *cpuShares) close() error {
	var errs []error
	for _, g := range s.groups {
		if err := os.Remove(g); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	s.groups = nil
	return errors.Join(errs...)
}
