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
	if err != nil || strings.Count(string(text), "\n") != 4 || !regexp.MustCompile(`\n3\tnode-[123]\t[0-9.]+\t[0-9.]+\t0\t6\t5\t0\t/bin/sh -c`).Match(text) {
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
