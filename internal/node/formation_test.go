package node

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"reflect"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"tutti/internal/keyspace"
	"tutti/internal/store"
)

// FuzzReadFormation reads any file as the formation of a node: what is taken
// reads the same after writing it, and divides the slots without gap or overlap.
func FuzzReadFormation(f *testing.F) {
	good := Formation{Cluster: "c", Node: 2, Shards: 3, Small: true,
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
	f.Add([]byte("{"))
	f.Fuzz(func(t *testing.T, b []byte) {
		mem := vfs.NewMem()
		if err := store.WriteTwice(mem, "/", formationFile, formationVersion, b); err != nil {
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
		if err := store.WriteTwice(mem, "/", formationFile, formationVersion, again); err != nil {
			t.Fatal(err)
		}
		if h, err := ReadFormation(mem, "/"); err != nil || !reflect.DeepEqual(g, h) {
			t.Errorf("%+v becomes %+v, %v", g, h, err)
		}
	})
}

var rewrite = flag.Bool("rewrite", false, "write the golden files of formats anew")

// TestGoldenFormation compares node.json with its bytes as the first version
// that writes them did: -rewrite after a new version of the format.
func TestGoldenFormation(t *testing.T) {
	mem := vfs.NewMem()
	f := Formation{Cluster: "c", Node: 2, Shards: 3, Small: true, Members: []Member{{1, "a:1", "a:2"}, {2, "b:1", "b:2"}}}
	if err := f.write(mem, "/"); err != nil {
		t.Fatal(err)
	}
	file, err := mem.Open("/" + formationFile)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	got, err := io.ReadAll(file)
	if err != nil {
		t.Fatal(err)
	}
	golden := fmt.Sprintf("testdata/%s.v%d", formationFile, formationVersion)
	if *rewrite {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil || string(got) != string(want) {
		t.Errorf("%s is %q, want %q, %v", formationFile, got, want, err)
	}
}
