package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestPlaceholders(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		words, arg, want string
		shell            bool
	}{
		{"echo", "a b", "echo|a b", false},
		{"cp|{}|{.}.bak", "d/x.tar.gz", "cp|d/x.tar.gz|d/x.tar.bak", false},
		{"{/}|{//}|{#}", "/d/x.c", "x.c|/d|7", false},
		{"{.}", "d.e/.profile", "d.e/", false},
		{"{.}", "d.e/x", "d.e/x", false},
		{"{x}|{|a{}b{}", "1", "{x}|{|a1b1", false},
		{"awk|{print}|{}", "f", "awk|{print}|f", false},
		{"{}", "{#}", "{#}", false}, // what an argument holds is no placeholder
		{"cat|<|{}", "it's; rm", `/bin/sh|-c|cat < 'it'\''s; rm'`, true},
		{"echo", "$(x)", `/bin/sh|-c|echo '$(x)'`, true},
		{"{/.}|{1}{2}.|{-1.}", "d/x.c", "x|d/x.c.|d/x", false},
		{"{0}|{1-}|{12345678901234567890}", "a", "{0}|{1-}|{12345678901234567890}|a", false},
	} {
		got := newTemplate(strings.Split(tt.words, "|"), tt.shell).argv([]string{tt.arg}, 7)
		if !slices.Equal(got, strings.Split(tt.want, "|")) {
			t.Errorf("%s of %q: %q", tt.words, tt.arg, got)
		}
	}
}

// What a task of a run holds is read by those who look at it: its form stays.
func TestTaskOfRunHoldsCommand(t *testing.T) {
	t.Parallel()
	jobs := batchOptions{}.jobsOf(newTemplate([]string{"echo"}, false), [][]string{{"a"}, {"<b>"}})
	if want := `{"version":1,"number":2,"argv":["echo","\u003cb\u003e"]}`; jobs[1].payload != want {
		t.Errorf("%+v", jobs)
	}
}

// runs runs commands through the program, on this machine.
func (c devCluster) runs(t *testing.T, stdin string, args ...string) result {
	t.Helper()
	return tutti(t, stdin, append([]string{"run", "--here", "--addr", c.addr(0)}, args...)...)
}

// Each command runs once, its output is whole and in order, and the exit code says
// how many failed.
func TestRun(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := startDev(t, filepath.Join(dir, "data"), 1)
	r := c.runs(t, "", "-j", "3", "-k", "--", "echo", "{#}", "{}", ":::", "x", "y z", "$HOME", "w")
	if r.wants(t, 0, "4 commands"); r.out != "1 x\n2 y z\n3 $HOME\n4 w\n" {
		t.Errorf("%+v", r)
	}
	log := filepath.Join(dir, "log")
	r = c.runs(t, "0\n3\n5\n", "--joblog", log, "--shell", "--", "echo to {} >&2; exit {}")
	if r.wants(t, 2, "to 0", "to 3", "2 of 3 commands failed: tutti job show here-"); r.out != "" {
		t.Errorf("%+v", r)
	}
	text, err := os.ReadFile(log)
	if err != nil || strings.Count(string(text), "\n") != 4 || !strings.Contains(string(text), "\t5\t0\techo to '5' >&2; exit '5'\n") {
		t.Errorf("%v: %s", err, text)
	}
	tries := filepath.Join(dir, "tries")
	c.runs(t, "", "--retry", "2", "--shell", "--", "echo >>{}; test $(wc -l <{}) = 3", ":::", tries).wants(t, 0)
	if text, _ := os.ReadFile(tries); len(text) != 3 {
		t.Errorf("%d tries, want 3", len(text))
	}
	c.runs(t, "", "--", filepath.Join(dir, "nosuch"), ":::", "1").wants(t, 1, "1 of 1 commands failed")
	c.runs(t, "", "--", "true").wants(t, 0, "0 commands")
	c.runs(t, "", "-j", "0", "--", "true").wants(t, runOwnErrorsFrom+exitUsage, "--jobs must be")
	c.runs(t, "", "-n", "0", "--", "true", ":::", "1").wants(t, runOwnErrorsFrom+exitUsage, "-n at least 1")
	c.runs(t, "", "--halt", "odd", "--", "true", ":::", "1").wants(t, runOwnErrorsFrom+exitUsage, "--halt takes never, or now or soon")
	c.runs(t, "", "--odd", "--", "true", ":::", "1").wants(t, runOwnErrorsFrom+exitUsage, "unknown flag: --odd")
	c.runs(t, "", "-j", "x", "--", "true", ":::", "1").wants(t, runOwnErrorsFrom+exitUsage, "invalid argument")
	c.runs(t, "").wants(t, runOwnErrorsFrom+exitUsage, "there is no command to run")
	c.runs(t, "", "--joblog", filepath.Join(dir, "no", "log"), "--", "true", ":::", "1").wants(t, runOwnErrorsFrom+exitFailed, "--joblog", "nothing was changed")
	c.runs(t, "", ":::", "a").wants(t, runOwnErrorsFrom+exitUsage, "no command")
	tutti(t, "", "run", "--addr", loopback(1), "--", "true", ":::", "1").wants(t, runOwnErrorsFrom+exitUnreachable, "nothing was sent")
	if r := tutti(t, "", "job", "ls", "--addr", c.addr(0)); strings.Count(r.out, "here-") != 4 {
		t.Errorf("%+v", r)
	}
	if r := tutti(t, "", "job", "show", "mail", "--addr", c.addr(0)); r.code != exitFailed || !strings.Contains(r.errors, "there is no job") {
		t.Errorf("%+v", r)
	}
}

// Short commands are claimed several at a time, long ones when they begin, and with
// --halt none before it is known how the last one ended.
func TestRunHereClaimsAhead(t *testing.T) {
	t.Parallel()
	ended := func(r *hereRunner, n int, took time.Duration) {
		for range n {
			r.running["id"] = func() {}
			r.end(ending{execution: execution{claim: claimedTask{id: "id"}}, took: took})
		}
	}
	r := &hereRunner{o: batchOptions{runners: 2}, jobs: make([]job, 1000), running: map[string]context.CancelFunc{}}
	if n := r.wants(0); n != 2 {
		t.Errorf("%d at the beginning", n)
	}
	if ended(r, 10, time.Millisecond); r.wants(0) != runClaimMax {
		t.Errorf("%d of short ones", r.wants(0))
	}
	if n := r.wants(len(r.jobs) - len(r.over) - 7); n != 7 {
		t.Errorf("%d of the last 7", n)
	}
	if r.waiting = make([]claimedTask, r.ahead/2+1); r.wants(0) != 0 {
		t.Errorf("%d beside as many", r.wants(0))
	}
	r.waiting = nil
	if ended(r, 1, time.Second); r.wants(0) != 2 {
		t.Errorf("%d after a long one", r.wants(0))
	}
	r.tally.halt.count = 1
	if ended(r, 10, time.Millisecond); r.wants(0) != 2 || !r.due() {
		t.Errorf("%d of those that may be the last", r.wants(0))
	}
}

// A run ends early if that is wanted: at once, or when what runs has ended.
func TestRunHalts(t *testing.T) {
	t.Parallel()
	c := startDev(t, filepath.Join(t.TempDir(), "data"), 1, "--allow-exec=2")
	for _, where := range []string{"--here", "--here=false"} {
		run := func(args ...string) result {
			return tutti(t, "", append([]string{"run", "--addr", c.addr(0), where, "--shell"}, args...)...)
		}
		r := run("-k", "-j", "2", "--tag", "--halt", "now,fail=1", "--", "test {} = 1 || exec sleep 1000; echo out; exit 7", ":::", "1", "2", "3")
		if r.wants(t, 7, "command 1 ended with 7: the others are killed"); r.out != "1\tout\n" {
			t.Errorf("%+v", r)
		}
		r = run("-k", "-j", "1", "--halt", "soon,success=1", "--", "echo {}; test {} = 2", ":::", "1", "2", "3")
		if r.wants(t, 0, "command 2 ended with 0: the others that run are waited for"); r.out != "1\n2\n" && r.out != "1\n2\n3\n" {
			t.Errorf("%+v", r)
		}
	}
}

// A command is killed with what it has started.
func TestRunKillsWholeGroup(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pid := filepath.Join(dir, "pid")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	e := execution{number: 1, argv: []string{"/bin/sh", "-c", "sleep 1000 & echo $! >" + pid + "; wait"}, folder: dir}
	ended := make(chan ending, 1)
	go func() { ended <- e.run(ctx) }()
	var child int
	eventually(t, func() error {
		text, err := os.ReadFile(pid)
		if err == nil {
			_, err = fmt.Sscan(string(text), &child)
		}
		return err
	})
	cancel()
	if out := <-ended; out.signal != syscall.SIGKILL || out.why == "" {
		t.Errorf("ended by %v: %s", out.signal, out.why)
	}
	eventually(t, func() error {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", child))
		if err == nil && !strings.Contains(string(stat), ") Z ") {
			return fmt.Errorf("it lives: %s", stat)
		}
		return nil
	})
	e.timeout = time.Millisecond
	if out := e.run(t.Context()); !strings.Contains(out.why, "killed after 1ms") {
		t.Errorf("at its deadline: %+v", out)
	}
}

// Ctrl-C waits for what runs; what somebody else has put into the queue of a run is
// not run; what is left can be cancelled.
func TestRunIsInterrupted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := startDev(t, filepath.Join(dir, "data"), 1)
	path := func(name string) string { return filepath.Join(dir, name) }
	wait := "touch " + path("began") + "{}; while ! test -e " + path("go") + "{}; do sleep 0.05; done"
	r := launch(t, t.TempDir(), "run", "--here", "--addr", c.addr(0), "-j", "1", "--shell", "--", wait, ":::", "1", "2", "3")
	job, _, _ := strings.Cut(strings.TrimPrefix(r.line(t, "job here-"), "job "), ":")
	exists := func(name string) func() error {
		return func() error { _, err := os.Stat(path(name)); return err }
	}
	let := func(name string) {
		if err := os.WriteFile(path(name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, exists("began1"))
	foreign := fmt.Sprintf(`{"version":1,"number":1,"argv":["touch",%q]}`, path("foreign"))
	c.cli(t, 0, "TASK.ADD", job, foreign, "PRIO", "9").wants(t, 0)
	let("go1")
	r.line(t, "is none of this run: not run")
	eventually(t, exists("began2"))
	r.signal(t, syscall.SIGINT)
	r.line(t, "waits for 1 commands")
	let("go2")
	if code := r.ends(t); code != exitInterrupted || !strings.Contains(r.text(), "1 of 3 commands have not ended") {
		t.Errorf("exit code %d: %s", code, r.text())
	}
	if exists("foreign")() == nil || exists("began3")() == nil {
		t.Error("what is not to run was run")
	}
	if show := tutti(t, "", "job", "show", job, "--addr", c.addr(0)); !strings.Contains(show.out, "4         1        0        2     1     0") {
		t.Errorf("%+v", show)
	}
	if cancelled := tutti(t, "", "job", "cancel", job, "--addr", c.addr(0)); !strings.Contains(cancelled.out, "1 commands of "+job+" were cancelled") {
		t.Errorf("%+v", cancelled)
	}
}
