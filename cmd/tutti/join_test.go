package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// cluster of processes that init and join have made.
type joinedCluster struct {
	dir   string
	base  int // port for clients of the first node
	procs []*running
}

func (c *joinedCluster) addr(i int) string { return fmt.Sprintf("127.0.0.1:%d", c.base+i) }

func (c *joinedCluster) folder(i int) string { return filepath.Join(c.dir, fmt.Sprint(i+1)) }

func (c *joinedCluster) peer(i int) string {
	return fmt.Sprintf("127.0.0.1:%d", c.base+i+peerPortOffset)
}

// initialized runs init and returns the token that it prints.
func initialized(t *testing.T) (*joinedCluster, string) {
	t.Helper()
	c := &joinedCluster{dir: t.TempDir(), base: freeBase(t, 5)}
	c.procs = append(c.procs, launch(t, t.TempDir(), "init", "--dir", c.folder(0), "--listen", c.addr(0), "--name", "red", "--node", "ada", "--log", "warn"))
	fields := strings.Fields(c.procs[0].line(t, "tutti join "+c.peer(0)+" --token "))
	return c, fields[len(fields)-1]
}

// join runs join for the next node, and waits until it has joined.
func (c *joinedCluster) join(t *testing.T, token string) {
	t.Helper()
	i := len(c.procs)
	p := launch(t, t.TempDir(), "join", c.peer(0), "--token", token, "--dir", c.folder(i), "--listen", c.addr(i), "--log", "warn")
	c.procs = append(c.procs, p)
	p.line(t, fmt.Sprintf("joined red as node %d (%s), authority verified by the token", i+1, c.peer(i)))
}

// ask runs a command through node i until it is answered without an error.
func (c *joinedCluster) ask(t *testing.T, i int, args ...string) string {
	t.Helper()
	var r result
	eventually(t, func() error {
		if r = tutti(t, "", append([]string{"cli", "--addr", c.addr(i)}, args...)...); r.code != 0 {
			return fmt.Errorf("%v: %s%s", args, r.out, r.errors)
		}
		return nil
	})
	return strings.TrimSpace(r.out)
}

// TestInitAndJoin makes a cluster of three machines as a user does, and loses
// the one that began it.
func TestInitAndJoin(t *testing.T) {
	c, token := initialized(t)
	c.join(t, token)
	c.join(t, token)
	eventually(t, func() error {
		r := tutti(t, "", "status", "--addr", c.addr(2))
		if !strings.Contains(r.out, "Healthy. Survives the loss of any 1 of 3 nodes") {
			return fmt.Errorf("%s%s", r.out, r.errors)
		}
		return nil
	})
	c.ask(t, 0, "SET", "greeting", "hello")
	c.procs[0].signal(t, syscall.SIGKILL)
	c.procs[0].ends(t)
	if got := c.ask(t, 2, "GET", "greeting"); got != "hello" {
		t.Errorf("node 3 reads %q", got)
	}
	// It comes back by the command that made it.
	c.procs[0] = launch(t, t.TempDir(), "init", "--dir", c.folder(0), "--listen", c.addr(0), "--log", "warn")
	c.procs[0].line(t, "cluster red is here already; started on ada")
	if got := c.ask(t, 0, "GET", "greeting"); got != "hello" {
		t.Errorf("node 1 reads %q", got)
	}
}
