package server_test

import (
	"fmt"
	"strings"
	"testing"

	"tutti/internal/node/nodetest"
	"tutti/internal/proof/respclient"
)

// TestReadersFromTheEnd: who reads from the end of a stream on gets what is added once
// it waits, and of several streams that which gets something; who reads with a group
// gets what no other consumer has; and CLIENT UNBLOCK and the time end both.
func TestReadersFromTheEnd(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, nodetest.Options{Nodes: 3})
	client := c.Dial(0)
	client.Do("XADD", "{s}a", "1-1", "f", "old")
	client.Do("XGROUP", "CREATE", "{s}a", "g", "$")
	var readers []*nodetest.Client
	for i, line := range []string{
		"XREAD BLOCK 0 STREAMS {s}a $",
		"XREAD COUNT 5 BLOCK 0 STREAMS {s}b {s}a $ $",
		"XREADGROUP GROUP g one BLOCK 0 STREAMS {s}a >",
		"XREADGROUP GROUP g two BLOCK 0 STREAMS {s}a >",
	} {
		r := c.Dial(i % 3)
		r.Send(strings.Fields(line)...)
		readers = append(readers, r)
		look := c.Dial(i % 3)
		for want := 1 + i/3; strings.Count(look.Text("CLIENT", "LIST"), "flags=b") < want; {
		}
	}
	client.Do("XADD", "{s}a", "2-1", "f", "new")
	for i, r := range readers[:2] {
		v, err := r.Receive()
		if got := respclient.Text(v); err != nil || !strings.Contains(got, "2-1") || strings.Contains(got, "1-1") {
			t.Errorf("reader %d: %s, %v", i, got, err)
		}
	}
	for !strings.Contains(client.Text("XPENDING", "{s}a", "g"), "2-1") { // else one of them could get both
	}
	client.Do("XADD", "{s}a", "3-1", "f", "new")
	got := map[string]int{}
	for i, r := range readers[2:] {
		v, err := r.Receive()
		if err != nil {
			t.Errorf("consumer %d: %v", i, err)
		}
		for _, id := range []string{"2-1", "3-1"} {
			got[id] += strings.Count(respclient.Text(v), id)
		}
	}
	if fmt.Sprint(got) != "map[2-1:1 3-1:1]" {
		t.Errorf("the group got %v", got)
	}
	if text := client.Text("XREAD", "BLOCK", "1", "STREAMS", "{s}a", "$"); text != "(nil)" {
		t.Errorf("after its time: %s", text)
	}
}
