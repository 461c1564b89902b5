package sim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"tutti/internal/cluster"
	"tutti/internal/node"
)

// cut takes the power of node i and with it all that was not synced.
func cut(c *Cluster, i int) {
	c.Net.Down(c.Name(i), false)
	c.end(i, func(d *disk) *vfs.MemFS { return d.crash(c.Rand, 0) })
}

// A node comes back on an old image of its disk, after everyone has lost power
// since, so that nobody has its newest start in memory. The image has forgotten
// what it promised: it must not take part, whether it is one start old or more.
// It is told so, ends before it can be started so often that it counts as newer,
// and comes back with its data made anew.
func TestOldDiskImageIsRefused(t *testing.T) {
	for starts := 1; starts <= 2; starts++ {
		t.Run(fmt.Sprint(starts), func(t *testing.T) {
			bubble(t, Options{Seed: 95, Expect: "the data of this node is an old copy"}, func(t *testing.T, c *Cluster) {
				old := c.WaitLeader(1)%3 + 1
				k := c.Client("").At(old%3 + 1)
				defer k.Close()
				k.Must("SET", "a", "1")
				m := c.machine(old)
				image := m.disk.crash(c.Rand, 100)
				for range starts {
					cut(c, old)
					c.Start(old)
					time.Sleep(6 * time.Second) // its old connections must first be found dead
				}
				k.Must("SET", "a", "2")
				for i := 1; i <= 3; i++ {
					cut(c, i)
				}
				m.disk = newDisk(image, m.gate, &m.room)
				m.rotten = "its disk is an old copy"
				for i := 1; i <= 3; i++ {
					c.Start(i)
				}
				time.Sleep(2 * time.Second)
				refused := 0
				for i := 1; i <= 3; i++ {
					if i != old {
						refused += c.Logged(i, "restored from an old copy")
					}
				}
				if ended := c.Reap(); refused < 2 || len(ended) != 1 || ended[0] != old {
					t.Fatalf("the old image was refused %d times, ended: %v", refused, ended)
				}
				k.Close()
				if got := Text(k.Must("GET", "a")); got != "2" {
					t.Errorf("a is %s", got)
				}
				// The others have no majority without each other: the image gives none.
				other, third := old%3+1, (old+1)%3+1
				cut(c, other)
				k.Close()
				k.At(third)
				k.Timeout = 20 * time.Second
				if v, err := k.Do("SET", "a", "3"); err == nil && !v.IsError() {
					t.Error("a write was acknowledged with the old image as the majority")
				}
				c.Start(other)
				c.Start(old)
				c.Attend(20 * time.Second)
				c.WaitEqual(10 * time.Second)
				s, err := Verdict(c, old)
				if err != nil || !healthy(s) || s.Generation == 0 || s.Damage != "" {
					t.Fatalf("made anew: generation %d, damage %q, %s, %v", s.Generation, s.Damage, s.Verdict, err)
				}
				cut(c, other) // and counts for the majority again
				k.Must("SET", "a", "4")
			})
		})
	}
}

// openClone starts a node on a copy of a machine's disk, on a host of its own at
// addresses that nobody knows.
func openClone(t *testing.T, c *Cluster, m *machine, d *disk, failed func(error), log io.Writer) *node.Node {
	t.Helper()
	c.Net.Up("clone")
	clone, err := node.Open(node.Config{Dir: m.dir, FS: d.fs(), Logger: slog.New(slog.NewTextHandler(log, nil)),
		ListenClients: func(string) (net.Listener, error) { return c.Net.Listen("clone:2") },
		ListenPeers:   func(string) (net.Listener, error) { return c.Net.Listen("clone:1") },
		DialPeer:      func(ctx context.Context, to node.Member) (net.Conn, error) { return c.Net.Dial(ctx, m.name, to.Peer) },
		SecurePeer: func(_ context.Context, conn net.Conn) (net.Conn, cluster.NodeID, error) {
			var id uint64
			_, err := fmt.Sscanf(conn.(*Conn).remote, "n%d", &id)
			return conn, cluster.NodeID(id), err
		},
		Failed: failed})
	if err != nil {
		t.Fatal(err)
	}
	return clone
}

// A clone of a node's disk is started on another machine while the node runs:
// it is refused as long as the node talks, and the node goes on. Who runs the clone
// is told why nobody speaks to it, when it ends by itself, and who runs the cluster
// where it is.
func TestCloneIsRefused(t *testing.T) {
	bubble(t, Options{Seed: 97}, func(t *testing.T, c *Cluster) {
		two := c.WaitLeader(1)%3 + 1
		k := c.Client("").At(two)
		defer k.Close()
		k.Must("SET", "a", "1")
		m := c.machine(two)
		disk := newDisk(m.disk.crash(c.Rand, 100), newGate(), &room{})
		var log tail
		why := make(chan error, 1)
		clone := openClone(t, c, m, disk, func(err error) { why <- err }, &log)
		for i := range 200 {
			k.Must("SET", "a", fmt.Sprint(i))
			time.Sleep(50 * time.Millisecond)
		}
		select {
		case err := <-why:
			if e, ok := errors.AsType[*node.CloneError](err); !ok || int(e.Node) != two {
				t.Errorf("the clone ended with %v", err)
			}
		default:
			t.Error("the clone goes on, ten seconds after its start")
		}
		for i := 1; i <= 3; i++ {
			if n := c.Logged(i, "comes while start"); i != two && n == 0 {
				t.Errorf("node %d has not refused the clone", i)
			}
			if s, err := Verdict(c, i); i != two && (err != nil || !strings.Contains(fmt.Sprint(s.Safety.Problems), fmt.Sprintf("a second process comes as node %d, from ", two))) {
				t.Errorf("the status of node %d has %+v, %v", i, s.Safety, err)
			}
		}
		told, err := clone.Verdict(t.Context(), 0)
		if err != nil || strings.Count(fmt.Sprint(told.Problems), "another process runs as this node") != 2 || strings.Count(log.String(), "two processes run as one node") != 2 {
			t.Errorf("the clone is told %+v, %v, and logs\n%s", told.Problems, err, log.String())
		}
		if err := clone.Close(); err != nil {
			t.Error(err)
		}
		c.WaitEqual(5 * time.Second)
		time.Sleep(5 * time.Second)
		for i := 1; i <= 3; i++ {
			if s, err := Verdict(c, i); err != nil || len(s.Safety.Problems) > 0 {
				t.Errorf("the clone is gone, and the status of node %d has %+v, %v", i, s.Safety, err)
			}
		}
	})
}

// An old copy of a node's folder is started at another address while the node is
// down: nobody dials that address, and the links of those who refuse it lead to
// where the node was. It is told all the same, on the connections that it opens, and
// ends; nothing of the cluster changes, and the node itself comes back as it was.
func TestOldCopyElsewhereIsToldWhy(t *testing.T) {
	bubble(t, Options{Seed: 98}, func(t *testing.T, c *Cluster) {
		two := c.WaitLeader(1)%3 + 1
		k := c.Client("").At(two%3 + 1)
		defer k.Close()
		k.Must("SET", "a", "1")
		m := c.machine(two)
		disk := newDisk(m.disk.crash(c.Rand, 100), newGate(), &room{})
		cut(c, two)
		c.Start(two)
		time.Sleep(6 * time.Second) // all have heard of the new start
		k.Must("SET", "a", "2")
		c.Stop(two)
		c.Net.Up(m.name) // names are addresses here: the copy dials under that of its node
		why := make(chan error, 1)
		clone := openClone(t, c, m, disk, func(err error) { why <- err }, io.Discard)
		select {
		case err := <-why:
			if _, ok := errors.AsType[*node.OldCopyError](err); !ok || !strings.Contains(err.Error(), "knows start 2 of it, and this is another one") {
				t.Errorf("the copy ended with %v", err)
			}
		case <-time.After(10 * time.Second):
			t.Error("nobody told the copy why it is refused")
		}
		if err := clone.Close(); err != nil {
			t.Error(err)
		}
		c.Start(two)
		c.WaitEqual(10 * time.Second)
		time.Sleep(3 * time.Second)
		if s, err := Verdict(c, two); err != nil || !healthy(s) || s.Generation != 0 {
			t.Errorf("the node is back: %s, generation %d, %v", s.Verdict, s.Generation, err)
		}
	})
}
