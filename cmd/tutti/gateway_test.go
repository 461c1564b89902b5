package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// diskOf is what a folder takes of the disk, with what its files have reserved.
func diskOf(t *testing.T, dir string) (bytes int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil {
			bytes += info.Sys().(*syscall.Stat_t).Blocks * 512
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return bytes
}

// A gateway, which keeps nothing but who it is, takes next to no disk: before and after
// each node, and the gateway itself, was killed under what it does for clients. What an
// earlier version has reserved for it is given back.
func TestGatewayTakesLittleDisk(t *testing.T) {
	const most = 20 << 20
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	c, token := initialized(t)
	c.join(t, token)
	c.join(t, token)
	made := c.command(t, 0, "token", "create", "--role", "gateway").out
	args := strings.Fields(made[strings.Index(made, "tutti join")+len("tutti "):])
	const gate = 3
	c.procs = append(c.procs, launch(t, t.TempDir(), append(args, "--dir", c.folder(gate), "--listen", c.addr(gate), "--log", "warn")...))
	c.procs[gate].line(t, "joined red as node 4")
	eventually(t, func() error {
		if r := c.command(t, gate, "status"); !strings.Contains(r.out, "Healthy. Survives the loss of any 1 of 3 nodes") {
			return fmt.Errorf("%s%s", r.out, r.errors)
		}
		return nil
	})
	if got := diskOf(t, c.folder(gate)); got > most {
		t.Errorf("a new gateway takes %d bytes of disk", got)
	}
	old := filepath.Join(c.folder(gate), "ballast")
	for i := range c.procs {
		c.procs[i].signal(t, syscall.SIGKILL)
		c.procs[i].ends(t)
		if i == gate {
			if err := os.WriteFile(old, make([]byte, 1<<20), 0o600); err != nil {
				t.Fatal(err)
			}
		} else {
			c.ask(t, gate, "SET", "k", fmt.Sprint("while ", i, " is gone"))
		}
		c.procs[i] = launch(t, t.TempDir(), "start", "--dir", c.folder(i), "--log", "warn")
		want := fmt.Sprint("after ", i)
		c.ask(t, i, "SET", "k", want)
		if got := c.ask(t, gate, "GET", "k"); got != want {
			t.Errorf("the gateway reads %q, want %q", got, want)
		}
	}
	if fileExists(old) {
		t.Error("the gateway has the ballast of an earlier version")
	}
	if got := diskOf(t, c.folder(gate)); got > most {
		t.Errorf("the gateway takes %d bytes of disk", got)
	}
}
