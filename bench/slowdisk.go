package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// slowDisks are disks of their own for the nodes of one cluster, which can be
// made slow: ext4 in a file on a loop device, whose write operations a control
// group limits for the process that was put into it. Fsyncs then wait as they
// do for a failing disk, without a change to the process. It takes root and the
// blkio controller of cgroup version 1.
type slowDisks struct {
	dir   string
	disks []*slowDisk
}

type slowDisk struct {
	mounted string
	device  string // major:minor
	group   string
}

const (
	blkio         = "/sys/fs/cgroup/blkio"
	throttle      = "blkio.throttle.write_iops_device"
	diskSizeBytes = 2 << 30 // sparse
)

// newSlowDisks fails with the reason if this machine can't have them.
func newSlowDisks(dir string) (*slowDisks, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("slow disks take root")
	}
	if _, err := os.Stat(filepath.Join(blkio, throttle)); err != nil {
		return nil, fmt.Errorf("slow disks take the blkio controller of cgroup version 1: %w", err)
	}
	if _, err := exec.LookPath("mkfs.ext4"); err != nil {
		return nil, err
	}
	return &slowDisks{dir: dir}, nil
}

// mount makes the disk of node i and returns a folder on it.
func (s *slowDisks) mount(i int) (string, error) {
	image := filepath.Join(s.dir, fmt.Sprintf("disk-%d.img", i+1))
	d := &slowDisk{mounted: filepath.Join(s.dir, fmt.Sprintf("disk-%d", i+1)),
		group: filepath.Join(blkio, fmt.Sprintf("tutti-bench-%d-%d", os.Getpid(), i+1))}
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		return "", err
	}
	if err := os.Truncate(image, diskSizeBytes); err != nil {
		return "", err
	}
	if err := os.Mkdir(d.mounted, 0o755); err != nil {
		return "", err
	}
	for _, args := range [][]string{{"mkfs.ext4", "-q", "-F", image}, {"mount", "-o", "loop", image, d.mounted}} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			return "", fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, lastLines(string(out), 3))
		}
	}
	s.disks = append(s.disks, d)
	var st syscall.Stat_t
	if err := syscall.Stat(d.mounted, &st); err != nil {
		return "", err
	}
	d.device = fmt.Sprintf("%d:%d", st.Dev>>8&0xfff, st.Dev&0xff)
	return filepath.Join(d.mounted, "data"), os.Mkdir(d.group, 0o755)
}

// slow lets process pid write to its disk i so many times a second; 0: freely.
func (s *slowDisks) slow(i, pid, writesPerSecond int) error {
	d := s.disks[i]
	if err := os.WriteFile(filepath.Join(d.group, throttle), []byte(fmt.Sprintf("%s %d", d.device, writesPerSecond)), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(d.group, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0o644)
}

// close gives everything back. The processes must have ended.
func (s *slowDisks) close() error {
	var errs []error
	for _, d := range s.disks {
		if out, err := exec.Command("umount", d.mounted).CombinedOutput(); err != nil {
			errs = append(errs, fmt.Errorf("umount %s: %w: %s", d.mounted, err, lastLines(string(out), 3)))
		}
		if err := os.Remove(d.group); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
