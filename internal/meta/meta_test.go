package meta

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"tutti/internal/cluster"
	"tutti/internal/keyspace"
)

// rows is a state of the meta shard.
type rows map[string][]byte

func (r rows) Get(row, dst []byte) ([]byte, bool, error) {
	v, ok := r[string(row)]
	return append(dst, v...), ok, nil
}

func (r rows) Iter(lower, upper []byte) (keyspace.Iterator, error) {
	it := &iterator{rows: r}
	for _, k := range slices.Sorted(maps.Keys(r)) {
		if k >= string(lower) && k < string(upper) {
			it.keys = append(it.keys, k)
		}
	}
	return it, nil
}

// iterator walks forward, which is all that Load does.
type iterator struct {
	rows rows
	keys []string
	at   int
}

func (it *iterator) First() bool          { it.at = 0; return it.at < len(it.keys) }
func (it *iterator) Next() bool           { it.at++; return it.at < len(it.keys) }
func (it *iterator) Last() bool           { panic("not walked backwards") }
func (it *iterator) Prev() bool           { panic("not walked backwards") }
func (it *iterator) SeekGE(_ []byte) bool { panic("not sought") }
func (it *iterator) SeekLT(_ []byte) bool { panic("not sought") }
func (it *iterator) Key() []byte          { return []byte(it.keys[it.at]) }
func (it *iterator) Value() []byte        { return it.rows[it.keys[it.at]] }
func (it *iterator) Close() error         { return nil }

// begun is the state of a cluster of two nodes with meta and one shard on both.
func begun(t *testing.T) rows {
	t.Helper()
	replicas := []cluster.Replica{{ID: 1, Node: 1}, {ID: 2, Node: 2}}
	m, err := cluster.NewMap(cluster.Map{Epoch: 1, Name: "c", Version: cluster.Newest, Policy: cluster.Policy{Manual: true},
		Members: []cluster.Member{{ID: 1, Version: cluster.Newest}, {ID: 2, Version: cluster.Newest}},
		Shards: []cluster.Shard{
			{Descriptor: cluster.Descriptor{ID: cluster.Meta, Generation: 1, Next: 3, Replicas: replicas}},
			{Descriptor: cluster.Descriptor{ID: 1, Slots: cluster.AllSlots, Generation: 1, Next: 3, Replicas: replicas}, Want: []cluster.Placement{{Node: 1}}},
		}})
	if err != nil {
		t.Fatal(err)
	}
	r := make(rows)
	for _, row := range Rows(m) {
		r[string(row.Key)] = row.Val
	}
	return r
}

// change runs f as one command and, unless it fails, applies its effects.
func (r rows) change(t *testing.T, f func(c *Change) error) error {
	t.Helper()
	tx := keyspace.NewTx(r, keyspace.Env{Databases: keyspace.NewDatabases()})
	c, err := Begin(tx)
	if err != nil {
		t.Fatal(err)
	}
	if err := f(c); err != nil {
		return err
	}
	tx.Effects(func(row, val []byte) { r[string(row)] = bytes.Clone(val) }, func(row []byte) { delete(r, string(row)) })
	return nil
}

func (r rows) load(t *testing.T) *cluster.Map {
	t.Helper()
	m, err := Load(r)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestChanges plays the life of a cluster: what is possible changes the map and
// raises its epoch, what is not changes nothing.
func TestChanges(t *testing.T) {
	r := begun(t)
	place := func(shard cluster.ShardID, want ...cluster.Placement) func(*Change) error {
		return func(c *Change) error { return c.Place(shard, want) }
	}
	member := func(x cluster.Member) func(*Change) error {
		return func(c *Change) error { _, err := c.SetMember(x); return err }
	}
	remove := func(id cluster.NodeID) func(*Change) error {
		return func(c *Change) error { return c.RemoveMember(id) }
	}
	report := func(generation uint64, nodes ...cluster.NodeID) func(*Change) error {
		return func(c *Change) error {
			d := cluster.Descriptor{ID: 1, Slots: cluster.AllSlots, Generation: generation, Next: 9}
			for i, n := range nodes {
				d.Replicas = append(d.Replicas, cluster.Replica{ID: cluster.ReplicaID(i + 3), Node: n})
			}
			_, err := c.Report(d)
			return err
		}
	}
	epoch := r.load(t).Epoch
	for _, c := range []struct {
		what  string
		f     func(*Change) error
		err   error
		moves uint64 // by how much the epoch grows
		check func(m *cluster.Map) bool
	}{
		{"a node joins", member(cluster.Member{Name: "n3", Version: cluster.Newest}), nil, 1,
			func(m *cluster.Map) bool { x, ok := m.Member(3); return ok && x.Name == "n3" }},
		{"one of a format that is not read any more", member(cluster.Member{Version: cluster.Newest - 1}), ErrNotAllowed, 0, nil},
		{"a change of nobody", member(cluster.Member{ID: 9, Version: cluster.Newest}), ErrNoMember, 0, nil},
		{"a node that has replicas leaves", remove(2), ErrInUse, 0, nil},
		{"nobody leaves", remove(9), ErrNoMember, 0, nil},
		{"a shard is to move", place(1, cluster.Placement{Node: 3}), nil, 1,
			func(m *cluster.Map) bool { s, _ := m.Shard(1); return len(s.Want) == 1 && s.Want[0].Node == 3 }},
		{"nobody would vote", place(1, cluster.Placement{Node: 3, Learner: true}), ErrNotAllowed, 0, nil},
		{"twice on one node", place(1, cluster.Placement{Node: 3}, cluster.Placement{Node: 3}), ErrNotAllowed, 0, nil},
		{"on no member", place(1, cluster.Placement{Node: 9}), ErrNoMember, 0, nil},
		{"no shard", place(9, cluster.Placement{Node: 3}), ErrNoShard, 0, nil},
		{"a node that is to have one leaves", remove(3), ErrInUse, 0, nil},
		{"it has moved", report(5, 3), nil, 1, func(m *cluster.Map) bool { return slices.Equal(m.Hosts(1), []cluster.NodeID{3}) }},
		{"what was before is told late", report(4, 1, 2), nil, 0, func(m *cluster.Map) bool { return slices.Equal(m.Hosts(1), []cluster.NodeID{3}) }},
		{"it may be where it is", place(1), nil, 1, func(m *cluster.Map) bool { s, _ := m.Shard(1); return len(s.Want) == 0 }},
		{"another node joins", member(cluster.Member{Version: cluster.Newest}), nil, 1, func(m *cluster.Map) bool { _, ok := m.Member(4); return ok }},
		{"and leaves", remove(4), nil, 1, func(m *cluster.Map) bool { _, ok := m.Member(4); return !ok }},
		{"its id is not given again", member(cluster.Member{Version: cluster.Newest}), nil, 1, func(m *cluster.Map) bool { _, ok := m.Member(5); return ok }},
	} {
		err := r.change(t, c.f)
		m := r.load(t)
		if !errors.Is(err, c.err) || err == nil && c.err != nil {
			t.Errorf("%s: %v, want %v", c.what, err, c.err)
		}
		if m.Epoch != epoch+c.moves {
			t.Errorf("%s: epoch %d after %d", c.what, m.Epoch, epoch)
		}
		if epoch = m.Epoch; c.check != nil && !c.check(m) {
			t.Errorf("%s: %+v", c.what, m)
		}
	}
}

// TestLoadRefuses tells rows of a later version from rows that can't be right.
func TestLoadRefuses(t *testing.T) {
	for _, c := range []struct {
		kind byte
		val  string
		want error
	}{{rowEpoch, "\x01short", cluster.ErrMap}, {rowEpoch, "\x02", cluster.ErrVersion}, {rowEpoch, "\x00\x00\x00\x00\x00\x00\x00\x00", cluster.ErrMap}, {rowVersion, "", cluster.ErrMap}, {rowVersion, "\x07later", cluster.ErrVersion}, {rowMember, "\x02later", cluster.ErrVersion}, {rowMember, "", cluster.ErrMap}, {rowShard, "\x02", cluster.ErrVersion}} {
		r := begun(t)
		r[string(keyspace.MetaRow(c.kind, bytes.Repeat([]byte{0xff}, 8)...))] = []byte(c.val)
		if _, err := Load(r); !errors.Is(err, c.want) || !strings.Contains(fmt.Sprint(err), "row") {
			t.Errorf("a row %q of %q: %v", c.kind, c.val, err)
		}
	}
	if _, err := Load(rows{}); !errors.Is(err, ErrNoMap) {
		t.Errorf("no rows: %v", err)
	}
	r := begun(t)
	r[string(keyspace.MetaRow('z'))] = []byte("of a later version")
	if m, err := Load(r); err != nil || len(m.Members) != 2 {
		t.Errorf("a kind of row that nobody knows: %v", err)
	}
}
