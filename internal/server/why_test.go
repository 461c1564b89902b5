package server_test

import (
	"encoding/json"
	"strings"
	"testing"

	"tutti/internal/command"
	"tutti/internal/node/nodetest"
)

// why asks a node why something does not go on.
func why(t *testing.T, c *nodetest.Client, name string) (w command.Why) {
	t.Helper()
	v := c.Do("TUTTI.WHY", name)
	if err := json.Unmarshal(v.Str, &w); err != nil {
		t.Fatalf("%s: %v: %s", name, err, v.Str)
	}
	return w
}

// Every node gives the leader's answer about what any shard has.
func TestWhyFromEveryNode(t *testing.T) {
	t.Parallel()
	cluster := nodetest.Start(t, nodetest.Options{Nodes: 3, Shards: 3})
	c := cluster.Dial(0)
	ids := map[string]string{}
	for _, queue := range []string{"a", "b", "c"} { // in different shards
		ids[queue] = strings.Trim(c.Text("TASK.ADD", queue, "p"), `"`)
	}
	for i := range 3 {
		c := cluster.Dial(i)
		for queue, id := range ids {
			w := why(t, c, id)
			if w.Found == nil || !*w.Found || w.Task == nil || w.Task.Queue != queue || len(w.Reasons) != 1 || w.Reasons[0].For != "worker" ||
				w.Leader.Node == 0 || w.Leader.Term == 0 || w.Leader.Since == 0 || len(w.Copies) != 3 {
				t.Errorf("%s by node %d: %+v", id, i, w)
			}
		}
		if w := why(t, c, "none"); w.Found == nil || *w.Found || !strings.Contains(w.Text, "there is no key") {
			t.Errorf("by node %d: %+v", i, w)
		}
	}
	c.Do("SELECT", "3")
	c.Do("SET", "elsewhere", "x")
	if w := why(t, c, "elsewhere"); w.Key == nil || w.Key.Type != "string" {
		t.Errorf("%+v", w)
	}
	if got := c.Text("TUTTI.INSPECT", "k"); !strings.Contains(got, "is what nodes say to each other") {
		t.Error(got)
	}
}

// Without a majority the answer says who is missing, and does not wait for a leader.
func TestWhyWithoutMajority(t *testing.T) {
	t.Parallel()
	cluster := nodetest.Start(t, nodetest.Options{Nodes: 3})
	c := cluster.Dial(0)
	c.Do("SET", "k", "v")
	cluster.Stop(1)
	cluster.Stop(2)
	for {
		w := why(t, c, "k")
		if w.Found == nil && strings.Contains(w.Text, "node 2 is silent") && strings.Contains(w.Text, "node 3 is silent") {
			if w.Reasons[0].For != "leader" && w.Reasons[0].For != "majority" || !strings.Contains(w.Do, "start tutti there again") {
				t.Errorf("%+v", w)
			}
			return
		}
		if t.Context().Err() != nil {
			t.Fatalf("%+v", w)
		}
	}
}

// Who may read a queue is told of its tasks; those of others that they wait for are
// counted, and not named.
func TestWhyTellsWhatMayBeRead(t *testing.T) {
	t.Parallel()
	cluster := nodetest.Start(t, nodetest.Options{})
	root := cluster.Dial(0)
	first := strings.Trim(root.Text("TASK.ADD", "secret", "p"), `"`)
	child := strings.Trim(root.Text("TASK.ADD", "open", "p", "AFTER", "1", first), `"`)
	root.Do("ACL", "SETUSER", "bob", "on", "nopass", "%R~open", "+tutti.why")
	bob := cluster.Dial(0)
	bob.Do("AUTH", "bob", "x")
	if w := why(t, root, child); len(w.Reasons) != 1 || !strings.Contains(w.Text, first+" (ready)") || !strings.Contains(w.Do, first) {
		t.Errorf("%+v", w)
	}
	if w := why(t, bob, child); len(w.Reasons) != 1 || strings.Contains(w.Text+w.Do, "secret") || !strings.Contains(w.Text, "1 task that must be done first") {
		t.Errorf("%+v", w)
	}
	for _, name := range []string{first, "secret", "other"} {
		if got := errorOf(t, bob, "TUTTI.WHY", name); !strings.HasPrefix(got, "NOPERM") {
			t.Errorf("%s: %q", name, got)
		}
	}
}
