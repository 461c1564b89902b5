package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"tutti/internal/node"
)

// killsOfEach is how often each of init and join is killed.
const killsOfEach = 8

// init and join are killed at any moment of their work, again and again, and then run once
// more: there is one cluster, with one node for each folder, by a token for one.
func TestInitAndJoinAreKilledAndRunAgain(t *testing.T) {
	t.Setenv("XDG_CONFIG_HOME", t.TempDir()) // where the login is
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	c := &joinedCluster{dir: t.TempDir(), base: freeBase(t, 5)}
	kills := 0
	// killed runs a command and kills it after up to most.
	killed := func(most time.Duration, args ...string) {
		t.Helper()
		p := launch(t, t.TempDir(), args...)
		select {
		case <-time.After(time.Duration(r.Int64N(int64(most)))): // at no moment that it chooses
		case <-p.done:
		}
		p.signal(t, syscall.SIGKILL)
		if code := p.ends(t); code != -1 {
			t.Errorf("it ended by itself with %d: %s", code, p.text())
		}
		kills++
	}
	begin := []string{"init", "--dir", c.folder(0), "--listen", c.addr(0), "--name", "red", "--node", "ada", "--log", "warn"}
	for i := range killsOfEach {
		killed(time.Duration(i+1)*80*time.Millisecond, begin...)
	}
	c.procs = append(c.procs, launch(t, t.TempDir(), begin...))
	c.procs[0].line(t, "login     user admin, password in ")
	c.ask(t, 0, "SET", "greeting", "hello")
	made := c.command(t, 0, "token", "create", "--uses", "1")
	made.wants(t, 0)
	token := strings.Fields(made.out[strings.Index(made.out, "tutti1."):])[0]
	come := []string{"join", c.peer(0), "--token", token, "--dir", c.folder(1), "--listen", c.addr(1), "--log", "warn"}
	for i := range killsOfEach {
		killed(time.Duration(i+1)*80*time.Millisecond, come...)
		if i == killsOfEach/2 { // and so is the node that takes it in
			c.procs[0].signal(t, syscall.SIGKILL)
			c.procs[0].ends(t)
			c.procs[0] = launch(t, t.TempDir(), begin...)
			c.procs[0].line(t, "cluster red is here already; started on ada")
		}
	}
	c.procs = append(c.procs, launch(t, t.TempDir(), come...))
	eventually(t, func() error {
		if got := c.command(t, 1, "cli", "GET", "greeting"); strings.TrimSpace(got.out) != "hello" {
			return fmt.Errorf("node 2 reads %q: %s\n%s", got.out, got.errors, c.procs[1].text())
		}
		var nodes []nodeView
		if ls := c.command(t, 1, "node", "ls", "--json"); json.Unmarshal([]byte(ls.out), &nodes) != nil || len(nodes) != 2 {
			return fmt.Errorf("node ls: %+v", ls)
		}
		return nil
	})
	another := launch(t, t.TempDir(), "join", c.peer(0), "--token", token, "--dir", c.folder(2), "--listen", c.addr(2), "--log", "warn")
	if code := another.ends(t); code == 0 || !strings.Contains(another.text(), "used") {
		t.Errorf("a token for one lets in another: %d %s", code, another.text())
	}
	t.Logf("killed %d times", kills)
}

// The same is asked for twice, at once and through different nodes, while a node is killed:
// both are answered clearly, and it happens once.
func TestMovesAreAskedForTwice(t *testing.T) {
	t.Parallel()
	c := startDev(t, filepath.Join(t.TempDir(), "data"), 5)
	c.wants(t, 0, "OK", "SET", "k", "v")
	pids := c.pids(t)
	// both runs a command of tutti node through nodes 1 and 2, at once.
	both := func(during func(), args ...string) (answers [2]result) {
		var wg sync.WaitGroup
		for i := range answers {
			wg.Go(func() { answers[i] = tutti(t, "", append(append([]string{"node"}, args...), "--addr", c.addr(i))...) })
		}
		if during != nil {
			during()
		}
		wg.Wait()
		return answers
	}
	all := func(answers [2]result, word string) {
		t.Helper()
		for i, r := range answers {
			if r.code != 0 || !strings.Contains(r.out, word) {
				t.Errorf("through node %d: %+v, want %q", i+1, r, word)
			}
		}
	}
	all(both(nil, "drain", "node-5"), "node-5 is drained")
	all(both(nil, "drain", "node-5"), "node-5 is drained") // which it is
	all(both(nil, "undrain", "node-5"), "node-5 may hold data again")
	eventually(t, func() error {
		if n := c.nodes(t)["node-5"]; n.Learns+n.Votes != 2 {
			return fmt.Errorf("node 5 holds %+v", n)
		}
		return nil
	})
	// A node is killed while both wait: dev starts it again, and the drain goes on.
	all(both(func() {
		eventually(t, func() error {
			if n := c.nodes(t)["node-4"]; n.State != "draining" {
				return fmt.Errorf("node 4: %+v", n)
			}
			return nil
		})
		send(t, pids[2], syscall.SIGKILL)
	}, "drain", "node-4"), "node-4 is drained")
	// A removal begins while a drain of the same node runs.
	var drained, removed result
	var wg sync.WaitGroup
	wg.Go(func() { drained = c.node(t, "drain", "node-5") })
	wg.Go(func() {
		removed = tutti(t, "", "node", "remove", "node-5", "--addr", c.addr(1))
	})
	wg.Wait()
	drained.wants(t, 0)
	removed.wants(t, 0)
	// A removal is asked for twice at once: whoever comes second has what was asked for.
	all(both(nil, "remove", "node-4"), "node-4 was removed")
	if r := c.node(t, "remove", "node-4"); r.code != exitFailed || !strings.Contains(r.errors, `has no node "node-4"`) {
		t.Errorf("a node that is no more is removed: %+v", r)
	}
	if n := c.nodes(t); len(n) != 3 {
		t.Errorf("three are left: %+v", n)
	}
	c.wants(t, 0, "\"v\"", "GET", "k")
	c.stop(t)
}

// The node that leads stands still: the others elect, and say so, also who is asked next to it.
func TestStatusWhileTheLeaderIsFrozen(t *testing.T) {
	t.Parallel()
	c := startDev(t, filepath.Join(t.TempDir(), "data"), 3)
	c.tell(t, "begun", []int{0, 1, 2}, healthyNow)
	leader := int(c.status(t).Shards[0].Leader) - 1
	pid := c.pids(t)[leader]
	var others []int
	for i := range 3 {
		if i != leader {
			others = append(others, i)
		}
	}
	send(t, pid, syscall.SIGSTOP)
	t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGCONT) })
	c.tell(t, "the leader is frozen", others, func(s node.Status) bool {
		return s.Safety.Safety == node.Degraded && s.Nodes[leader].Presence == node.Silent && !s.Nodes[leader].Up &&
			int(s.Shards[0].Leader) != leader+1 && s.Shards[0].Leader != 0 && strings.HasPrefix(s.Verdict, fmt.Sprintf("Degraded: node %d has not answered for ", leader+1))
	})
	for _, i := range others {
		c.wants(t, i, "OK", "SET", "k", fmt.Sprint(i))
	}
	if r := tutti(t, "", "status", "--addr", c.addr(leader)); r.code != exitUnreachable {
		t.Errorf("who is frozen answers: %+v", r)
	}
	send(t, pid, syscall.SIGCONT)
	c.tell(t, "thawed", []int{0, 1, 2}, func(s node.Status) bool {
		return s.Safety.Safety == node.Healthy && s.Nodes[leader].Up
	})
	c.stop(t)
}
