package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// onNodes runs commands through the program, on the nodes.
func (c devCluster) onNodes(t *testing.T, stdin string, args ...string) result {
	t.Helper()
	return tutti(t, stdin, append([]string{"run", "--addr", c.addr(0)}, args...)...)
}

// Commands run on the nodes, their output is whole and in order, and the exit code
// says how many failed. What can't be run is refused, or said.
func TestRunOnNodes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := startDev(t, filepath.Join(dir, "data"), 3, "--allow-exec=2")
	r := c.onNodes(t, "", "-k", "--", "echo", "{#}", "{}", ":::", "x", "y z", "$HOME", "w")
	if r.wants(t, 0, "4 commands"); r.out != "1 x\n2 y z\n3 $HOME\n4 w\n" {
		t.Errorf("%+v", r)
	}
	log := filepath.Join(dir, "log")
	r = c.onNodes(t, "0\n3\n5\n", "-k", "--joblog", log, "--shell", "--", "echo out {}; echo to {} >&2; exit {}")
	if r.wants(t, 2, "to 0\n", "to 3\n", "2 of 3 commands failed: tutti job show run-"); r.out != "out 0\nout 3\nout 5\n" {
		t.Errorf("%+v", r)
	}
	text, err := os.ReadFile(log)
	if err != nil || strings.Count(string(text), "\n") != 4 || !regexp.MustCompile(`\n3\tnode-[123]\t[0-9.]+\t[0-9.]+\t0\t6\t5\t0\techo out '5'; echo to '5' >&2; exit '5'\n`).Match(text) {
		t.Errorf("%v: %s", err, text)
	}
	job := regexp.MustCompile(`run-[A-Z0-9]+`).FindString(r.errors)
	if again := tutti(t, "", "job", "attach", "-k", job, "--addr", c.addr(1)); again.code != 2 || again.out != r.out {
		t.Errorf("looked at again: %+v", again)
	}
	if r := tutti(t, "", "job", "resume", job, "--addr", c.addr(1)); r.code != 0 || !strings.Contains(r.out, "2 commands of "+job+" are run again") {
		t.Errorf("%+v", r)
	}
	tutti(t, "", "job", "attach", job, "--addr", c.addr(2)).wants(t, 2)
	c.onNodes(t, "", "--", "no-such-command", ":::", "1").wants(t, 1, "command 1: no-such-command can't be found on node node-")
	c.onNodes(t, "", "--timeout", "50ms", "--", "sleep", ":::", "1000").wants(t, 1, "command 1: killed after 50ms")
	r = c.onNodes(t, "", "--", "head", "-c", "{}", "/dev/zero", ":::", "1000000")
	if r.wants(t, 0, "command 1: 82496 more bytes of its output were not kept"); len(r.out) != 896<<10 {
		t.Errorf("%d bytes", len(r.out))
	}
	c.onNodes(t, "", "--", "true").wants(t, 0, "0 commands")
	c.onNodes(t, "", "--joblog", filepath.Join(dir, "no", "log"), "--", "true", ":::", "1").wants(t, runOwnErrorsFrom+exitFailed, "--joblog", "nothing was changed")
	r = tutti(t, "", "job", "ls", "--addr", c.addr(0))
	if strings.Count(r.out, "run-") != 5 || strings.Contains(r.out, "places") {
		t.Errorf("%+v", r)
	}

	secret := filepath.Join(dir, "bob.secret")
	if err := os.WriteFile(secret, []byte("bob pw\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.cli(t, 0, "ACL", "SETUSER", "bob", "on", ">pw", "~*", "+@all", "-@exec").wants(t, 0)
	c.cli(t, 0, "ACL", "SETUSER", "default", "off").wants(t, 0)
	c.onNodes(t, "", "--secret", secret, "--", "true", ":::", "1").wants(t, runOwnErrorsFrom+exitNoLogin, "NOPERM", "+@exec", "nothing was added")
	if r := c.onNodes(t, "", "--here", "--secret", secret, "--", "echo", ":::", "1"); r.code != 0 || r.out != "1\n" {
		t.Errorf("%+v", r)
	}
	r = tutti(t, "", "job", "ls", "--secret", secret, "--addr", c.addr(0))
	here := regexp.MustCompile(`here-[A-Z0-9]+`).FindString(r.out)
	tutti(t, "", "job", "attach", here, "--secret", secret, "--addr", c.addr(0)).wants(t, runOwnErrorsFrom+exitFailed, "--here")
}

// A cluster in which no node was told to run commands says so, and adds nothing; a
// node keeps what it was told.
func TestRunNeedsNodesThatAllowIt(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := startDev(t, filepath.Join(dir, "data"), 1)
	c.onNodes(t, "", "--", "true", ":::", "1").wants(t, runOwnErrorsFrom+exitFailed, "no node of this cluster runs commands", "tutti start --allow-exec", "nothing was added")
	if r := c.cli(t, 0, "TASK.QUEUES"); strings.TrimSpace(r.out) != "" {
		t.Errorf("%+v", r)
	}
	c.stop(t)
	for _, step := range []struct {
		flags []string
		runs  bool
	}{{[]string{"--allow-exec"}, true}, {nil, true}, {[]string{"--allow-exec=0"}, false}, {nil, false}} {
		c := startDev(t, filepath.Join(dir, "data"), 1, step.flags...)
		r := c.onNodes(t, "", "--", "echo", ":::", "1")
		if !step.runs {
			r.wants(t, runOwnErrorsFrom+exitFailed, "no node of this cluster runs commands")
		} else if r.wants(t, 0); r.out != "1\n" {
			t.Errorf("%q: %+v", step.flags, r)
		}
		c.stop(t)
	}
	tutti(t, "", "start", "--dir", dir, "--allow-exec=many").wants(t, exitUsage, "choose 0 to 1000")
}

// A job goes on when whoever asked for it is gone, and when the node that ran it is
// killed; Ctrl-C only detaches.
func TestRunOutlivesClientAndNode(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := startDev(t, filepath.Join(dir, "data"), 3, "--allow-exec=1")
	path := func(name string) string { return filepath.Join(dir, name) }
	script := "echo $TUTTI_NODE >" + path("began{}") + "; while ! test -e " + path("go") + "; do sleep 0.05; done; echo {} done"
	r := launch(t, t.TempDir(), "run", "--addr", c.addr(0), "--shell", "--", script, ":::", "1", "2", "3", "4")
	job, _, _ := strings.Cut(strings.TrimPrefix(r.line(t, "job run-"), "job "), ":")
	var began string
	eventually(t, func() error {
		text, err := os.ReadFile(path("began1"))
		if began = strings.TrimSpace(string(text)); err == nil && began == "" {
			err = fmt.Errorf("not written yet")
		}
		return err
	})
	r.signal(t, syscall.SIGINT)
	if code := r.ends(t); code != exitInterrupted || !strings.Contains(r.text(), "detached: 4 commands have not ended") || !strings.Contains(r.text(), "tutti job attach "+job) {
		t.Errorf("exit code %d: %s", code, r.text())
	}
	lost, err := strconv.Atoi(strings.TrimPrefix(began, "node-"))
	if err != nil {
		t.Fatal(began, err)
	}
	pid := regexp.MustCompile(`pid (\d+)`).FindStringSubmatch(c.line(t, fmt.Sprintf("node %d ", lost)))
	n, _ := strconv.Atoi(pid[1])
	if err := syscall.Kill(n, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path("go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	a := tutti(t, "", "job", "attach", "-k", job, "--addr", c.addr(lost%3))
	if a.code != 0 || a.out != "1 done\n2 done\n3 done\n4 done\n" {
		t.Errorf("%+v", a)
	}
	if text, _ := os.ReadFile(path("began1")); strings.TrimSpace(string(text)) == "" {
		t.Error("nobody has run the first command again")
	}
	if show := tutti(t, "", "job", "show", job, "--addr", c.addr(lost%3)); !strings.Contains(show.out, "4         0        0        4     0     0") {
		t.Errorf("%+v", show)
	}
	tutti(t, "", "job", "cancel", job, "--addr", c.addr(lost%3)).wants(t, 0)
}

// Files go to where commands work and come back, and none is left in the store. What is
// too large, or not there, is refused before anything runs.
func TestFilesTravel(t *testing.T) {
	dir := t.TempDir()
	c := startDev(t, filepath.Join(dir, "data"), 3, "--allow-exec=1")
	work := filepath.Join(dir, "work")
	if err := os.MkdirAll(filepath.Join(work, "in"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Chdir(work)
	write := func(name string, size int, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(name, []byte(strings.Repeat("x", size)), mode); err != nil {
			t.Fatal(err)
		}
	}
	write("in/a", 1<<20, 0o600)
	write("in/b", 3, 0o600)
	write("tool", 0, 0o700)
	if err := os.WriteFile("tool", []byte("#!/bin/sh\nmkdir -p out && wc -c <$1 >out/$(basename $1).n && chmod 640 out/*\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	r := c.onNodes(t, "", "--in", "{}", "--in", "tool", "--out", "out/{/}.n", "--", "./tool", "{}", ":::", "in/a", "in/b")
	r.wants(t, 0)
	for name, want := range map[string]string{"out/a.n": "1048576\n", "out/b.n": "3\n"} {
		text, err := os.ReadFile(name)
		info, _ := os.Stat(name)
		if err != nil || string(text) != want || info.Mode() != 0o640 {
			t.Errorf("%s: %q, %v", name, text, err)
		}
	}
	if left := c.cli(t, 0, "DBSIZE"); !strings.Contains(left.out, "(integer) 0") && strings.TrimSpace(left.out) != "0" {
		t.Errorf("left in the store: %+v", left)
	}
	write("in/large", 8<<20+1, 0o600)
	queues := c.cli(t, 0, "TASK.QUEUES").out
	for _, tt := range []struct {
		flag, name, says string
	}{
		{"--in", "in/large", "in/large has 8388609 bytes; a file that travels has at most 8388608"},
		{"--in", "in/none", "no such file"},
		{"--in", "in", "in is no file"},
		{"--in", filepath.Join(work, "in/b"), "does not lie below the folder"},
		{"--out", "../x", "does not lie below the folder"},
	} {
		c.onNodes(t, "", tt.flag, tt.name, "--", "true", ":::", "1").wants(t, runOwnErrorsFrom+exitUsage, tt.says)
	}
	if now := c.cli(t, 0, "TASK.QUEUES").out; now != queues {
		t.Errorf("something was added: %s", now)
	}
	c.onNodes(t, "", "--out", "y", "--", "true", ":::", "1").wants(t, 1, "command 1: its file y: no such file or directory")
	c.onNodes(t, "", "--out", "y", "--", "sh", "-c", "head -c 8388609 /dev/zero >y", ":::", "1").wants(t, 1, "it has 8388609 bytes; a file that travels has at most 8388608")
	c.onNodes(t, "", "--out", "y", "--", "mkfifo", "y", ":::", "1").wants(t, 1, "it is no file")
	// What failed is run again with its files.
	r = c.onNodes(t, "", "--in", "in/b", "--in", "tool", "--out", "z", "--", "sh", "-c", "cat in/b >z; test -e "+filepath.Join(dir, "go"), ":::", "1")
	r.wants(t, 1)
	job := regexp.MustCompile(`run-[A-Z0-9]+`).FindString(r.errors)
	write(filepath.Join(dir, "go"), 0, 0o600)
	tutti(t, "", "job", "resume", job, "--addr", c.addr(1)).wants(t, 0)
	tutti(t, "", "job", "attach", job, "--addr", c.addr(1)).wants(t, 0)
	if text, err := os.ReadFile("z"); err != nil || string(text) != "xxx" {
		t.Errorf("%q, %v", text, err)
	}
	if _, err := os.Stat("y"); err == nil {
		t.Error("a command that failed has brought a file")
	}
	tutti(t, "", "job", "attach", job, "--addr", c.addr(1)).wants(t, 0, "its file z is not kept any more")
}
