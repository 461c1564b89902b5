package node

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"tutti/internal/cluster"
	"tutti/internal/store"
	"tutti/internal/trust"
)

// FuzzReadSelf reads any file as who a node is: what is taken reads the same
// after writing it.
func FuzzReadSelf(f *testing.F) {
	good := Self{Cluster: "c", Node: 2, Peer: "a:1", Client: "a:2", Small: true, Via: map[cluster.NodeID]string{1: "b:1"}}
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
	f.Add([]byte("{"))
	f.Fuzz(func(t *testing.T, b []byte) {
		mem := vfs.NewMem()
		if err := store.WriteTwice(mem, "/", selfFile, selfVersion, b); err != nil {
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

// TestDamagedIdentity damages the certificate on a simulated disk: one copy is
// mended, without any the node says so and does not run.
func TestDamagedIdentity(t *testing.T) {
	fs, cfg := formed(t, 1)
	for _, names := range [][]string{{trust.NodeFile}, {trust.NodeFile + ".2"}, {trust.NodeFile, trust.NodeFile + ".2"}} {
		rot(t, fs, names...)
		n, err := Open(cfg)
		if len(names) == 2 {
			if !errors.Is(err, trust.ErrDamaged) || !strings.Contains(err.Error(), "/n1/"+trust.NodeFile) {
				t.Errorf("opened: %v, %v", n != nil, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := n.Close(); err != nil {
			t.Error(err)
		}
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

var rewrite = flag.Bool("rewrite", false, "write the golden files of formats anew")

// TestGoldenFiles compares node.json and map with their bytes as the first
// version that writes them did: -rewrite after a new version of a format.
func TestGoldenFiles(t *testing.T) {
	mem := vfs.NewMem()
	self := Self{Cluster: "c", Node: 2, Peer: "a:1", Client: "a:2", Small: true, Via: map[cluster.NodeID]string{1: "b:1"}}
	m, err := Formation{Cluster: "c", Version: cluster.V3, Members: []Member{{ID: 1}, {ID: 2}}}.Map()
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(self.write(mem, "/"), writeMap(mem, "/", m.Encode(nil))); err != nil {
		t.Fatal(err)
	}
	for name, version := range map[string]int{selfFile: selfVersion, mapFile: mapVersion} {
		file, err := mem.Open("/" + name)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(file)
		if err := errors.Join(err, file.Close()); err != nil {
			t.Fatal(err)
		}
		golden := fmt.Sprintf("testdata/%s.v%d", name, version)
		if *rewrite {
			if err := os.WriteFile(golden, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil || string(got) != string(want) {
			t.Errorf("%s is %q, want %q, %v", name, got, want, err)
		}
	}
}
