package node

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"tutti/internal/cluster"
	"tutti/internal/trust"
)

// cuts keeps the disk as a power cut at each operation would leave it.
type cuts struct {
	mem *vfs.MemFS

	mu   sync.Mutex // guards what follows: a store works on several goroutines
	rand *rand.Rand
	list []*vfs.MemFS
}

func newCuts(seed uint64) *cuts {
	return &cuts{mem: vfs.NewCrashableMem(), rand: rand.New(rand.NewPCG(seed, 1))}
}

// fs is the disk on which something is done once.
func (c *cuts) fs() vfs.FS {
	return errorfs.Wrap(c.mem, errorfs.InjectorFunc(func(errorfs.Op) error {
		c.mu.Lock()
		defer c.mu.Unlock()
		// Of what was not synced nothing is there, or some of it.
		cfg := vfs.CrashCloneCfg{RNG: c.rand}
		if len(c.list)%2 == 1 {
			cfg.UnsyncedDataPercent = 50
		}
		c.list = append(c.list, c.mem.CrashClone(cfg))
		return nil
	}))
}

// isolated is how a node is opened that speaks to nobody.
func isolated(t *testing.T, fs vfs.FS, dir string) Config {
	listen := func(string) (net.Listener, error) {
		ctx, cancel := context.WithCancel(t.Context())
		return nobody{ctx, cancel}, nil
	}
	return Config{Dir: dir, FS: fs, ListenClients: listen, ListenPeers: listen,
		DialPeer:   func(context.Context, Member) (net.Conn, error) { return nil, errors.New("nobody is there") },
		SecurePeer: func(context.Context, net.Conn) (net.Conn, cluster.NodeID, error) { return nil, 0, errors.New("nobody") }}
}

// opens opens a node and closes it.
func opens(t *testing.T, fs vfs.FS, dir string) error {
	n, err := Open(isolated(t, fs, dir))
	if err != nil {
		return err
	}
	return n.Close()
}

// openEvery is how many of the disks are opened as a node: each of them would
// take minutes. All are looked at.
const openEvery = 16

// TestInitSurvivesPowerCuts cuts the power at each operation of init, and runs it
// again: there is a whole node then, of this attempt or of the first.
func TestInitSurvivesPowerCuts(t *testing.T) {
	f := Founding{Place: Place{Dir: "/d/n", Peer: "p:1", Client: "c:1", Small: true}, Cluster: "red", Name: "ada"}
	c := newCuts(1)
	if err := Init(Config{FS: c.fs()}, f); err != nil {
		t.Fatal(err)
	}
	there := 0
	for i, disk := range append(c.list, c.mem) {
		if testing.Short() && i%openEvery != 0 && i < len(c.list)-openEvery {
			continue // one goroutine does it, and slowly under the race detector
		}
		err := Init(Config{FS: disk}, f)
		if errors.Is(err, ErrNodeThere) {
			there, err = there+1, nil
		}
		if err == nil {
			_, err = trust.Load(disk, f.Dir)
		}
		if err == nil && i%openEvery == 0 || i >= len(c.list)-openEvery {
			err = opens(t, disk, f.Dir)
		}
		if err != nil {
			t.Fatalf("power cut at operation %d of %d: %v", i+1, len(c.list), err)
		}
	}
	if there == 0 || there > len(c.list)/2 {
		t.Errorf("%d of %d disks had a node", there, len(c.list))
	}
}

// A name that nobody chose is the same in all attempts, and so is what is kept under it:
// the login. One that somebody chose is taken.
func TestInitKeepsTheNameItMadeUp(t *testing.T) {
	var asked []string
	try := func(fs vfs.FS, cluster string, madeUp, cut bool) error {
		return Init(Config{FS: fs}, Founding{Place: Place{Dir: "/n", Peer: "p:1", Client: "c:1", Small: true}, Cluster: cluster, Name: "ada", MadeUp: madeUp,
			Login: func(cluster string) (string, error) {
				asked = append(asked, cluster)
				if cut {
					return "", errors.New("cut off")
				}
				return "secret", nil
			}})
	}
	for _, x := range []struct {
		second string
		madeUp bool
		want   string
	}{{"blue", true, "red"}, {"blue", false, "blue"}, {"red", false, "red"}} {
		fs := vfs.NewMem()
		asked = nil
		if err := try(fs, "red", true, true); err == nil {
			t.Fatal("it was not cut off")
		}
		if err := try(fs, x.second, x.madeUp, false); err != nil {
			t.Fatal(err)
		}
		if s, err := ReadSelf(fs, "/n"); err != nil || s.Cluster != x.want || !slices.Equal(asked, []string{"red", x.want}) {
			t.Errorf("%+v: cluster %s, logins of %v, %v", x, s.Cluster, asked, err)
		}
	}
}

// TestJoinSurvivesPowerCuts cuts the power at each operation of a join, and runs
// it again: this machine becomes a node, and the same one once it has asked.
func TestJoinSurvivesPowerCuts(t *testing.T) {
	one, f := founded(t, "red")
	j := joining(t, f, token(t, one, "USES", "1000"), "two")
	j.Dir = "/d/n"
	c := newCuts(2)
	first, err := Join(t.Context(), Config{FS: c.fs()}, j)
	if err != nil {
		t.Fatal(err)
	}
	others := 0
	for i, disk := range append(c.list, c.mem) {
		if testing.Short() && i%4 != 0 && i < len(c.list)-openEvery {
			continue // one goroutine does it, and slowly under the race detector
		}
		again, err := Join(t.Context(), Config{FS: disk}, j)
		refused, _ := errors.AsType[*RefusedError](err)
		switch {
		case refused != nil && refused.Code() == "NAMETAKEN":
			// The key was not durable, so nobody had asked with it: here the first
			// attempt has gone on, and has the name.
			others++
			continue
		case errors.Is(err, ErrNodeThere):
			err = nil
		case err == nil && again.Self.Node != first.Self.Node:
			err = fmt.Errorf("joined as node %d, as node %d before", again.Self.Node, first.Self.Node)
		}
		if err == nil {
			_, err = trust.Load(disk, j.Dir)
		}
		if err == nil && i%openEvery == 0 || i >= len(c.list)-openEvery {
			err = opens(t, disk, j.Dir)
		}
		if err != nil {
			t.Fatalf("power cut at operation %d of %d: %v", i+1, len(c.list), err)
		}
	}
	if n := len(one.maps.Map().Members); n != 2 || others == 0 || others > len(c.list)/4 {
		t.Errorf("%d members; the key was not there on %d of %d disks", n, others, len(c.list))
	}
}

// TestFolderIsRefused makes a node where there is something else.
func TestFolderIsRefused(t *testing.T) {
	f := Founding{Place: Place{Dir: "/n", Peer: "p:1", Client: "c:1", Small: true}, Cluster: "red", Name: "ada"}
	complete := vfs.NewMem()
	if err := Init(Config{FS: complete}, f); err != nil {
		t.Fatal(err)
	}
	headless := vfs.NewMem()
	if err := Init(Config{FS: headless}, f); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{selfFile, selfFile + ".2"} {
		if err := headless.Remove("/n/" + name); err != nil {
			t.Fatal(err)
		}
	}
	foreign := vfs.NewMem()
	if err := foreign.MkdirAll("/n/photos", 0o755); err != nil {
		t.Fatal(err)
	}
	held := vfs.NewMem()
	if err := held.MkdirAll("/n", 0o755); err != nil {
		t.Fatal(err)
	}
	lock, err := held.Lock("/n/" + lockFile)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	for _, c := range []struct {
		what string
		fs   *vfs.MemFS
		want error
	}{
		{"a node", complete, ErrNodeThere},
		{"the data of a node that has lost its name", headless, ErrNotEmpty},
		{"something else", foreign, ErrNotEmpty},
		{"another process", held, ErrInUse},
	} {
		before := c.fs.String()
		if err := Init(Config{FS: c.fs}, f); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.what, err, c.want)
		}
		if after := c.fs.String(); c.what != "another process" && after != before {
			t.Errorf("%s: the folder has changed from\n%s\nto\n%s", c.what, before, after)
		}
	}
}

// TestOpeningEndsForming opens a node whose mark was not removed: it is never made
// again, even if it loses its name.
func TestOpeningEndsForming(t *testing.T) {
	f := Founding{Place: Place{Dir: "/n", Peer: "p:1", Client: "c:1", Small: true}, Cluster: "red", Name: "ada"}
	c := newCuts(3)
	if err := Init(Config{FS: c.fs()}, f); err != nil {
		t.Fatal(err)
	}
	marked := 0
	for _, disk := range c.list {
		if _, err := ReadSelf(disk, f.Dir); err != nil || !has(disk, f.Dir, formingFile) {
			continue
		}
		marked++
		if err := opens(t, disk, f.Dir); err != nil {
			t.Fatal(err)
		}
		if has(disk, f.Dir, formingFile) || has(disk, f.Dir, formingFile+".2") {
			t.Error("the mark is still there")
		}
	}
	if marked == 0 {
		t.Error("no disk had the mark and a whole node")
	}
}

// TestFailingDiskEndsForming has the disk fail while a node is made, in the file of
// ours that is written aside, and in one where Pebble ends the goroutine: that ends
// with an error, neither with the process nor never.
func TestFailingDiskEndsForming(t *testing.T) {
	for _, file := range []string{"vow", "MANIFEST"} {
		fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
			if (op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData) && strings.HasPrefix(path.Base(op.Path), file) {
				return syscall.EIO
			}
			return nil
		}))
		err := Form(fs, []string{"/d/n1"}, Formation{Cluster: "red", Members: []Member{{ID: 1, Peer: "a:1", Client: "a:2"}}, Small: true})
		if err == nil || !strings.Contains(err.Error(), syscall.EIO.Error()) {
			t.Errorf("the fsync of %s fails: %v", file, err)
		}
	}
}
