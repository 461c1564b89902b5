package runner_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"tutti/internal/node"
	"tutti/internal/node/nodetest"
	"tutti/internal/resp"
	"tutti/internal/runner"
)

// lease is that of the runners in these tests: short, since a lost node is waited for.
const lease = time.Second

// started starts a cluster whose nodes run commands.
func started(t *testing.T, nodes, each int) *nodetest.Cluster {
	return nodetest.Start(t, nodetest.Options{Nodes: nodes, Configure: func(_ int, cfg *node.Config) {
		cfg.Runners, cfg.RunLease = &each, lease
	}})
}

// job is a run of a test.
type job struct {
	t   *testing.T
	c   *nodetest.Client
	run string
	ids []string
}

// begin adds commands of a shell and places for them.
func begin(t *testing.T, c *nodetest.Client, run string, places int, scripts ...string) *job {
	t.Helper()
	j := &job{t: t, c: c, run: run}
	for i, s := range scripts {
		v := c.Do("TASK.ADD", run, string(runner.Command{Number: i + 1, Argv: []string{"/bin/sh", "-c", s}}.Encode()), "RETRY", "0")
		if v.IsError() {
			t.Fatalf("%s", v.Str)
		}
		j.ids = append(j.ids, string(v.Str))
	}
	j.place(places)
	return j
}

func (j *job) place(n int) {
	for range n {
		j.c.Do("TASK.ADD", runner.Places, string(runner.Place{Run: j.run}.Encode()))
	}
}

// field waits until a command has ended, and returns a field of its task.
func (j *job) field(i int, name string) resp.Value {
	j.t.Helper()
	v := j.c.Do("TASK.GET", j.ids[i], "WAIT", "25000")
	for k := 0; k+1 < len(v.Elems); k += 2 {
		if string(v.Elems[k].Str) == name {
			return v.Elems[k+1]
		}
	}
	j.t.Fatalf("command %d has not ended: %s", i+1, v.FormatCLI())
	return resp.Value{}
}

// result waits until a command has ended, and returns what came of it.
func (j *job) result(i int) runner.Result {
	j.t.Helper()
	r, err := runner.DecodeResult(j.field(i, "result").Str)
	if err != nil {
		j.t.Errorf("result of command %d: %v", i+1, err)
	}
	return r
}

// Commands run on all nodes, each once, and their results say what came of them.
func TestNodesRunCommands(t *testing.T) {
	t.Parallel()
	c := started(t, 3, 2)
	names := filepath.Join(t.TempDir(), "ran")
	var scripts []string
	for i := range 60 {
		scripts = append(scripts, fmt.Sprintf("echo %d >>%s; echo out %d; exit %d", i, names, i, i%30/29))
	}
	j := begin(t, c.Dial(0), "run-x", 6, scripts...)
	nodes := map[string]int{}
	for i := range scripts {
		r := j.result(i)
		if state := string(j.field(i, "state").Str); state != map[bool]string{false: "done", true: "dead"}[i%30 == 29] {
			t.Errorf("command %d is %s", i, state)
		}
		if string(r.Stdout) != fmt.Sprintf("out %d\n", i) || r.Exit != i%30/29 || r.Number != i+1 {
			t.Errorf("command %d: %+v", i, r)
		}
		nodes[r.Node]++
	}
	text, err := os.ReadFile(names)
	if err != nil || strings.Count(string(text), "\n") != len(scripts) {
		t.Errorf("%d of %d commands ran: %v", strings.Count(string(text), "\n"), len(scripts), err)
	}
	if got := c.Dial(1).Text("TUTTI.RUNNERS"); strings.Count(got, "(integer) 2") != 4 { // node 2, and 2 each
		t.Error(got)
	}
}

// The places of a run go to all nodes.
func TestPlacesAreSpread(t *testing.T) {
	t.Parallel()
	c := started(t, 3, 1)
	dir := t.TempDir()
	all := filepath.Join(dir, "all")
	if err := syscall.Mkfifo(all, 0o600); err != nil {
		t.Fatal(err)
	}
	j := begin(t, c.Dial(0), "run-x", 3, "echo >"+all, "echo >"+all, "echo >"+all) // each waits for a reader
	until(t, func() bool { return number(j.c.Do("TASK.QUEUE", "run-x"), "running") == 3 })
	f, err := os.Open(all)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	nodes := map[string]bool{}
	for i := range 3 {
		nodes[j.result(i).Node] = true
	}
	if len(nodes) != 3 {
		t.Errorf("three places went to %v", nodes)
	}
}

// until waits for a condition of the cluster, for which nobody can wait otherwise.
func until(t *testing.T, f func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !f(); {
		if time.Now().After(end) {
			t.Fatal("it did not come to that")
		}
	}
}

func number(v resp.Value, name string) int64 {
	for k := 0; k+1 < len(v.Elems); k += 2 {
		if string(v.Elems[k].Str) == name {
			return v.Elems[k+1].Int
		}
	}
	return -1
}

// pipeTo is a named pipe, and a script that says on it that it has begun, and waits.
func pipeTo(t *testing.T) (script string, begun func()) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	return "echo >" + name + "; sleep 1000", func() {
		t.Helper()
		f, err := os.Open(name)
		if err == nil {
			_, err = io.ReadAll(f)
			f.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// What a lost node had is run by another, and its place is another's: also commands
// that nobody has begun.
func TestLostNodeIsReplaced(t *testing.T) {
	t.Parallel()
	c := started(t, 3, 1)
	first := filepath.Join(t.TempDir(), "first")
	script, begun := pipeTo(t)
	j := begin(t, c.Dial(0), "run-x", 1, "test -e "+first+" && exit 0; : >"+first+"; "+script, "echo second")
	begun()
	worker := string(j.c.Do("TASK.LIST", "run-x", "STATE", "running").Elems[1].Elems[0].Elems[4].Str)
	var lost int
	if _, err := fmt.Sscanf(worker, "node-%d/", &lost); err != nil {
		t.Fatal(worker, err)
	}
	if lost == 1 {
		j.c = c.Dial(1)
	}
	c.Stop(lost - 1)
	if r := j.result(0); r.Node == fmt.Sprint("node-", lost) || r.Failed() {
		t.Errorf("%+v", r)
	}
	if r := j.result(1); string(r.Stdout) != "second\n" {
		t.Errorf("%+v", r)
	}
	if n := j.field(0, "crashes").Int; n != 1 {
		t.Errorf("%d crashes", n)
	}
	until(t, func() bool { return number(j.c.Do("TASK.QUEUE", runner.Places), "total-done") >= 2 })
}

// own starts runners of a cluster that has none of its own.
func own(t *testing.T, c *nodetest.Cluster, name string, each int) *runner.Runner {
	t.Helper()
	r := runner.Start(runner.Config{Node: name, Start: 1, Max: each, Lease: lease, Logger: slog.New(slog.DiscardHandler), Dial: func() net.Conn {
		conn, err := net.Dial("tcp", c.Addr(0))
		if err != nil {
			conn, _ = net.Pipe()
			conn.Close()
		}
		return conn
	}})
	t.Cleanup(r.Close)
	return r
}

// A node that stops gives back what it does not finish: another one goes on at once,
// and no attempt is lost.
func TestDrainGivesBack(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, nodetest.Options{})
	a := own(t, c, "a", 1)
	first := filepath.Join(t.TempDir(), "first")
	script, begun := pipeTo(t)
	j := begin(t, c.Dial(0), "run-x", 1, "test -e "+first+" && exit 0; : >"+first+"; "+script, "echo second")
	begun()
	over, cancel := context.WithCancel(t.Context())
	cancel()
	a.Drain(over)
	if n := a.Max(); n != 0 {
		t.Errorf("it still takes %d", n)
	}
	if q := j.c.Do("TASK.QUEUE", "run-x"); number(q, "ready") != 2 {
		t.Errorf("not given back: %s", q.FormatCLI())
	}
	own(t, c, "b", 1)
	if r := j.result(0); r.Node != "b" || r.Failed() {
		t.Errorf("%+v", r)
	}
	if r := j.result(1); r.Node != "b" {
		t.Errorf("%+v", r)
	}
	if failures, crashes := j.field(0, "failures").Int, j.field(0, "crashes").Int; failures != 0 || crashes != 0 {
		t.Errorf("%d failures, %d crashes", failures, crashes)
	}
}

// A command that was cancelled is killed, and a runner that is paused takes none.
func TestCancelAndPause(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, nodetest.Options{})
	r := own(t, c, "a", 2)
	name := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	j := begin(t, c.Dial(0), "run-x", 1, "exec 5>"+name+"; echo >&5; exec sleep 1000")
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if got := j.c.Text("TASK.CANCEL", j.ids[0]); got != "(integer) 1" {
		t.Error(got)
	}
	if _, err := io.ReadAll(f); err != nil { // it ends when the command does
		t.Error(err)
	}
	r.SetPaused(true)
	k := begin(t, j.c, "run-y", 1, "echo y")
	if v := j.c.Do("TASK.GET", k.ids[0], "WAIT", "300"); !v.Null {
		t.Errorf("a runner that is paused ran it: %s", v.FormatCLI())
	}
	r.SetPaused(false)
	if got := k.result(0); string(got.Stdout) != "y\n" {
		t.Errorf("%+v", got)
	}
}

// What is no command, and what a later version wrote, is not run, and said.
func TestWhatIsNoCommandIsNotRun(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, nodetest.Options{})
	own(t, c, "a", 1)
	j := &job{t: t, c: c.Dial(0), run: "run-x"}
	for _, payload := range []string{"rm -rf /", `{"version":3,"argv":["x"]}`, `{"version":1,"argv":[]}`} {
		j.ids = append(j.ids, string(j.c.Do("TASK.ADD", "run-x", payload, "RETRY", "0").Str))
	}
	bad := string(j.c.Do("TASK.ADD", runner.Places, `{"version":1,"run":"mail"}`).Str)
	j.place(1)
	for i := range j.ids {
		if got := j.field(i, "errors").FormatCLI(); !strings.Contains(got, "no command that can be run") {
			t.Errorf("%d: %s", i, got)
		}
	}
	if got := j.c.Text("TASK.GET", bad, "WAIT", "20000"); !strings.Contains(got, "dead") {
		t.Error(got)
	}
}
