package node_test

import (
	"net"
	"strings"
	"testing"
	"time"

	"tutti/internal/node"
	"tutti/internal/node/nodetest"
)

// flood writes 24 MiB and removes all of it.
func flood(c *nodetest.Client) {
	value := strings.Repeat("v", 1<<20)
	for range 24 {
		c.Do("SET", "k", value)
	}
	c.Do("FLUSHALL")
}

// A node on which much was written gives memory and disk back by itself once nobody
// writes any more.
func TestQuietNodeGivesBack(t *testing.T) {
	freed := make(chan struct{}, 100)
	c := nodetest.Start(t, nodetest.Options{Configure: func(_ int, cfg *node.Config) {
		cfg.MemtableBytes, cfg.QuietAfter = 1<<20, 100*time.Millisecond
		cfg.Memory.Free = func(atOnce bool) {
			if !atOnce {
				return
			}
			select {
			case freed <- struct{}{}:
			default:
			}
		}
	}})
	client := c.Dial(0)
	flood(client)
	select {
	case <-freed:
	case <-time.After(30 * time.Second):
		t.Fatal("the node has given nothing back")
	}
	if got := client.Text("SET", "k", "again") + client.Text("GET", "k"); got != `OK"again"` {
		t.Errorf("afterwards: %s", got)
	}
}

// A node to which many clients have come gives the memory back that their beginning took,
// and not for each few.
func TestCrowdGivesBack(t *testing.T) {
	freed := make(chan struct{}, 100)
	c := nodetest.Start(t, nodetest.Options{Configure: func(_ int, cfg *node.Config) {
		cfg.QuietAfter = 100 * time.Millisecond
		cfg.Memory.Free = func(bool) { freed <- struct{}{} }
	}})
	come := func(n int) {
		for range n {
			conn, err := net.Dial("tcp", c.Addr(0))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = conn.Close() })
		}
	}
	come(500)
	select {
	case <-freed:
		t.Fatal("memory was given back for 500 clients")
	case <-time.After(time.Second):
	}
	come(600)
	select {
	case <-freed:
	case <-time.After(30 * time.Second):
		t.Fatal("1,100 clients came, and no memory was given back")
	}
}

// The process is told when somebody writes and when nobody does any more, each time anew.
func TestNodeTellsWhenItIsBusy(t *testing.T) {
	told := make(chan bool, 100)
	c := nodetest.Start(t, nodetest.Options{Configure: func(i int, cfg *node.Config) {
		cfg.MemtableBytes, cfg.QuietAfter = 1<<20, 100*time.Millisecond
		if i == 0 {
			cfg.Memory.Busy = func(is bool) { told <- is }
		}
	}})
	client := c.Dial(0)
	for range 2 {
		flood(client)
		for _, want := range []bool{true, false} {
			select {
			case is := <-told:
				if is != want {
					t.Fatalf("busy: %v", is)
				}
			case <-time.After(30 * time.Second):
				t.Fatalf("nobody was told that it is busy: %v", want)
			}
		}
	}
}

// MEMORY PURGE does so at once: of a log that was cut nothing is left on the disk.
func TestPurgeGivesBack(t *testing.T) {
	c := nodetest.Start(t, nodetest.Options{Configure: func(_ int, cfg *node.Config) {
		cfg.MemtableBytes, cfg.QuietAfter = 1<<20, time.Hour
	}})
	client := c.Dial(0)
	flood(client)
	if got := client.Text("MEMORY", "PURGE"); got != "OK" {
		t.Fatal(got)
	}
	if n := c.Disk(0, "log"); n > 16<<20 {
		t.Errorf("the log takes %d bytes of the disk", n)
	}
	if got := client.Text("SET", "k", "again") + client.Text("GET", "k"); got != `OK"again"` {
		t.Errorf("afterwards: %s", got)
	}
	c.Stop(0)
	c.Restart(0)
	if got := c.Dial(0).Text("GET", "k"); got != `"again"` {
		t.Errorf("after a restart: %s", got)
	}
}
