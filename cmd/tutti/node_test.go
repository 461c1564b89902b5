package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"tutti/internal/cluster"
)

func (c devCluster) node(t *testing.T, args ...string) result {
	t.Helper()
	return tutti(t, "", append(append([]string{"node"}, args...), "--addr", c.addr(0))...)
}

// nodes returns what node ls says.
func (c devCluster) nodes(t *testing.T) map[string]nodeView {
	t.Helper()
	r := c.node(t, "ls", "--json")
	r.wants(t, 0)
	var list []nodeView
	if err := json.Unmarshal([]byte(r.out), &list); err != nil {
		t.Fatalf("%v: %s", err, r.out)
	}
	byName := make(map[string]nodeView)
	for _, n := range list {
		byName[n.Name] = n
	}
	return byName
}

// Nodes are drained, taken back and removed by the commands that an operator
// types, and data stays.
func TestNodesLeave(t *testing.T) {
	t.Parallel()
	c := startDev(t, filepath.Join(t.TempDir(), "data"), 5)
	c.cli(t, 0, "SET", "k", "v").wants(t, 0)
	if n := c.nodes(t); len(n) != 5 || n["node-1"].Votes+n["node-2"].Votes+n["node-3"].Votes != 6 || n["node-5"].Learns != 2 {
		t.Fatalf("five nodes: %+v", n)
	}
	c.node(t, "drain", "node-2").wants(t, 0)
	if n := c.nodes(t); n["node-2"].State != "draining" || n["node-2"].Votes+n["node-2"].Learns+n["node-2"].Leads != 0 || n["node-4"].Votes != 2 {
		t.Errorf("node 2 is drained, node 4 votes for it: %+v", n)
	}
	eventually(t, func() error { // it learns of the end of the drain after whoever has asked
		if r := c.cli(t, 1, "GET", "k"); r.code == 0 || !strings.Contains(r.errors, "this node is drained. Not applied. Use another one: "+c.addr(0)) {
			return fmt.Errorf("through the drained node: %+v", r)
		}
		return nil
	})
	c.node(t, "undrain", "2").wants(t, 0)
	eventually(t, func() error {
		if r := c.cli(t, 1, "GET", "k"); r.out != "v\n" {
			return fmt.Errorf("through the node that was taken back: %+v", r)
		}
		return nil
	})
	c.node(t, "remove", "node-5").wants(t, 0)
	c.node(t, "remove", "node-4").wants(t, 0)
	if n := c.nodes(t); len(n) != 3 || n["node-4"].ID != 0 {
		t.Errorf("two are removed: %+v", n)
	}
	if r := c.node(t, "drain", "node-9"); r.code != exitFailed || !strings.Contains(r.errors, `has no node "node-9"`) {
		t.Errorf("a stranger drains: %+v", r)
	}
	if r := c.node(t, "drain", "node-3"); r.code != exitFailed || !strings.Contains(r.errors, "one copy") || !strings.Contains(r.errors, "--accept-one-copy") {
		t.Errorf("a drain that leaves one copy to decide: %+v", r)
	}
	if r := c.node(t, "remove", "node-3"); r.code != exitFailed || !strings.Contains(r.errors, "tutti node remove node-3 --accept-one-copy") {
		t.Errorf("a removal that leaves one copy to decide: %+v", r)
	}
	c.node(t, "remove", "node-3", "--accept-one-copy").wants(t, 0)
	for _, i := range []int{3, 4, 5} {
		c.line(t, fmt.Sprintf("node %d was removed from the cluster; it is not started again", i))
	}
	if r := c.cli(t, 0, "GET", "k"); r.out != "v\n" {
		t.Errorf("from two nodes: %+v", r)
	}
	c.stop(t)
}

// A majority is lost for ever: one node's folder becomes the cluster, once
// somebody has confirmed what that costs.
func TestRecover(t *testing.T) {
	t.Parallel()
	c := startDev(t, filepath.Join(t.TempDir(), "data"), 3)
	c.cli(t, 0, "SET", "k", "v").wants(t, 0)
	if r := c.cli(t, 2, "GET", "k"); r.out != "v\n" {
		t.Fatalf("through node 3: %+v", r)
	}
	dir := filepath.Join(c.dir, "node-3")
	if r := tutti(t, "", "recover", "--dir", dir, "--confirm", "dev"); r.code != exitFailed || !strings.Contains(r.errors, "runs; stop it first") {
		t.Errorf("a node that runs: %+v", r)
	}
	c.stop(t)
	before := launch(t, t.TempDir(), "start", "--dir", filepath.Join(c.dir, "node-1"))
	c.awaitOne(t, 0)
	if r := tutti(t, "", "recover", "--dir", dir, "--confirm", "dev"); r.code != exitFailed || !strings.Contains(r.errors, "still answering: node-1 (127.0.0.1:") || !strings.Contains(r.errors, "nothing was changed") {
		t.Errorf("while one that would be given up runs: %+v", r)
	}
	before.signal(t, syscall.SIGTERM)
	before.ends(t)
	if r := tutti(t, "no\n", "recover", "--dir", dir); r.code != exitFailed || !strings.Contains(r.out, "given up for ever: node-1") || !strings.Contains(r.errors, "nothing was changed") {
		t.Errorf("not confirmed: %+v", r)
	} else if year := fmt.Sprintf("which was written on %d-", time.Now().UTC().Year()); strings.Count(r.out, "one of 3 that decided") != 2 || strings.Count(r.out, year) != 2 {
		t.Errorf("what the copies hold is not told: %s", r.out)
	}
	tutti(t, "dev\n", "recover", "--dir", dir).wants(t, 0)
	n := launch(t, t.TempDir(), "start", "--dir", dir)
	c.awaitOne(t, 2)
	if r := c.cli(t, 2, "GET", "k"); r.out != "v\n" {
		t.Errorf("from the copy that was left: %+v", r)
	}
	if r := c.cli(t, 2, "SET", "k", "w"); r.out != "OK\n" {
		t.Errorf("a write to the copy that was left: %+v", r)
	}
	n.signal(t, syscall.SIGTERM)
	if code := n.ends(t); code != 0 {
		t.Errorf("exit code %d:\n%s", code, n.text())
	}
}

// awaitOne waits until a node answers that had been stopped.
func (c devCluster) awaitOne(t *testing.T, node int) {
	t.Helper()
	eventually(t, func() error {
		if r := c.cli(t, node, "PING"); r.out != "PONG\n" {
			return fmt.Errorf("PING: %+v", r)
		}
		return nil
	})
}

// A machine may be called 2. Who says 2 must not hit node 2 instead.
func TestNameThatIsAnIDOfAnother(t *testing.T) {
	v := clusterView{Cluster: "red", Members: []cluster.Member{{ID: 1, Name: "ada"}, {ID: 2, Name: "bob"}, {ID: 7, Name: "2"}, {ID: 8}}}
	for word, want := range map[string]cluster.NodeID{"ada": 1, "1": 1, "bob": 2, "7": 7, "8": 8, "node-8": 8} {
		if x, err := v.find(word); err != nil || x.ID != want {
			t.Errorf("%s: node %d, %v", word, x.ID, err)
		}
	}
	_, err := v.find("2")
	e, _ := errors.AsType[*exitError](err)
	if e == nil || e.what != `"2" may be node 2 (bob) or node 7 (2)` || e.do != "name the first bob, or the second 7" {
		t.Errorf("2: %+v", err)
	}
	if _, err := v.find("9"); err == nil {
		t.Error("node 9 was found")
	}
}
