package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// suite is a private copy of the Tcl suite (it writes into its own folder) and
// the redis-server of the same version.
type suite struct {
	dir         string
	redisServer string
	version     string
}

const redisVersion = "7.0.15"

// obtainSuite gets the suite from Debian's source package, once, and the
// programs it needs, and copies it into dir.
func obtainSuite(ctx context.Context, dir string) (*suite, error) {
	for command, pkg := range map[string]string{"tclsh": "tcl", "redis-server": "redis-server"} {
		if err := ensureCommand(ctx, command, pkg); err != nil {
			return nil, err
		}
	}
	server, err := exec.LookPath("redis-server")
	if err != nil {
		return nil, err
	}
	version, err := exec.CommandContext(ctx, server, "--version").Output()
	if err != nil {
		return nil, fmt.Errorf("%s --version: %w", server, err)
	}
	if !strings.Contains(string(version), "v="+redisVersion+" ") {
		return nil, fmt.Errorf("the baseline needs redis-server %s, this machine has: %s", redisVersion, strings.TrimSpace(string(version)))
	}
	cache, err := cacheDir()
	if err != nil {
		return nil, err
	}
	source := filepath.Join(cache, "redis-"+redisVersion)
	if _, err := os.Stat(filepath.Join(source, "runtest")); err != nil {
		if err := downloadSource(ctx, cache, source); err != nil {
			return nil, fmt.Errorf("source package of redis: %w", err)
		}
	}
	s := &suite{dir: filepath.Join(dir, "suite"), redisServer: server, version: redisVersion}
	for _, part := range []string{"runtest", "tests"} {
		if err := os.MkdirAll(s.dir, 0o755); err != nil {
			return nil, err
		}
		if out, err := exec.CommandContext(ctx, "cp", "-a", filepath.Join(source, part), s.dir).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("copy the suite: %w: %s", err, out)
		}
	}
	return s, nil
}

// downloadSource unpacks Debian's source package as target. apt works in a
// folder of its own with its own list of sources, so nothing of the machine's
// configuration changes and no root is needed; it checks Debian's signature.
func downloadSource(ctx context.Context, cache, target string) error {
	if _, err := exec.LookPath("apt-get"); err != nil {
		return fmt.Errorf("there is no apt-get here; unpack redis-%s.tar.gz as %s by hand", redisVersion, target)
	}
	fmt.Printf("getting Debian's source package of redis %s\n", redisVersion)
	work, err := os.MkdirTemp(cache, "apt-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	for _, sub := range []string{"lists/partial", "cache/archives/partial", "src"} {
		if err := os.MkdirAll(filepath.Join(work, sub), 0o755); err != nil {
			return err
		}
	}
	const source = "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/"
	list := filepath.Join(work, "sources.list")
	if err := os.WriteFile(list, []byte(source+"debian bookworm main\n"+source+"debian-security bookworm-security main\n"), 0o644); err != nil {
		return err
	}
	options := []string{
		"-q", "-o", "Dir::Etc::SourceList=" + list, "-o", "Dir::Etc::SourceParts=/dev/null",
		"-o", "Dir::State::Lists=" + filepath.Join(work, "lists"), "-o", "Dir::Cache=" + filepath.Join(work, "cache"),
		// The user _apt, to which apt drops, may not enter a private folder.
		"-o", "APT::Sandbox::User=root",
	}
	for _, args := range [][]string{{"update"}, {"source", "--download-only", "redis"}} {
		cmd := exec.CommandContext(ctx, "apt-get", append(options, args...)...)
		cmd.Dir = filepath.Join(work, "src")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("apt-get %s: %w\n%s", args[0], err, strings.TrimSpace(string(out)))
		}
	}
	tarball := filepath.Join(work, "src", "redis_"+redisVersion+".orig.tar.gz")
	unpacked := filepath.Join(work, "redis-"+redisVersion)
	if out, err := exec.CommandContext(ctx, "tar", "-xzf", tarball, "-C", work).CombinedOutput(); err != nil {
		return fmt.Errorf("unpack: %w: %s", err, out)
	}
	return os.Rename(unpacked, target) // complete or absent
}

// ensureCommand installs a Debian package if its command is missing, without
// starting a service: policy-rc.d answers "not allowed" meanwhile, unless the
// machine has a policy of its own.
func ensureCommand(ctx context.Context, command, pkg string) error {
	if _, err := exec.LookPath(command); err == nil {
		return nil
	}
	if _, err := exec.LookPath("apt-get"); err != nil || os.Geteuid() != 0 {
		return fmt.Errorf("%s is missing; as root: apt-get install %s", command, pkg)
	}
	const policy = "/usr/sbin/policy-rc.d"
	if file, err := os.OpenFile(policy, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755); err == nil {
		defer os.Remove(policy)
		_, err = file.WriteString("#!/bin/sh\nexit 101\n")
		if closeErr := file.Close(); err == nil {
			err = closeErr
		}
		if err != nil {
			return err
		}
	}
	fmt.Printf("installing Debian's %s\n", pkg)
	for _, args := range [][]string{{"update", "-q"}, {"install", "-y", "-q", "--no-install-recommends", pkg}} {
		cmd := exec.CommandContext(ctx, "apt-get", args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("apt-get %s: %w\n%s", args[0], err, strings.TrimSpace(string(out)))
		}
	}
	return nil
}
