package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	account "os/user"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

// manager is the service manager of this machine, systemd, and what the Debian
// package has told it of tutti. A node that was made here becomes the service's: its
// folder belongs to the service's user from then on, and systemd runs it.
type manager struct {
	booted string // is there if systemd runs this machine, see sd_booted(3)
	dir    string // of the node that the unit runs
	owner  string // the user as whom it does
	root   bool   // this process may do everything
	// systemctl runs that program, and says what it has printed.
	systemctl func(args ...string) (string, error)
}

const unit = "tutti.service"

func systemd() manager {
	return manager{booted: "/run/systemd/system", dir: systemDir, owner: "tutti", root: os.Geteuid() == 0, systemctl: func(args ...string) (string, error) {
		out, err := exec.Command("systemctl", args...).CombinedOutput()
		return strings.TrimSpace(string(out)), err
	}}
}

// ownFlags are those of the service's own command line.
var ownFlags = []string{"log", "log-format", "http-listen", "debug-command"}

// check is an error unless a node that command makes in dir can be the service's.
// It changes nothing.
func (m manager) check(c *cobra.Command, dir string) error {
	command := c.CommandPath()
	for _, name := range ownFlags {
		if c.Flags().Changed(name) {
			return usageError(fmt.Sprintf("--%s is not kept by the node: with --service it belongs into TUTTI_OPTIONS of /etc/default/tutti", name), command)
		}
	}
	e := &exitError{code: exitFailed, safe: safeNothingChanged, do: "leave --service out: " + command + " then serves in the foreground, as a service of whatever runs this machine"}
	if _, err := os.Stat(m.booted); err != nil {
		e.what = "systemd does not run this machine: there is no " + m.booted
		return e
	}
	if !m.root {
		e.what, e.do = "only root may enable a service", "the same command with sudo"
		return e
	}
	if dir != m.dir {
		return usageError(fmt.Sprintf("--dir %s: %s runs the node in %s", dir, unit, m.dir), command)
	}
	if out, err := m.systemctl("cat", unit); err != nil {
		e.what = fmt.Sprintf("systemd has no %s: %s", unit, strings.ReplaceAll(out, "\n", " "))
		e.do = "sudo apt install ./tutti_*.deb   which brings it, or leave --service out to serve in the foreground"
		return e
	}
	if _, _, err := m.ids(); err != nil {
		e.what, e.do = err.Error(), "sudo apt install ./tutti_*.deb   which makes that user"
		return e
	}
	return nil
}

// ids are those of the user as whom the service runs.
func (m manager) ids() (uid, gid int, err error) {
	u, err := account.Lookup(m.owner)
	if err != nil {
		return 0, 0, fmt.Errorf("the user of %s is not there: %w", unit, err)
	}
	uid, err = strconv.Atoi(u.Uid)
	gid, gerr := strconv.Atoi(u.Gid)
	return uid, gid, errors.Join(err, gerr)
}

// serves reports whether the service runs.
func (m manager) serves() bool {
	_, err := m.systemctl("is-active", "--quiet", unit)
	return err == nil
}

// take hands the node over: systemd runs it now and from each boot on. It returns
// when the node serves. Done twice it is as if done once.
func (m manager) take() error {
	if !m.serves() { // else its files are the service's, and change
		if err := m.give(); err != nil {
			return &exitError{code: exitFailed, what: fmt.Sprintf("give the node to the user %s: %v", m.owner, err),
				safe: "the node is made, in " + m.dir, do: "the same command again goes on"}
		}
	}
	if out, err := m.systemctl("enable", "--now", unit); err != nil {
		return &exitError{code: exitFailed, what: fmt.Sprintf("systemctl enable --now %s: %v: %s", unit, err, out),
			safe: "the node is made, in " + m.dir + ", and belongs to the service",
			do:   "journalctl -u tutti   says why it does not serve; the same command again goes on"}
	}
	fmt.Printf("  service   %s is enabled and serves; its log: journalctl -u tutti\n", unit)
	return nil
}

// give makes all of the node's folder the service's. What is linked there from
// elsewhere is left alone.
func (m manager) give() error {
	uid, gid, err := m.ids()
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(m.dir)
	if err != nil {
		return err
	}
	defer root.Close()
	return fs.WalkDir(root.FS(), ".", func(name string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return root.Lchown(name, uid, gid)
	})
}
