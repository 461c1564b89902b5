package server_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"tutti/internal/node/nodetest"
	"tutti/internal/resp"
)

// texts returns the strings of an array.
func texts(v resp.Value) (list []string) {
	for _, e := range v.Elems {
		list = append(list, string(e.Str))
	}
	return list
}

// A worker that holds tasks of several shards says one word to all of their leaders,
// through any node, and has one answer.
func TestBeatReachesAllShards(t *testing.T) {
	t.Parallel()
	cluster := nodetest.Start(t, nodetest.Options{Nodes: 3, Shards: 4})
	c := cluster.Dial(0)
	const queues = 12 // in all of the shards
	var ids []string
	for i := range queues {
		c.Do("TASK.ADD", fmt.Sprintf("q%d", i), "p")
		v := c.Do("TASK.CLAIM", "w", "FROM", fmt.Sprintf("q%d", i))
		ids = append(ids, string(v.Elems[0].Elems[0].Str))
	}
	beat := func(node int, with ...string) resp.Value {
		return cluster.Dial(node).Do(append([]string{"TASK.BEAT", "w"}, with...)...)
	}
	progress := func(ids []string) (args []string) {
		for i, id := range ids {
			args = append(args, id, fmt.Sprintf("0.%d5", i+1), "page")
		}
		return args
	}
	for node := range 3 {
		if v := beat(node); v.IsError() || len(v.Elems) != 0 {
			t.Fatalf("node %d: %s", node, v.FormatCLI())
		}
		if v := beat(node, progress(ids)...); v.IsError() || len(v.Elems) != 0 {
			t.Fatalf("node %d: %s", node, v.FormatCLI())
		}
	}
	for i, id := range ids {
		if got := c.Text("TASK.GET", id); !strings.Contains(got, fmt.Sprintf("%q", fmt.Sprintf("0.%d5", i+1))) {
			t.Errorf("%s: %s", id, got)
		}
	}
	for _, id := range ids {
		c.Do("TASK.CANCEL", id)
	}
	sorted := slices.Sorted(slices.Values(ids))
	for node := range 3 {
		if got := texts(beat(node)); !slices.Equal(slices.Sorted(slices.Values(got)), sorted) {
			t.Errorf("node %d: to be stopped are %v, want %v", node, got, sorted)
		}
		back := slices.Clone(ids)
		slices.Reverse(back)
		if got := texts(beat(node, progress(back[3:])...)); !slices.Equal(got[:queues-3], back[3:]) || len(got) != queues {
			t.Errorf("node %d: to be stopped are %v, want %v first", node, got, back[3:])
		}
	}
	for line, want := range map[string]string{
		"TASK.BEAT w " + ids[0]:                 "ERR wrong number of arguments",
		"TASK.BEAT w " + ids[0] + " 2 m":        "ERR the fraction must be",
		"TASK.BEAT w none 0.5 m":                "ERR \"none\" is not the id of a task",
		"TUTTI.BEAT {06S}beat:1 w":              "ERR TUTTI.BEAT is what nodes say to each other",
		"TASK.BEAT " + strings.Repeat("w", 129): "ERR the name of a worker",
	} {
		if got := errorOf(t, c, strings.Fields(line)...); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %q", line, got)
		}
	}
	// In a pipeline its answer has its place.
	c.Send("SET", "k", "v")
	c.Send("TASK.BEAT", "nobody")
	c.Send("GET", "k")
	for _, want := range []string{"OK", "(empty array)", "\"v\""} {
		if v, err := c.Receive(); err != nil || strings.TrimSpace(v.FormatCLI()) != want {
			t.Errorf("%s, %v, want %s", v.FormatCLI(), err, want)
		}
	}
	root := cluster.Dial(0)
	root.Do("ACL", "SETUSER", "bob", "on", "nopass", "~q0", "+task.beat")
	bob := cluster.Dial(0)
	bob.Do("AUTH", "bob", "x")
	if v := bob.Do("TASK.BEAT", "w", ids[0], "0.5", "m"); v.IsError() {
		t.Errorf("bob has the right to q0: %s", v.Str)
	}
	if got := errorOf(t, bob, "TASK.BEAT", "w", ids[1], "0.5", "m"); !strings.HasPrefix(got, "NOPERM") {
		t.Errorf("bob has no right to q1: %q", got)
	}
}
