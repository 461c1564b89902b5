package cluster

import (
	"encoding/hex"
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

func testMap(t testing.TB) *Map {
	m, err := NewMap(Map{Epoch: 7, Name: "c", Version: 1, Policy: Policy{Manual: true, DeadAfter: 90 * time.Second}, Trust: 3,
		Members: []Member{
			{ID: 2, Name: "b", Zone: "z2", Peer: "b:1", Client: "b:2", Role: Gateway, Version: 1},
			{ID: 1, Name: "a", Zone: "z1", Peer: "a:1", Client: "a:2", State: Draining, Version: 1}},
		Shards: []Shard{
			{Descriptor: Descriptor{ID: 1, Slots: SlotRange{0, 100}, Generation: 3, Next: 9, Replicas: []Replica{{ID: 1, Node: 1}, {ID: 8, Node: 2, Data: 4, Part: Learner}}}},
			{Descriptor: Descriptor{ID: 0, Generation: 1, Next: 2, Replicas: []Replica{{ID: 1, Node: 1}}}, Want: []Placement{{Node: 1}, {Node: 2, Learner: true}}},
			{Descriptor: Descriptor{ID: 5, Slots: SlotRange{100, Slots}, Generation: 1, Next: 2, Replicas: []Replica{{ID: 1, Node: 2}}}},
		}})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestGolden keeps the bytes of the format: whoever changes them gives the
// record another version.
func TestGolden(t *testing.T) {
	const name = "testdata/map.v1.hex"
	got := hex.EncodeToString(testMap(t).Encode(nil))
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatalf("%v; the bytes are now %s", err, got)
	}
	if got != strings.TrimSpace(string(want)) {
		t.Errorf("the record of a map is %s, in %s it is %s", got, name, want)
	}
	b, err := hex.DecodeString(strings.TrimSpace(string(want)))
	if err != nil {
		t.Fatal(err)
	}
	if m, err := DecodeMap(b); err != nil || !reflect.DeepEqual(m, testMap(t)) {
		t.Errorf("%s reads as %+v, %v", name, m, err)
	}
}

func TestLaterVersion(t *testing.T) {
	b := testMap(t).Encode(nil)
	b[0]++
	if _, err := DecodeMap(b); !errors.Is(err, ErrVersion) || errors.Is(err, ErrMap) || !strings.Contains(err.Error(), "version 2") {
		t.Errorf("a map of version 2: %v", err)
	}
	b[0] = 0
	if _, err := DecodeMap(b); !errors.Is(err, ErrMap) {
		t.Errorf("a map of version 0: %v", err)
	}
}

func TestMapFinds(t *testing.T) {
	m := testMap(t)
	for slot, want := range map[uint16]ShardID{0: 1, 99: 1, 100: 5, Slots - 1: 5} {
		if s := m.Owner(slot); s == nil || s.ID != want {
			t.Errorf("slot %d is shard %v's, want %d", slot, s, want)
		}
	}
	if s := m.Single(); s != nil {
		t.Errorf("shard %d has all slots", s.ID)
	}
	if x, ok := m.Member(2); !ok || x.Name != "b" {
		t.Errorf("member 2 is %+v, %v", x, ok)
	}
	if _, ok := m.Member(3); ok {
		t.Error("there is a member 3")
	}
	if d := m.Data(); len(d) != 2 || d[0].ID != 1 || d[1].ID != 5 {
		t.Errorf("shards with slots: %+v", d)
	}
	next, err := m.Change(func(next *Map) { next.SetMember(Member{ID: 3, Version: 1}) })
	if err != nil || next.Epoch != 8 || len(next.Members) != 3 || len(m.Members) != 2 {
		t.Errorf("changed to %+v, %v", next, err)
	}
	if _, err := m.Change(func(next *Map) {
		next.SetShard(Shard{Descriptor: Descriptor{ID: 6, Slots: SlotRange{50, 60}, Next: 1}})
	}); !errors.Is(err, ErrMap) {
		t.Errorf("two shards with one slot: %v", err)
	}
}

func TestHolder(t *testing.T) {
	m := testMap(t)
	var saved int
	fail := errors.New("no disk")
	h := NewHolder(m, func(b []byte) error {
		if saved++; saved == 2 {
			return fail
		}
		return nil
	})
	var seen []uint64
	h.Changed(func(m *Map) { seen = append(seen, m.Epoch) })
	change := func(m *Map) *Map {
		next, err := m.Change(func(*Map) {})
		if err != nil {
			t.Fatal(err)
		}
		return next
	}
	newer := change(m)
	for _, c := range []struct {
		m    *Map
		took bool
		err  error
	}{{m, false, nil}, {newer, true, nil}, {m, false, nil}, {newer, false, nil}, {change(newer), false, fail}, {change(change(newer)), true, nil}} {
		if took, err := h.Replace(c.m); took != c.took || !errors.Is(err, c.err) {
			t.Errorf("epoch %d: %v, %v", c.m.Epoch, took, err)
		}
	}
	if !reflect.DeepEqual(seen, []uint64{8, 10}) || h.Map().Epoch != 10 {
		t.Errorf("seen %v, holds %d", seen, h.Map().Epoch)
	}
}

func FuzzDecodeMap(f *testing.F) {
	f.Add(testMap(f).Encode(nil))
	f.Add([]byte{1, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := DecodeMap(b)
		if err != nil {
			if !errors.Is(err, ErrMap) && !errors.Is(err, ErrVersion) {
				t.Errorf("%v", err)
			}
			return
		}
		again, err := DecodeMap(m.Encode(nil))
		if err != nil || !reflect.DeepEqual(m, again) {
			t.Errorf("%+v becomes %+v, %v", m, again, err)
		}
		for slot := range uint16(Slots) {
			if s := m.Owner(slot); s != nil && !s.Slots.Has(slot) {
				t.Fatalf("slot %d is shard %d's, which has %v", slot, s.ID, s.Slots)
			}
		}
	})
}
