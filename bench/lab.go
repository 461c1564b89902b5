package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/nats-io/nats-server/v2/server"
)

// lab is the place of one run: its folder, the binaries, the machine.
type lab struct {
	dir      string            // removed by close
	binary   map[string]string // server binary by system
	versions map[string]string // what that binary says of itself
	machine  machine
	started  int // clusters started so far; numbers their folders
}

// tmpfsMagic is what statfs calls a file system in memory.
const tmpfsMagic = 0x01021994

// newLab makes a fresh folder in dir. An fsync on tmpfs costs nothing, so a
// comparison of durable writes there would be a comparison of something else:
// refused.
func newLab(_ context.Context, dir string) (*lab, error) {
	candidates := []string{dir}
	if dir == "" {
		candidates = []string{os.TempDir(), "/var/tmp"}
	}
	for _, parent := range candidates {
		var fs syscall.Statfs_t
		if err := syscall.Statfs(parent, &fs); err != nil {
			return nil, fmt.Errorf("data folder %s: %w", parent, err)
		}
		if fs.Type == tmpfsMagic {
			continue
		}
		made, err := os.MkdirTemp(parent, "tutti-bench-")
		if err != nil {
			return nil, err
		}
		return &lab{dir: made, binary: map[string]string{}, versions: map[string]string{}}, nil
	}
	return nil, fmt.Errorf("%s: in memory (tmpfs), where fsync measures nothing; name a folder on a disk with --dir",
		strings.Join(candidates, ", "))
}

func (l *lab) close() { _ = os.RemoveAll(l.dir) }

// clusterDir returns a new empty folder for one cluster.
func (l *lab) clusterDir(name string) (string, error) {
	l.started++
	dir := filepath.Join(l.dir, fmt.Sprintf("%s-%d", name, l.started))
	return dir, os.Mkdir(dir, 0o755)
}

// debianPackage of the systems that are not ours.
var debianPackage = map[string]string{"redis": "redis-server", "valkey": "valkey-server", "etcd": "etcd-server", "etcd-tuned": "etcd-server", "asynq": "redis-server", "bullmq": "redis-server"}

// serverCommand is what those packages install.
var serverCommand = map[string]string{"redis": "redis-server", "valkey": "valkey-server", "etcd": "etcd", "etcd-tuned": "etcd", "asynq": "redis-server", "bullmq": "redis-server"}

// provide finds, installs or builds the server of one system.
func (l *lab) provide(ctx context.Context, name, tuttiBin string) error {
	switch name {
	case "tutti", "tutti-dev":
		return l.provideTutti(ctx, tuttiBin)
	case "nats":
		return l.provideNATS()
	case "river":
		return l.providePostgres(ctx)
	case "bullmq":
		return l.provideBullMQ(ctx)
	}
	return l.provideDebian(ctx, name)
}

// provideDebian finds or installs a server of Debian's.
func (l *lab) provideDebian(ctx context.Context, name string) error {
	path, err := exec.LookPath(serverCommand[name])
	if err != nil {
		if err := aptInstall(ctx, debianPackage[name]); err != nil {
			return err
		}
		if path, err = exec.LookPath(serverCommand[name]); err != nil {
			return err
		}
	}
	l.binary[name] = path
	out, err := exec.CommandContext(ctx, path, "--version").Output()
	if err != nil {
		return fmt.Errorf("%s --version: %w", path, err)
	}
	first, _, _ := strings.Cut(string(out), "\n")
	if v, ok := strings.CutPrefix(first, "Redis server v="); ok {
		first, _, _ = strings.Cut("redis "+v, " sha=")
	}
	l.versions[name] = strings.ToLower(first)
	return nil
}

// provideNATS takes this very program, which has the server in it.
func (l *lab) provideNATS() (err error) {
	l.binary["nats"], err = os.Executable()
	l.versions["nats"] = "nats-server " + server.VERSION
	return err
}

func (l *lab) provideTutti(ctx context.Context, binary string) error {
	if binary == "" {
		binary = filepath.Join(l.dir, "tutti")
		build := exec.CommandContext(ctx, "go", "build", "-o", binary, "./cmd/tutti")
		build.Dir = ".."
		// As it is delivered: with cgo, which Go takes wherever it finds a C
		// compiler, Pebble keeps its cache outside of Go's heap and its limit.
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("go build ../cmd/tutti: %w\n%s", err, strings.TrimSpace(string(out)))
		}
	}
	binary, err := filepath.Abs(binary)
	if err != nil {
		return err
	}
	l.binary["tutti"] = binary
	out, err := exec.CommandContext(ctx, binary, "version").Output()
	if err != nil {
		return fmt.Errorf("%s version: %w", binary, err)
	}
	first, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	sum, err := fingerprint(binary)
	if err != nil {
		return err
	}
	l.versions["tutti"] = first + " sha256:" + sum
	return nil
}

// aptInstall installs a Debian package without starting its service: while it
// runs, policy-rc.d answers "not allowed" (101), unless the machine has a
// policy of its own, which stays.
func aptInstall(ctx context.Context, pkg string) error {
	if _, err := exec.LookPath("apt-get"); err != nil {
		return fmt.Errorf("%s is not installed and there is no apt-get to install it", pkg)
	}
	if os.Geteuid() != 0 {
		return fmt.Errorf("%s is not installed; as root: apt-get install %s", pkg, pkg)
	}
	const policy = "/usr/sbin/policy-rc.d"
	file, err := os.OpenFile(policy, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	switch {
	case err == nil:
		defer os.Remove(policy)
		if _, err := file.WriteString("#!/bin/sh\nexit 101\n"); err != nil {
			return err
		}
		if err := file.Close(); err != nil {
			return err
		}
	case !errors.Is(err, os.ErrExist):
		return err
	}
	fmt.Printf("installing Debian's %s\n", pkg)
	install := func() ([]byte, error) {
		cmd := exec.CommandContext(ctx, "apt-get", "install", "-y", "-q", "--no-install-recommends", pkg)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		return cmd.CombinedOutput()
	}
	if _, err := install(); err == nil {
		return nil
	}
	// The package lists may be missing or old.
	if out, err := exec.CommandContext(ctx, "apt-get", "update", "-q").CombinedOutput(); err != nil {
		return fmt.Errorf("apt-get update: %w\n%s", err, lastLines(string(out), 5))
	}
	if out, err := install(); err != nil {
		return fmt.Errorf("apt-get install %s: %w\n%s", pkg, err, lastLines(string(out), 5))
	}
	return nil
}

func lastLines(s string, n int) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
