package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"tutti/internal/node"
)

// devCluster is a run of tutti dev.
type devCluster struct {
	*running
	dir  string
	base int
}

func startDev(t *testing.T, dir string, nodes int, flags ...string) devCluster {
	t.Helper()
	c := devCluster{dir: dir, base: freeBase(t, nodes)}
	c.running = launch(t, t.TempDir(), append([]string{"dev", "--dir", dir, "--nodes", fmt.Sprint(nodes), "--listen", loopback(c.base)}, flags...)...)
	c.line(t, "ready:")
	return c
}

func (c devCluster) addr(i int) string { return loopback(c.base + i) }

func (c devCluster) cli(t *testing.T, node int, args ...string) result {
	t.Helper()
	return tutti(t, "", append([]string{"cli", "--addr", c.addr(node)}, args...)...)
}

func (c devCluster) wants(t *testing.T, node int, want string, args ...string) {
	t.Helper()
	k := newClients([]target{{addr: c.addr(node)}}, 20*time.Second)
	defer k.close()
	v, _, err := k.call(0, args)
	if err != nil || !strings.HasPrefix(v[0].String(), want) {
		t.Errorf("%v through node %d: %v %v, want %s", args, node+1, v, err, want)
	}
}

func (c devCluster) status(t *testing.T) node.Status {
	t.Helper()
	s, r := c.ask(t)
	if r.code != exitUnavailable { // there is no leader right after one was killed
		r.wants(t, 0)
	}
	return s
}

// ask is status at a time when there may be no leader.
func (c devCluster) ask(t *testing.T) (node.Status, result) {
	t.Helper()
	r := tutti(t, "", "status", "--json", "--addr", c.addr(0))
	var s node.Status
	if err := json.Unmarshal([]byte(r.out), &s); err != nil {
		t.Fatalf("%v: %s%s", err, r.out, r.errors)
	}
	return s, r
}

// pids are the processes of the nodes. One that does not answer in time, on a busy
// machine, has none in the status: what is sent to process 0 goes to all of the
// test's own group, and SIGSTOP then holds whoever runs the test for ever.
func (c devCluster) pids(t *testing.T) (list []int) {
	t.Helper()
	eventually(t, func() error {
		s, r := c.ask(t)
		list = nil
		for _, m := range s.Nodes {
			if m.PID == 0 {
				return fmt.Errorf("node %d tells no process: %s%s", m.ID, r.out, r.errors)
			}
			list = append(list, m.PID)
		}
		return nil
	})
	return list
}

// send sends a signal to the process of a node.
func send(t *testing.T, pid int, s syscall.Signal) {
	t.Helper()
	if pid <= 0 {
		t.Fatalf("%v to process %d", s, pid)
	}
	if err := syscall.Kill(pid, s); err != nil {
		t.Fatal(err)
	}
}

// stop is what Ctrl-C does.
func (c devCluster) stop(t *testing.T) {
	t.Helper()
	c.signal(t, syscall.SIGINT)
	if code := c.ends(t); code != 0 {
		t.Errorf("exit code %d:\n%s", code, c.text())
	}
	nothingRunsIn(t, c.dir)
}

func TestDevKeepsItsDataAndItsNodes(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	c := startDev(t, dir, 3)
	if r := c.cli(t, 0, "SET", "greeting", "hello"); r.out != "OK\n" || r.code != 0 {
		t.Fatalf("got %+v", r)
	}
	if r := c.cli(t, 2, "GET", "greeting"); r.out != "hello\n" {
		t.Errorf("through another node: %+v", r)
	}
	t.Run("others are refused", func(t *testing.T) { othersRefused(t, c) })
	t.Run("commands", func(t *testing.T) { commands(t, c) })

	// A node that is killed is started again.
	before := c.pids(t)
	send(t, before[1], syscall.SIGKILL)
	c.line(t, "node 2 ended: signal: killed; its log: ")
	eventually(t, func() error {
		s, r := c.ask(t)
		if m := s.Nodes[1]; r.code != 0 || !m.Up || m.PID == 0 || m.PID == before[1] {
			return fmt.Errorf("node 2 is %+v: %s", m, s.Verdict)
		}
		return nil
	})
	if r := c.cli(t, 1, "GET", "greeting"); r.out != "hello\n" {
		t.Errorf("through the node that came back: %+v", r)
	}
	c.stop(t)

	// On other ports, with its data.
	c = startDev(t, dir, 3)
	if r := c.cli(t, 1, "GET", "greeting"); r.out != "hello\n" {
		t.Errorf("after a restart: %+v", r)
	}
	c.stop(t)
	t.Run("lost data", func(t *testing.T) { lostData(t, c) })
}

// othersRefused starts what must not run beside a running cluster.
func othersRefused(t *testing.T, c devCluster) {
	other := loopback(freeBase(t, 3))
	tutti(t, "", "dev", "--dir", c.dir, "--listen", other).wants(t, exitFailed, "another process uses "+c.dir, "no data was changed")
	tutti(t, "", "start", "--dir", filepath.Join(c.dir, "node-1")).wants(t, exitFailed, "another process uses "+c.dir)
	empty := t.TempDir()
	tutti(t, "", "dev", "--dir", empty, "--listen", c.addr(1)).wants(t, exitFailed, c.addr(1)+" is in use: node 2 of the tutti cluster \"dev\" runs there")
	if _, err := os.Stat(filepath.Join(empty, "node-1")); err == nil {
		t.Error("it made nodes although it could not start them")
	}
}

func commands(t *testing.T, c devCluster) {
	if r := c.cli(t, 0, "--raw=false", "GET", "greeting"); r.out != "\"hello\"\n" {
		t.Errorf("got %+v", r)
	}
	if r := c.cli(t, 0, "--json", "MGET", "greeting", "none"); r.out != "[\"hello\",null]\n" {
		t.Errorf("got %+v", r)
	}
	c.cli(t, 0, "INCR", "greeting").wants(t, exitFailed, "(error) ERR value is not an integer")
	r := tutti(t, "SELECT 3\nSET a \"b c\"\n\nSET a\nGET 'a\nGET a\n", "cli", "--addr", c.addr(0))
	r.wants(t, exitFailed, "wrong number of arguments", "line 5: "+errArguments.Error())
	if r.out != "OK\nOK\nb c\n" {
		t.Errorf("from a pipe: %q", r.out)
	}
	r = tuttiAt(t, c.addr(0), "")
	r.wants(t, 0)
	if !strings.HasPrefix(r.out, "dev  Healthy. Survives the loss of any 1 of 3 nodes.\n  node 1  ") || strings.Count(r.out, "\n") != 4 {
		t.Errorf("tutti alone shows\n%s", r.out)
	}
}

// lostData takes parts of a stopped cluster away: without a majority of the
// folders nothing is started.
func lostData(t *testing.T, c devCluster) {
	listen := loopback(freeBase(t, 3))
	tutti(t, "", "dev", "--dir", c.dir, "--listen", listen, "--nodes", "5").wants(t, exitFailed, "holds a cluster of 3 nodes", "tutti dev --nodes 3")
	away := t.TempDir()
	lost := []string{"node-1", "node-3"}
	for _, name := range lost {
		move(t, filepath.Join(c.dir, name), filepath.Join(away, name))
	}
	tutti(t, "", "dev", "--dir", c.dir, "--listen", listen).wants(t, exitFailed, "of the data of 3 nodes only that of 1 is there: "+filepath.Join(c.dir, "node-1"), "must not start empty")
	nothingRunsIn(t, c.dir)
	for _, name := range lost {
		move(t, filepath.Join(away, name), filepath.Join(c.dir, name))
	}
	// Nodes that were being made have promised nothing.
	if err := os.WriteFile(filepath.Join(c.dir, formingFile), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	again := startDev(t, c.dir, 3)
	if r := again.cli(t, 0, "--raw=false", "GET", "greeting"); r.out != "(nil)\n" {
		t.Errorf("got %+v", r)
	}
	again.stop(t)
}

// One bad node is no reason for the others to stop: they serve, it is reported
// and tried again, and comes back when its folder is good again. A flipped bit in
// a small file is not even worth a word.
func TestDevGoesOnWithoutABadNode(t *testing.T) {
	t.Parallel()
	dir, away := filepath.Join(t.TempDir(), "data"), t.TempDir()
	c := startDev(t, dir, 3)
	c.wants(t, 0, "OK", "SET", "greeting", "hello")
	c.stop(t)
	in := func(node, name string) string { return filepath.Join(dir, node, name) }
	flipFile(t, in("node-2", "counters"), in("node-2", "starts.2"), in("node-2", "node.json"))
	certs, err := filepath.Glob(in("node-3", "node.pem*")) // in all its copies
	if err != nil || len(certs) == 0 {
		t.Fatal(certs, err)
	}
	flipFile(t, certs...)
	c = startDev(t, dir, 3)
	if line := c.line(t, "node 3 ended: "); !strings.Contains(line, "node.pem") || !strings.Contains(line, "; trying again in ") {
		t.Errorf("it says %q", line)
	}
	c.wants(t, 0, "OK", "SET", "greeting", "hi")
	c.wants(t, 1, "\"hi\"", "GET", "greeting")
	if text := c.text(); strings.Contains(text, "node 1 ended") || strings.Contains(text, "node 2 ended") {
		t.Errorf("a healthy node has ended:\n%s", text)
	}
	flipFile(t, certs...) // back
	healthy := func() error {
		s, r := c.ask(t)
		if r.code != 0 || !strings.HasPrefix(s.Verdict, "Healthy") {
			return errors.New(s.Verdict)
		}
		return nil
	}
	eventually(t, healthy)

	// A whole folder goes while all run, and comes back.
	s, err := askStatus(c.addr(2), time.Second)
	if err != nil {
		t.Fatal(err)
	}
	move(t, filepath.Join(dir, "node-3"), filepath.Join(away, "node-3"))
	send(t, s.Nodes[2].PID, syscall.SIGKILL)
	c.line(t, "the data of node 3 is gone: there is none in "+filepath.Join(dir, "node-3"))
	c.wants(t, 1, "OK", "SET", "greeting", "bye")
	move(t, filepath.Join(away, "node-3"), filepath.Join(dir, "node-3"))
	eventually(t, healthy)
	c.wants(t, 2, "\"bye\"", "GET", "greeting")
	c.stop(t)
}

// flipFile flips a bit in the middle of each file.
func flipFile(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		b[len(b)/2] ^= 1
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// The pauses grow to a quarter of a minute, and begin anew after a run of ten seconds.
func TestBackoff(t *testing.T) {
	var b backoff
	var got []time.Duration
	for _, ran := range []time.Duration{0, 0, time.Second, 0, 9 * time.Second, 0, 10 * time.Second, 0} {
		got = append(got, b.next(ran, 0))
	}
	want := []time.Duration{1, 2, 4, 8, 15, 15, 1, 2}
	for i := range want {
		if got[i] != want[i]*time.Second {
			t.Fatalf("pauses %v, want %v seconds", got, want)
		}
	}
	b = backoff{}
	if d := b.next(0, 0.999); d < 800*time.Millisecond || d > time.Second {
		t.Errorf("by chance %v", d)
	}
}

func move(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

func TestDevRefusesFolders(t *testing.T) {
	t.Parallel()
	listen := loopback(freeBase(t, 3))
	foreign := t.TempDir()
	write(t, filepath.Join(foreign, "thesis.txt"), 1)
	tutti(t, "", "dev", "--dir", foreign, "--listen", listen).wants(t, exitFailed, "thesis.txt, which is not tutti's", "choose an empty folder")
	tutti(t, "", "dev", "--dir", filepath.Join(foreign, "thesis.txt", "x"), "--listen", listen).wants(t, exitFailed, "not a directory")
	if os.Getuid() != 0 {
		closed := t.TempDir()
		if err := os.Chmod(closed, 0o555); err != nil {
			t.Fatal(err)
		}
		tutti(t, "", "dev", "--dir", closed, "--listen", listen).wants(t, exitFailed, "permission denied")
	}
}

func TestDevThatIsKilledLeavesNothing(t *testing.T) {
	t.Parallel()
	c := startDev(t, filepath.Join(t.TempDir(), "data"), 1)
	if r := c.cli(t, 0, "INCR", "n"); r.out != "1\n" {
		t.Errorf("one node: %+v", r)
	}
	if v := c.status(t).Verdict; !strings.Contains(v, "One copy decides") {
		t.Errorf("got %s", v)
	}
	c.signal(t, syscall.SIGKILL)
	c.ends(t)
	nothingRunsIn(t, c.dir)
}

func TestDevAllowsDebugOnlyIfAsked(t *testing.T) {
	t.Parallel()
	startDev(t, filepath.Join(t.TempDir(), "plain"), 1).wants(t, 0, "(error) ERR DEBUG command not allowed", "DEBUG", "JMAP")
	startDev(t, filepath.Join(t.TempDir(), "asked"), 1, "--debug-command").wants(t, 0, "OK", "DEBUG", "JMAP")
}
