package server_test

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"tutti/internal/node/nodetest"
)

// Cluster-aware clients learn all nodes and the leaders from any node.
func TestClusterIsToldTheSameEverywhere(t *testing.T) {
	t.Parallel()
	const shards = 4
	c := nodetest.Start(t, nodetest.Options{Nodes: 3, Shards: shards})
	names := map[string]bool{}
	for i := range 3 {
		client := c.Dial(i)
		name := string(client.Do("CLUSTER", "MYID").Str)
		names[name] = true
		if got := client.Do("WAIT", "2", "0").Int; got != 1 {
			t.Errorf("WAIT on node %d: %d", i+1, got)
		}
		slots := client.Do("CLUSTER", "SLOTS").Elems
		if len(slots) != shards {
			t.Fatalf("%d ranges of slots, not %d", len(slots), shards)
		}
		next := int64(0)
		for _, s := range slots {
			if s.Elems[0].Int != next || len(s.Elems) != 2+3 {
				t.Errorf("range %v", s)
			}
			next = s.Elems[1].Int + 1
			var ports []string
			for _, n := range s.Elems[2:] {
				ports = append(ports, string(n.Elems[0].Str)+":"+strconv.FormatInt(n.Elems[1].Int, 10))
			}
			for j := range 3 {
				if !slices.Contains(ports, c.Addr(j)) {
					t.Errorf("node %d is not among %v", j+1, ports)
				}
			}
		}
		if next != 16384 {
			t.Errorf("slots end at %d", next)
		}
		lines := strings.Split(strings.TrimSpace(string(client.Do("CLUSTER", "NODES").Str)), "\n")
		if len(lines) != 3 {
			t.Errorf("CLUSTER NODES has %d lines", len(lines))
		}
		for _, l := range lines {
			fields := strings.Fields(l)
			if myself := strings.Contains(fields[2], "myself"); myself != (fields[0] == name) {
				t.Errorf("node %d: %s", i+1, l)
			}
		}
		if got := client.Do("CLUSTER", "SHARDS").Elems; len(got) != shards {
			t.Errorf("%d shards", len(got))
		}
	}
	if len(names) != 3 {
		t.Errorf("names of nodes: %v", names)
	}
}

// WAIT counts what is sure: of five nodes three vote, so one beside the leader
// holds every write.
func TestWaitCountsVoters(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, nodetest.Options{Nodes: 5})
	for i := range 5 {
		client := c.Dial(i)
		if got := client.Do("WAIT", "4", "0").Int; got != 1 {
			t.Errorf("WAIT on node %d: %d", i+1, got)
		}
		if got := client.Do("CLUSTER", "SLOTS").Elems[0].Elems; len(got) != 2+5 {
			t.Errorf("CLUSTER SLOTS on node %d: %v", i+1, got)
		}
	}
}

// A node that has lost the others still tells what it knows.
func TestInfoWithoutMajority(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, nodetest.Options{Nodes: 3})
	client := c.Dial(0)
	if got := client.Text("SET", "k", "v"); got != "OK" {
		t.Fatal(got)
	}
	c.Stop(1)
	c.Stop(2)
	info := string(client.Do("INFO").Str)
	for _, want := range []string{"db0:keys=1,", "redis_version:7.2.4", "tutti_nodes:3"} {
		if !strings.Contains(info, want) {
			t.Errorf("INFO without a majority lacks %q:\n%s", want, info)
		}
	}
}

func TestDebugIsRefused(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, nodetest.Options{})
	if got := c.Dial(0).Text("DEBUG", "SLEEP", "0"); !strings.HasPrefix(got, "(error) ERR DEBUG command not allowed.") {
		t.Error(got)
	}
}
