package node

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"tutti/internal/keyspace"
	"tutti/internal/store"
	"tutti/internal/trust"
)

// TestFormKeepsTheAuthority has each of the nodes that were formed sign a node
// that was not, whose peers then know it.
func TestFormKeepsTheAuthority(t *testing.T) {
	dir := t.TempDir()
	dirs := []string{filepath.Join(dir, "1"), filepath.Join(dir, "2")}
	f := Formation{Cluster: "c", Small: true, Members: []Member{{1, "a:1", "a:2"}, {2, "b:1", "b:2"}}}
	if err := Form(vfs.Default, dirs, f); err != nil {
		t.Fatal(err)
	}
	for i, dir := range dirs {
		for _, name := range []string{trust.AuthorityKeyFile, trust.NodeKeyFile} {
			if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode() != 0o600 {
				t.Errorf("%s of node %d: %v", name, i+1, err)
			}
		}
		ca, err := trust.LoadCA(vfs.Default, dir)
		if err != nil {
			t.Fatalf("node %d: %v", i+1, err)
		}
		r, err := trust.NewRequest(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		_, node, err := ca.Sign(r.Bytes(), 3, time.Now(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		one, err := trust.Load(vfs.Default, dirs[0])
		if err != nil {
			t.Fatal(err)
		}
		roots, _, _, err := one.PEM()
		if err != nil {
			t.Fatal(err)
		}
		if three, err := r.Identity(roots, node); err != nil || three.String() != "tutti://c/node/3" {
			t.Errorf("node 1 does not know what node %d signed: %v, %v", i+1, three, err)
		}
	}
}

// FuzzReadFormation reads any file as the formation of a node: what is taken
// reads the same after writing it, and divides the slots without gap or overlap.
func FuzzReadFormation(f *testing.F) {
	good := Formation{Format: formationFormat, Cluster: "c", Node: 2, Shards: 3, Small: true,
		Members: []Member{{1, "a:1", "a:2"}, {2, "b:1", "b:2"}}}
	add := func(change func(f *Formation)) {
		g := good
		change(&g)
		b, err := json.Marshal(g)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	add(func(*Formation) {})
	add(func(g *Formation) { g.Shards = 1 << 50 })
	add(func(g *Formation) { g.Shards = -1 })
	add(func(g *Formation) { g.Node = 3 })
	add(func(g *Formation) { g.Members = nil })
	add(func(g *Formation) { g.Members = []Member{{ID: 2}, {ID: 2}} })
	add(func(g *Formation) { g.Members = []Member{{ID: 1 << 16}, {ID: 2}} })
	add(func(g *Formation) { g.Format = 2 })
	f.Add([]byte("{"))
	f.Fuzz(func(t *testing.T, b []byte) {
		mem := vfs.NewMem()
		if err := store.WriteFile(mem, "/"+formationFile, b); err != nil {
			t.Fatal(err)
		}
		g, err := ReadFormation(mem, "/")
		if err != nil {
			return
		}
		if _, ok := g.member(g.Node); !ok {
			t.Errorf("node %d is not among %v", g.Node, g.Members)
		}
		next := 0
		for _, s := range g.shards() {
			if s.Slots.First != next || s.Slots.End <= next {
				t.Fatalf("%d shards: %+v", g.Shards, s)
			}
			next = s.Slots.End
		}
		if next != keyspace.Slots {
			t.Errorf("%d slots of %d have a shard", next, keyspace.Slots)
		}
		again, err := json.Marshal(g)
		if err != nil {
			t.Fatal(err)
		}
		if err := store.WriteFile(mem, "/"+formationFile, again); err != nil {
			t.Fatal(err)
		}
		if h, err := ReadFormation(mem, "/"); err != nil || !reflect.DeepEqual(g, h) {
			t.Errorf("%+v becomes %+v, %v", g, h, err)
		}
	})
}

// TestDamagedIdentity flips a bit of the certificate on a simulated disk: the
// node says so and does not run.
func TestDamagedIdentity(t *testing.T) {
	fs, cfg := formed(t, 1)
	name := fs.PathJoin(cfg.Dir, trust.NodeFile)
	f, err := fs.OpenReadWrite(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, 200); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 4
	if _, err := f.WriteAt(b, 200); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if n, err := Open(cfg); !errors.Is(err, trust.ErrDamaged) || !strings.Contains(err.Error(), name) {
		t.Errorf("opened: %v, %v", n != nil, err)
	}
}

// TestEntropy opens a node whose numbers come from the source it was given.
func TestEntropy(t *testing.T) {
	_, cfg := formed(t, 1)
	cfg.Entropy = strings.NewReader("short")
	if n, err := Open(cfg); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("opened: %v, %v", n != nil, err)
	}
}
