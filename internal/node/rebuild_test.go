package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"tutti/internal/cluster"
	"tutti/internal/durable"
	"tutti/internal/store"
)

// nobody is a listener to which nobody connects.
type nobody struct {
	closed context.Context
	close  context.CancelFunc // any number of times
}

func (n nobody) Accept() (net.Conn, error) { <-n.closed.Done(); return nil, net.ErrClosed }
func (n nobody) Close() error              { n.close(); return nil }
func (n nobody) Addr() net.Addr            { return &net.TCPAddr{} }

// formed makes the nodes of a cluster and returns how to open the first one.
func formed(t *testing.T, nodes int) (*vfs.MemFS, Config) {
	t.Helper()
	fs := vfs.NewCrashableMem()
	f := Formation{Cluster: "test", Shards: 1, Small: true}
	var dirs []string
	for i := range nodes {
		f.Members = append(f.Members, Member{ID: cluster.NodeID(i + 1), Peer: "p:1", Client: "c:1"})
		dirs = append(dirs, fmt.Sprint("/n", i+1))
	}
	if err := Form(fs, dirs, f); err != nil {
		t.Fatal(err)
	}
	listen := func(string) (net.Listener, error) {
		ctx, cancel := context.WithCancel(t.Context())
		return nobody{ctx, cancel}, nil
	}
	return fs, Config{Dir: "/n1", FS: fs, ListenClients: listen, ListenPeers: listen,
		DialPeer:   func(context.Context, Member) (net.Conn, error) { return nil, errors.New("nobody is there") },
		SecurePeer: func(context.Context, net.Conn) (net.Conn, cluster.NodeID, error) { return nil, 0, errors.New("nobody") }}
}

// cutLog takes all that is in the write-ahead log of node 1.
func cutLog(t *testing.T, fs *vfs.MemFS) {
	t.Helper()
	names, err := fs.List("/n1/log")
	for _, name := range names {
		if err == nil && strings.HasSuffix(name, ".log") {
			err = durable.Replace(fs, "/n1/log/"+name, nil, 0)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

func exists(fs vfs.FS, name string) bool {
	_, err := fs.Stat(name)
	return err == nil
}

// TestRebuildOrNot opens a node whose log was lost: one of three starts anew,
// one of fewer keeps what it has and says what is wrong.
func TestRebuildOrNot(t *testing.T) {
	for _, c := range []struct {
		nodes int
		want  bool
	}{{1, false}, {2, false}, {3, true}} {
		t.Run(fmt.Sprint(c.nodes, " nodes"), func(t *testing.T) {
			fs, cfg := formed(t, c.nodes)
			cutLog(t, fs)
			n, err := Open(cfg)
			if !c.want {
				if !errors.Is(err, ErrDamaged) || exists(fs, "/n1/damaged") || exists(fs, "/n1/damaged-0") || !exists(fs, "/n1/log") {
					t.Errorf("opening says %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if n.count.Generation != 1 || !exists(fs, "/n1/damaged-0/log") || exists(fs, "/n1/damaged") {
				t.Errorf("generation %d after opening", n.count.Generation)
			}
			if err := n.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestGoneIsRefused does not take a missing store, or missing counters, for
// damage. One copy of the counters is enough.
func TestGoneIsRefused(t *testing.T) {
	for _, names := range [][]string{{"log"}, {"state"}, {"vow"}, {"counters", "counters.2"}} {
		t.Run(names[0], func(t *testing.T) {
			fs, cfg := formed(t, 3)
			for _, name := range names {
				if err := fs.RemoveAll("/n1/" + name); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := Open(cfg); err == nil || errors.Is(err, ErrDamaged) || exists(fs, "/n1/damaged-0") || !strings.Contains(err.Error(), "there is no "+names[0]) {
				t.Errorf("opening says %v", err)
			}
		})
	}
}

// rot makes copies of a small file of node 1 what nobody wrote.
func rot(t *testing.T, fs vfs.FS, names ...string) {
	t.Helper()
	for _, name := range names {
		if err := durable.Replace(fs, "/n1/"+name, make([]byte, 28), 0); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRottenCounters opens a node whose counters were hit: in one copy it goes
// on, in both it begins anew with numbers that it can't have used, if there are
// others to learn from.
func TestRottenCounters(t *testing.T) {
	for _, c := range []struct {
		nodes   int
		rotten  []string
		refused bool
		rebuilt bool
	}{
		{1, []string{"counters"}, false, false},
		{1, []string{"counters", "counters.2"}, true, false},
		{3, []string{"counters.2"}, false, false},
		{3, []string{"counters", "counters.2"}, false, true},
	} {
		t.Run(fmt.Sprint(c.nodes, c.rotten), func(t *testing.T) {
			fs, cfg := formed(t, c.nodes)
			for round := range uint64(3) {
				rot(t, fs, c.rotten...)
				n, err := Open(cfg)
				if c.refused {
					if err == nil || !strings.Contains(err.Error(), "both copies of /n1/counters are damaged, and shards of 1 replicas can't") || exists(fs, "/n1/damaged") {
						t.Errorf("opening says %v", err)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				switch {
				case !c.rebuilt && (n.count.Generation != 0 || n.count.Incarnation != round+1):
					t.Errorf("generation %d, start %d", n.count.Generation, n.count.Incarnation)
				case c.rebuilt && (n.count.Generation < (round+1)<<32 || n.count.Incarnation < 1<<31 || exists(fs, "/n1/damaged") || exists(fs, "/n1/damaged.2")):
					t.Errorf("generation %d, start %d", n.count.Generation, n.count.Incarnation)
				}
				if err := n.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// TestRottenSelf opens a node whose node.json or map was hit: in one copy it is
// written again, in both it says what helps.
func TestRottenSelf(t *testing.T) {
	fs, cfg := formed(t, 3)
	for range 2 {
		for _, name := range []string{"node.json", "map", "node.json.2", "map.2"} {
			rot(t, fs, name)
			n, err := Open(cfg)
			if err != nil {
				t.Fatal(err)
			}
			if err := n.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	for name, helps := range map[string]string{"node.json": restoreSelf, "map": restoreMap} {
		fs, cfg := formed(t, 3)
		rot(t, fs, name, name+".2")
		if _, err := Open(cfg); err == nil || !strings.Contains(err.Error(), "both copies of /n1/"+name+" are damaged") || !strings.Contains(err.Error(), helps) {
			t.Errorf("opening says %v", err)
		}
	}
}

// TestLaterVersionIsNotDamage meets files of a later version: the node says so,
// and leaves them as they are.
func TestLaterVersionIsNotDamage(t *testing.T) {
	for _, name := range []string{"counters", "starts", "node.json", "map"} {
		t.Run(name, func(t *testing.T) {
			fs, cfg := formed(t, 3)
			if err := store.WriteTwice(fs, "/n1", name, 2, []byte("what later versions write")); err != nil {
				t.Fatal(err)
			}
			_, err := Open(cfg)
			if !errors.Is(err, cluster.ErrVersion) || errors.Is(err, ErrDamaged) || exists(fs, "/n1/damaged") {
				t.Errorf("opening says %v", err)
			}
			if got, err := store.ReadTwice(fs, "/n1", name, 2); err != nil || got.Version != 2 {
				t.Errorf("the file is now %+v, %v", got, err)
			}
		})
	}
}

// TestMarkOnlyDamage marks a node that stops itself for a rebuild if its data is
// damaged, not if its disk fails: that would be rebuilt onto the same disk.
func TestMarkOnlyDamage(t *testing.T) {
	for _, c := range []struct {
		err  error
		want bool
	}{
		{fmt.Errorf("write raft log: %w", &os.PathError{Op: "sync", Path: "000004.log", Err: syscall.EIO}), false},
		{errors.New("the replicas differ"), false},
		{fmt.Errorf("scrub: %w", store.ErrDamaged), true},
	} {
		fs, cfg := formed(t, 3)
		var failed error
		cfg.Failed = func(err error) { failed = err }
		n, err := Open(cfg)
		if err != nil {
			t.Fatal(err)
		}
		n.fatal(c.err)
		if !errors.Is(failed, c.err) || exists(fs, "/n1/damaged") != c.want {
			t.Errorf("%v: the node failed with %v, marked %v", c.err, failed, exists(fs, "/n1/damaged"))
		}
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	}
}
