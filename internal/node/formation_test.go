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

	"tutti/internal/cluster"
	"tutti/internal/store"
	"tutti/internal/trust"
)

// TestFormKeepsTheAuthority has each of the nodes that were formed sign a node
// that was not, whose peers then know it.
func TestFormKeepsTheAuthority(t *testing.T) {
	dir := t.TempDir()
	dirs := []string{filepath.Join(dir, "1"), filepath.Join(dir, "2")}
	f := Formation{Cluster: "c", Small: true, Members: []Member{{ID: 1, Peer: "a:1", Client: "a:2"}, {ID: 2, Peer: "b:1", Client: "b:2"}}}
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

// FuzzReadSelf reads any file as who a node is: what is taken reads the same
// after writing it.
func FuzzReadSelf(f *testing.F) {
	good := Self{Format: selfFormat, Cluster: "c", Node: 2, Peer: "a:1", Client: "a:2", Small: true, Via: map[cluster.NodeID]string{1: "b:1"}}
	add := func(change func(s *Self)) {
		s := good
		change(&s)
		b, err := json.Marshal(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	add(func(*Self) {})
	add(func(s *Self) { s.Node = 0 })
	add(func(s *Self) { s.Node = 1 << 16 })
	add(func(s *Self) { s.Format = 3 })
	f.Add([]byte("{"))
	f.Fuzz(func(t *testing.T, b []byte) {
		mem := vfs.NewMem()
		if err := store.WriteFile(mem, "/"+selfFile, b); err != nil {
			t.Fatal(err)
		}
		s, err := ReadSelf(mem, "/")
		if err != nil {
			return
		}
		if s.Node == 0 || s.Node > cluster.NodeMax {
			t.Errorf("node %d", s.Node)
		}
		if err := s.write(mem, "/"); err != nil {
			t.Fatal(err)
		}
		if again, err := ReadSelf(mem, "/"); err != nil || !reflect.DeepEqual(s, again) {
			t.Errorf("%+v becomes %+v, %v", s, again, err)
		}
	})
}

// TestFormationMap divides the slots without gap or overlap, and puts a replica
// of every shard on every node.
func TestFormationMap(t *testing.T) {
	for _, shards := range []int{0, 1, 3, 16, cluster.Slots} {
		m, err := Formation{Cluster: "c", Shards: shards, Members: []Member{{ID: 1}, {ID: 2}}}.Map()
		if err != nil {
			t.Fatal(err)
		}
		next := 0
		for _, s := range m.Data() {
			if s.Slots.First != next || s.Slots.Empty() || len(s.Nodes()) != 2 {
				t.Fatalf("%d shards: %+v", shards, s)
			}
			next = s.Slots.End
		}
		if s, ok := m.Shard(cluster.Meta); next != cluster.Slots || len(m.Data()) != max(shards, 1) || !ok || !s.Slots.Empty() {
			t.Errorf("%d shards: %d slots, %d shards, meta %+v", shards, next, len(m.Data()), s)
		}
	}
	for _, f := range []Formation{{Shards: cluster.Slots + 1, Members: []Member{{ID: 1}}}, {Shards: -1}, {Members: []Member{{ID: 2}, {ID: 2}}}, {Members: []Member{{ID: 1 << 16}}}} {
		if m, err := f.Map(); err == nil {
			t.Errorf("%+v: %+v", f, m)
		}
	}
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
