package server_test

import (
	"fmt"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"tutti/internal/node/nodetest"
	"tutti/internal/resp"
)

// field returns the value of a name in an answer of names and values.
func field(t *testing.T, v resp.Value, name string) string {
	t.Helper()
	for i := 0; i+1 < len(v.Elems); i += 2 {
		if string(v.Elems[i].Str) == name {
			return string(v.Elems[i+1].Str)
		}
	}
	t.Fatalf("no field %s in %v", name, v)
	return ""
}

// Every node is a sentinel that knows the leader, under any name.
func TestSentinel(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, nodetest.Options{Nodes: 3})
	master := ""
	for i := range 3 {
		k := c.Dial(i)
		at := k.Do("SENTINEL", "get-master-addr-by-name", "whatever")
		if len(at.Elems) != 2 {
			t.Fatalf("through node %d: %v", i+1, at)
		}
		addr := net.JoinHostPort(string(at.Elems[0].Str), string(at.Elems[1].Str))
		if master == "" {
			master = addr
		}
		if addr != master {
			t.Errorf("node %d says %s leads, another one %s", i+1, addr, master)
		}
		masters := k.Do("SENTINEL", "masters").Elems
		if len(masters) != 2 || field(t, masters[0], "name") != "test" || field(t, masters[1], "name") != "mymaster" || field(t, masters[1], "flags") != "master" {
			t.Errorf("masters through node %d: %v", i+1, masters)
		}
		if got := field(t, k.Do("SENTINEL", "master", "test"), "port"); got != fmt.Sprint(string(at.Elems[1].Str)) {
			t.Errorf("master through node %d is on port %s", i+1, got)
		}
		for _, sub := range []string{"replicas", "slaves", "sentinels"} {
			if got := k.Do("SENTINEL", sub, "test").Elems; len(got) != 2 {
				t.Errorf("%s through node %d: %v", sub, i+1, got)
			}
		}
		if got := k.Do("SENTINEL", "ckquorum", "test"); got.IsError() {
			t.Errorf("ckquorum through node %d: %s", i+1, got.Str)
		}
		k.Close()
	}
}

// A node that has no replica says so too, though nobody sends commands through it: it
// asks while somebody listens, whether by the name or by a pattern.
func TestSwitchMasterIsToldByAGateway(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, nodetest.Options{Nodes: 4, Gateways: 1})
	const gateway = 3
	at := c.Dial(gateway).Do("SENTINEL", "get-master-addr-by-name", "mymaster")
	master := string(at.Elems[0].Str) + " " + string(at.Elems[1].Str)
	subs := []*nodetest.Client{c.Dial(gateway), c.Dial(gateway)}
	subs[0].Do("SUBSCRIBE", "+switch-master")
	subs[1].Do("PSUBSCRIBE", "*switch*")
	// Twice: what the node has heard of a leader that goes must not hold up the second.
	for round := range 2 {
		gone := -1
		for i := range gateway {
			if host, port, _ := net.SplitHostPort(c.Addr(i)); host+" "+port == master {
				gone = i
			}
		}
		if gone < 0 {
			t.Fatalf("%s is no node with data", master)
		}
		c.Stop(gone)
		began := time.Now()
		next := ""
		for i, sub := range subs {
			for _, name := range []string{"mymaster", "test"} {
				v, err := sub.Receive()
				if err != nil {
					t.Fatalf("round %d, subscriber %d: %v", round, i, err)
				}
				text := string(v.Elems[len(v.Elems)-1].Str)
				if !strings.HasPrefix(text, name+" "+master+" ") || strings.HasSuffix(text, " "+master) {
					t.Errorf("the gateway tells %q, the master was %s", text, master)
				}
				next = strings.TrimPrefix(text, name+" "+master+" ")
			}
		}
		if took := time.Since(began); took > 5*time.Second { // two, were the machine ours alone
			t.Errorf("told only after %v", took)
		}
		if master = next; round == 0 {
			c.Restart(gone)
			if got := c.Dial(gone).Text("GET", "k"); got != "(nil)" { // it has caught up
				t.Fatal(got)
			}
		}
	}
	// Nobody asks when nobody listens.
	if !runs("switches).attend") {
		t.Error("nothing asks who leads")
	}
	for _, sub := range subs {
		sub.Close()
	}
	k := c.Dial(gateway)
	for end := time.Now().Add(10 * time.Second); runs("switches).attend"); k.Do("PING") {
		if time.Now().After(end) {
			t.Fatal("it goes on asking who leads for nobody")
		}
	}
}

// runs reports whether a goroutine is within a function.
func runs(function string) bool {
	stacks := make([]byte, 1<<20)
	return strings.Contains(string(stacks[:runtime.Stack(stacks, true)]), function)
}

// Who listens for it on any node is told when another node leads, under every name that
// clients call the master.
func TestSwitchMasterIsTold(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, nodetest.Options{Nodes: 3})
	subs := make([]*nodetest.Client, 3)
	master := ""
	for i := range subs {
		addr := c.Dial(i).Do("SENTINEL", "get-master-addr-by-name", "service")
		master = string(addr.Elems[0].Str) + " " + string(addr.Elems[1].Str)
		subs[i] = c.Dial(i)
		subs[i].Do("SUBSCRIBE", "+switch-master")
	}
	gone := -1
	for i := range subs {
		if host, port, _ := net.SplitHostPort(c.Addr(i)); host+" "+port == master {
			gone = i
		}
	}
	if gone < 0 {
		t.Fatalf("%s is no node", master)
	}
	c.Stop(gone)
	for i, sub := range subs {
		if i == gone {
			continue
		}
		for _, name := range []string{"mymaster", "service", "test"} {
			v, err := sub.Receive()
			if err != nil {
				t.Fatal(err)
			}
			text := string(v.Elems[2].Str)
			if !strings.HasPrefix(text, name+" "+master+" ") || strings.HasSuffix(text, " "+master) {
				t.Errorf("node %d tells %q", i+1, text)
			}
		}
	}
}
