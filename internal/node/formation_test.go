package node

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"tutti/internal/keyspace"
	"tutti/internal/store"
)

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
