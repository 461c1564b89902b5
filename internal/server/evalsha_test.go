package server_test

import (
	"slices"
	"strings"
	"testing"

	"tutti/internal/node/nodetest"
	"tutti/internal/script"
)

// Clients send EVALSHA on a connection that has sent EVAL before, and take NOSCRIPT for
// an error then. Here the connection outlasts the node that ran the script.
func TestScriptOutlastsTheNodeThatRanIt(t *testing.T) {
	c := nodetest.Start(t, nodetest.Options{Nodes: 3})
	admin := c.Dial(0)
	leader := leaderOf(t, c, admin)
	client := c.Dial((leader + 1) % 3)
	const text = "return redis.call('incr', KEYS[1])"
	if got := client.Text("EVAL", text, "1", "n"); got != "(integer) 1" {
		t.Fatal(got)
	}
	c.Stop(leader)
	leads(t, c.Dial((leader+2)%3))
	if got := client.Text("EVALSHA", script.SHA1([]byte(text)), "1", "n"); got != "(integer) 2" {
		t.Errorf("EVALSHA of what EVAL brought: %s", got)
	}
}

// leaderOf returns which node leads.
func leaderOf(t *testing.T, c *nodetest.Cluster, admin *nodetest.Client) int {
	t.Helper()
	port := string(admin.Do("SENTINEL", "get-master-addr-by-name", "mymaster").Elems[1].Str)
	i := slices.IndexFunc([]int{0, 1, 2}, func(i int) bool { return strings.HasSuffix(c.Addr(i), ":"+port) })
	if i < 0 {
		t.Fatalf("no node has port %s", port)
	}
	return i
}
