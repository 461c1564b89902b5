package main

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"tutti/internal/cluster"
	"tutti/internal/node"
)

// answeredWithin is the most that a command takes that is asked of a node which stands still.
const answeredWithin = 15 * time.Second

// A node that stands still takes connections. Whatever it is asked ends, and says what it is,
// also what had been sent before; the others answer, whichever stands still.
func TestCommandsAskedOfAFrozenNode(t *testing.T) {
	t.Parallel()
	c := startDev(t, filepath.Join(t.TempDir(), "data"), 3)
	c.tell(t, "begun", []int{0, 1, 2}, healthyNow)
	frozen := 0
	for _, s := range c.status(t).Shards {
		if s.Shard == cluster.Meta {
			frozen = int(s.Leader) - 1 // the one that decides about the cluster
		}
	}
	asked := map[string]int{
		"cli BLPOP jobs 0": exitUnknown, "cli SET k v": exitUnknown, "cli GET k": exitUnreachable, "status": exitUnreachable, "doctor": exitUnreachable,
		"node ls": exitUnreachable, "node show node-2": exitUnreachable, "node drain node-2": exitUnreachable, "node undrain node-2": exitUnreachable,
		"node remove node-2": exitUnreachable, "leave": exitUnreachable, "token create": exitUnknown, "token ls": exitUnreachable, "token revoke x": exitUnknown,
		"cert ls": exitUnreachable, "cert renew": exitUnknown, "cert rotate-ca": exitUnreachable, "user ls": exitUnreachable, "user rm x": exitUnknown,
		"why k": exitUnreachable, "queue ls": exitUnreachable, "task show x": exitUnreachable, "job ls": exitUnreachable,
	}
	pid := c.pids(t)[frozen]
	t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGCONT) })
	var wg sync.WaitGroup
	ask := func(line string) { wg.Go(func() { endsClearly(t, c.addr(frozen), line, asked[line]) }) }
	const before = "cli BLPOP jobs 0" // it waits when the node is stopped
	ask(before)
	eventually(t, func() error {
		if r := tutti(t, "", "cli", "--addr", c.addr(frozen), "INFO", "clients"); !strings.Contains(r.out, "blocked_clients:1") {
			return errors.New(r.out)
		}
		return nil
	})
	send(t, pid, syscall.SIGSTOP)
	for line := range asked {
		if line != before {
			ask(line)
		}
	}
	wg.Wait()
}

// endsClearly runs a command against a node that stands still.
func endsClearly(t *testing.T, addr, line string, code int) {
	words, n := strings.Fields(line), 1
	switch words[0] {
	case "node", "token", "cert", "user", "queue", "task", "job":
		n = 2
	}
	began := time.Now()
	r := tutti(t, "", slices.Concat(words[:n], []string{"--addr", addr}, words[n:])...)
	if took := time.Since(began); took > answeredWithin && line != "cli BLPOP jobs 0" {
		t.Errorf("tutti %s took %v", line, took)
	}
	if r.code != code || !strings.Contains(r.errors, "the node at "+addr) || !strings.Contains(r.errors, "stopped or frozen") || !strings.Contains(r.errors, "  do     ") {
		t.Errorf("tutti %s: code %d, want %d\n%s%s", line, r.code, code, r.out, r.errors)
	}
}

// The node of this machine stands still: who names no node is answered by another, unless the
// command is about that node.
func TestFrozenNodeOfThisMachine(t *testing.T) {
	t.Setenv("XDG_CONFIG_HOME", t.TempDir()) // where the login is
	c, token := initialized(t)
	c.join(t, token)
	c.join(t, token)
	eventually(t, func() error {
		if r := c.command(t, 2, "status"); !strings.Contains(r.out, "Healthy. Survives the loss of any 1 of 3 nodes") {
			return errors.New(r.out + r.errors)
		}
		return nil
	})
	t.Setenv("TUTTI_DIR", c.folder(0))
	here := func(args ...string) result { return tuttiAt(t, "", "", args...) }
	if r := here("status"); r.code != 0 || r.errors != "" {
		t.Fatalf("while it runs: %+v", r)
	}
	c.procs[0].signal(t, syscall.SIGSTOP)
	defer func() { _ = c.procs[0].cmd.Process.Signal(syscall.SIGCONT) }()
	eventually(t, func() error {
		r := here("status")
		if r.code != 0 || !strings.Contains(r.out, "Degraded: node 1 has not answered for ") || !strings.Contains(r.errors, "does not answer at "+c.addr(0)) {
			return errors.New(r.out + r.errors)
		}
		return nil
	})
	for _, args := range [][]string{{"token", "create"}, {"node", "ls"}, {"cert", "ls"}, {"user", "ls"}} {
		if r := here(args...); r.code != 0 || !strings.Contains(r.errors, "asking "+c.addr(1)) {
			t.Errorf("%v: %+v", args, r)
		}
	}
	here("leave").wants(t, exitUnreachable, "the node at "+c.addr(0), "tutti node remove NODE")
	here("cli", "GET", "k").wants(t, exitUnreachable, "ask another node: --addr "+c.addr(1)+" or "+c.addr(2))
	here("status", "--addr", c.addr(0)).wants(t, exitUnreachable, "ask another node")
}

// Who waits for what a silent node holds up is told of it once, and not kept for ever.
func TestStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		silent := []node.NodeStatus{{ID: 3, Name: "cy", Client: "10.0.0.13:6379", SilentMS: 7000}}
		p := stuck{moved: time.Now()}
		if p.looks() {
			t.Error("it looks at once")
		}
		time.Sleep(stuckTell + 1)
		if !p.looks() || p.waits(silent, "the drain", "again") != nil || !p.said {
			t.Error("nobody is told")
		}
		p.goesOn()
		if p.looks() || p.said {
			t.Error("what goes on is no reason to look")
		}
		time.Sleep(stuckMax + 1)
		if p.waits(nil, "the drain", "again") != nil {
			t.Error("it ends although all answer")
		}
		e, ok := errors.AsType[*exitError](p.waits(silent, "the drain", "tutti node drain bob"))
		if !ok || e.code != exitUnavailable || !strings.Contains(e.what, "node 3 (cy) has not answered for 7 s: the drain waits for that") ||
			!strings.Contains(e.do, "tutti node remove 3") || !strings.Contains(e.do, "then tutti node drain bob") || e.safe != "the drain goes on by itself" {
			t.Errorf("%+v", e)
		}
	})
}

// Only nodes that are to vote and do not yet hold a drain up.
func TestTakers(t *testing.T) {
	all := func(presence node.Presence) (list []node.NodeStatus) {
		for id := range cluster.NodeID(4) {
			list = append(list, node.NodeStatus{ID: id + 1, Presence: presence})
		}
		return list
	}
	v := clusterView{Shards: []shardView{{
		Replicas: []cluster.Replica{{Node: 1}, {Node: 2}, {Node: 3}, {Node: 4, Part: cluster.Learner}},
		Want:     []cluster.Placement{{Node: 1}, {Node: 2}, {Node: 4}, {Node: 5, Learner: true}},
	}}}
	v.status.Nodes = all(node.Silent)
	if got := v.takers(3); len(got) != 1 || got[0].ID != 4 {
		t.Errorf("%+v", got)
	}
	if got := v.takers(4); len(got) != 0 {
		t.Errorf("the drained one waits for itself: %+v", got)
	}
	if v.status.Nodes = all(node.Up); len(v.takers(3)) != 0 {
		t.Error("who answers is waited for in silence")
	}
}
