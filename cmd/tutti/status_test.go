package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"tutti/internal/node"
)

// Whoever is asked tells the truth about a node that is frozen, killed, or whose
// folder is removed or is an old copy, and that it is back.
func TestStatusTellsTheTruth(t *testing.T) {
	t.Parallel()
	dir, away := filepath.Join(t.TempDir(), "data"), t.TempDir()
	c := startDev(t, dir, 3)
	c.tell(t, "begun", []int{0, 1, 2}, healthyNow)
	c.wants(t, 0, "OK", "SET", "greeting", "hello")
	c.stop(t)
	copyDir(t, filepath.Join(dir, "node-3"), filepath.Join(away, "old"))
	c = startDev(t, dir, 3)
	c.tell(t, "begun again", []int{0, 1, 2}, healthyNow)

	pid := c.pids(t)[2]
	signal := func(s syscall.Signal) { send(t, pid, s) }
	watch := launch(t, t.TempDir(), "status", "--watch", "--addr", c.addr(0))
	watch.line(t, "  dev  Healthy. Survives the loss of any 1 of 3 nodes.")
	signal(syscall.SIGSTOP)
	c.tell(t, "frozen", []int{0, 1}, withoutThree)
	watch.line(t, "  dev  Degraded: node 3 has not answered for ")
	watch.signal(t, syscall.SIGINT)
	if code := watch.ends(t); code != 0 {
		t.Errorf("--watch ends with %d: %s", code, watch.text())
	}
	signal(syscall.SIGCONT)
	c.tell(t, "thawed", []int{0, 1, 2}, healthyNow)

	// Its folder goes under it: it ends, and a command sent to it is refused at
	// once.
	move(t, filepath.Join(dir, "node-3"), filepath.Join(away, "newest"))
	c.line(t, "node 3 ended: ")
	c.tell(t, "without its folder", []int{0, 1}, withoutThree)
	r := tutti(t, "", "status", "--addr", c.addr(1))
	for _, want := range []string{"  node 3  " + c.addr(2) + "  silent  leads 0 of 1 shards\n", "\n! node 3 has not answered for ", "If it never comes back: tutti node remove 3\n"} {
		if r.code != 0 || !strings.Contains(r.out, want) {
			t.Errorf("status lacks %q: %d\n%s", want, r.code, r.out)
		}
	}
	if r := c.cli(t, 2, "GET", "greeting"); r.code != exitUnreachable {
		t.Errorf("through the node that has ended: %+v", r)
	}

	// An old copy of it comes in its place: it is told so, ends, and comes back with
	// the data of the others.
	c.wants(t, 0, "OK", "SET", "greeting", "bye")
	move(t, filepath.Join(away, "old"), filepath.Join(dir, "node-3"))
	c.line(t, "is an old copy") // a peer says so, or the leader's heartbeat shows it, whoever comes first
	c.tell(t, "made anew", []int{0, 1, 2}, healthyNow)
	c.wants(t, 2, "\"bye\"", "GET", "greeting")

	if r := tutti(t, "", "status", "--addr", c.addr(1)); r.code != 0 || strings.Count(r.out, " up ") != 3 {
		t.Errorf("status: %+v", r)
	}
	c.stop(t)
}

func healthyNow(s node.Status) bool { return s.Safety.Safety == node.Healthy && s.Nodes[2].Up }

func withoutThree(s node.Status) bool {
	return s.Safety.Safety == node.Degraded && s.Safety.NodeLosses == 0 && !s.Nodes[2].Up && s.Nodes[2].Presence == node.Silent &&
		strings.HasPrefix(s.Verdict, "Degraded: node 3 has not answered for ")
}

// tell waits until each of the nodes says what is wanted. How long that may take
// is for the simulation to show: this machine may be busy.
func (c devCluster) tell(t *testing.T, event string, nodes []int, wanted func(node.Status) bool) {
	t.Helper()
	began := time.Now()
	for _, i := range nodes {
		eventually(t, func() error {
			s, err := askStatus(c.addr(i), statusTimeout)
			if err != nil {
				return err
			}
			if !wanted(s) {
				return fmt.Errorf("%s: node %d says: %s", event, i+1, s.Verdict)
			}
			return nil
		})
	}
	t.Logf("%s: told by all after %v", event, time.Since(began).Round(time.Millisecond))
}

// copyDir copies a folder, with files that only their owner may read.
func copyDir(t *testing.T, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	if err := filepath.WalkDir(to, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		return os.Chmod(path, 0o600)
	}); err != nil {
		t.Fatal(err)
	}
}

// What moves and what is wrong stands below the nodes; names and zones only if
// there are any.
func TestWriteStatus(t *testing.T) {
	s := node.Status{Cluster: "otter", Verdict: "Degraded: …", Nodes: []node.NodeStatus{
		{ID: 1, Name: "ada", Zone: "z1", Client: "10.0.0.11:6379", State: "active", Presence: node.Up, Up: true},
		{ID: 12, Name: "bob", Client: "10.0.0.12:6379", State: "draining", Presence: node.Silent, Full: true},
		{ID: 13, Client: "10.0.0.13:6379", State: "active", Role: "gateway", Presence: node.Up, Up: true}},
		Safety: &node.Verdict{Shards: []node.ShardVerdict{{Shard: 1, Leader: 1}, {Shard: 2}, {Shard: 0, Leader: 1}},
			Moves:    []node.Move{{Shard: 1, Node: 12, What: "gets its copy", Behind: 7}, {Shard: 0, Node: 12, What: "is to get a copy"}},
			Problems: []node.Problem{{What: "node 12 is silent", Do: "look"}}}}
	var out strings.Builder
	if err := writeStatus(&out, s); err != nil {
		t.Fatal(err)
	}
	want := `otter  Degraded: …
  node 1   ada  z1  10.0.0.11:6379  up                           leads 1 of 2 shards
  node 12  bob      10.0.0.12:6379  silent, draining, disk full  leads 0 of 2 shards
  node 13           10.0.0.13:6379  up                           gateway
> shard 1: node 12 gets its copy, 7 entries behind
> meta: node 12 is to get a copy
! node 12 is silent
    look
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}

// A port of something else is not taken for a node that can't be reached.
func TestStatusOfSomethingElse(t *testing.T) {
	web := httptest.NewServer(http.NotFoundHandler())
	defer web.Close()
	at := strings.TrimPrefix(web.URL, "http://")
	tutti(t, "", "status", "--addr", at).wants(t, exitUnreachable, "what answers at "+at+" is no node of tutti: ", "name a node: --addr HOST:PORT")
}
