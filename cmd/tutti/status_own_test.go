package main

import (
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"testing"

	"tutti/internal/node"
)

// tellsStatus answers whatever it is asked with a status, and returns its address.
func tellsStatus(t *testing.T, s node.Status) string {
	t.Helper()
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				for b := make([]byte, 4096); ; {
					if _, err := c.Read(b); err != nil {
						return
					}
					fmt.Fprintf(c, "$%d\r\n%s\r\n", len(text), text)
				}
			}()
		}
	}()
	return l.Addr().String()
}

// What each node alone knows to be wrong with it is told, whichever is asked, in the
// order of the nodes, behind what is wrong with the cluster.
func TestStatusTellsWhatEachNodeKnows(t *testing.T) {
	disk := []node.Problem{{What: "the disk of node 1: 3 GiB left", Do: "make room"}}
	cert := []node.Problem{{What: "the certificate of node 2: expired", Do: "tutti cert renew"}}
	other := tellsStatus(t, node.Status{Node: 2, Own: cert, Nodes: []node.NodeStatus{{ID: 2, PID: 77}}})
	s := node.Status{Cluster: "otter", Node: 1, Verdict: "Healthy.", Own: disk, Safety: &node.Verdict{Problems: []node.Problem{{What: "first", Do: "x"}}},
		Nodes: []node.NodeStatus{{ID: 1, Up: true}, {ID: 2, Up: true, Client: other}, {ID: 3, Client: "127.0.0.1:1"}}}
	askMembers(target{}, &s)
	if s.Nodes[1].PID != 77 {
		t.Errorf("%+v", s.Nodes)
	}
	var out strings.Builder
	if err := writeStatus(&out, s); err != nil {
		t.Fatal(err)
	}
	want := "! first\n    x\n! the disk of node 1: 3 GiB left\n    make room\n! the certificate of node 2: expired\n    tutti cert renew\n"
	if !strings.HasSuffix(out.String(), want) {
		t.Errorf("got\n%s\nwant at its end\n%s", out.String(), want)
	}
}
