package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// fakeManager is a systemd that runs and has the unit; said is what it was asked.
func fakeManager(t *testing.T) (m manager, said *[]string) {
	t.Helper()
	said = new([]string)
	m = manager{booted: t.TempDir(), dir: t.TempDir(), owner: "nobody", root: true, systemctl: func(args ...string) (string, error) {
		line := strings.Join(args, " ")
		*said = append(*said, line)
		if args[0] == "is-active" {
			return "", errors.New("inactive")
		}
		return "", nil
	}}
	return m, said
}

// Whoever asks for the service where there can be none is told so, before anything
// is made.
func TestServiceIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		flags  []string
		change func(m *manager)
		code   int
		says   []string
	}{
		"no systemd": {change: func(m *manager) { m.booted = filepath.Join(m.booted, "none") }, code: exitFailed,
			says: []string{"systemd does not run this machine", "nothing was changed", "leave --service out"}},
		"not root": {change: func(m *manager) { m.root = false }, code: exitFailed, says: []string{"only root", "sudo"}},
		"no unit": {change: func(m *manager) {
			m.systemctl = func(...string) (string, error) { return "No files found\nfor it", errors.New("exit status 1") }
		}, code: exitFailed, says: []string{"has no tutti.service: No files found for it", "apt install"}},
		"no user":       {change: func(m *manager) { m.owner = "nobody-of-tutti" }, code: exitFailed, says: []string{"user of tutti.service", "apt install"}},
		"its own flags": {flags: []string{"--http-listen", "127.0.0.1:9121"}, code: exitUsage, says: []string{"--http-listen", "TUTTI_OPTIONS"}},
		"its folder":    {flags: []string{"--dir", "/elsewhere"}, code: exitUsage, says: []string{"--dir /elsewhere"}},
	} {
		t.Run(name, func(t *testing.T) {
			m, said := fakeManager(t)
			if c.change != nil {
				c.change(&m)
			}
			cmd := initCommand()
			if err := cmd.ParseFlags(append([]string{"--service", "--dir", m.dir}, c.flags...)); err != nil {
				t.Fatal(err)
			}
			dir, _ := cmd.Flags().GetString("dir")
			err := m.check(cmd, dir)
			e, ok := errors.AsType[*exitError](err)
			if !ok || e.code != c.code {
				t.Fatalf("%v", err)
			}
			for _, part := range c.says {
				if !strings.Contains(e.text(), part) {
					t.Errorf("no %q in\n%s", part, e.text())
				}
			}
			if slices.ContainsFunc(*said, func(line string) bool { return line != "cat tutti.service" }) {
				t.Errorf("systemctl was asked: %q", *said)
			}
		})
	}
	t.Run("nothing is made", func(t *testing.T) {
		if fileExists(systemd().booted) {
			t.Skip("SKIPPED: systemd runs this machine")
		}
		dir := filepath.Join(t.TempDir(), "node")
		for _, args := range [][]string{{"init"}, {"join", "127.0.0.1", "--token", "tutti1.none"}} {
			tutti(t, "", append(args, "--service", "--dir", dir)...).wants(t, exitFailed, "systemd does not run this machine", "nothing was changed")
		}
		if fileExists(dir) {
			t.Errorf("there is %s", dir)
		}
	})
}

// The folder of a node becomes the service's, links out of it stay as they are, and
// systemd runs it; one that it runs already is left alone.
func TestServiceTakesTheNode(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: only root gives files away")
	}
	m, said := fakeManager(t)
	outside := filepath.Join(t.TempDir(), "outside")
	for _, err := range []error{
		os.MkdirAll(filepath.Join(m.dir, "state", "deep"), 0o700),
		os.WriteFile(filepath.Join(m.dir, "state", "deep", "table"), nil, 0o600),
		os.WriteFile(outside, nil, 0o600),
		os.Symlink(outside, filepath.Join(m.dir, "link")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := m.take(); err != nil {
		t.Fatal(err)
	}
	uid, gid, err := m.ids()
	if err != nil {
		t.Fatal(err)
	}
	owner := func(name string) string {
		info, err := os.Lstat(name)
		if err != nil {
			t.Fatal(err)
		}
		s := info.Sys().(*syscall.Stat_t)
		return fmt.Sprint(s.Uid, s.Gid)
	}
	files := 0
	err = filepath.WalkDir(m.dir, func(name string, _ fs.DirEntry, err error) error {
		if files++; err == nil && owner(name) != fmt.Sprint(uid, gid) {
			t.Errorf("%s is of %s", name, owner(name))
		}
		return err
	})
	if err != nil || files != 5 {
		t.Errorf("%d files, %v", files, err)
	}
	if got := owner(outside); got != "0 0" {
		t.Errorf("what a link leads to is of %s", got)
	}
	if want := []string{"is-active --quiet tutti.service", "enable --now tutti.service"}; !slices.Equal(*said, want) {
		t.Errorf("systemctl was asked %q, want %q", *said, want)
	}
	// Again, while it runs: its files are its own.
	if err := os.Chown(filepath.Join(m.dir, "state"), 1, 1); err != nil {
		t.Fatal(err)
	}
	m.systemctl = func(...string) (string, error) { return "", nil }
	if err := m.take(); err != nil || owner(filepath.Join(m.dir, "state")) != "1 1" {
		t.Errorf("a service that runs: %v, its folder is of %s", err, owner(filepath.Join(m.dir, "state")))
	}
	m.systemctl = func(args ...string) (string, error) {
		if args[0] == "enable" {
			return "Job failed", errors.New("exit status 1")
		}
		return "", nil
	}
	if e, ok := errors.AsType[*exitError](m.take()); !ok || !strings.Contains(e.text(), "Job failed") || !strings.Contains(e.text(), "journalctl -u tutti") {
		t.Errorf("a start that fails: %v", e)
	}
}
