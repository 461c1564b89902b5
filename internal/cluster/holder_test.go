package cluster

import (
	"testing"
)

// shards makes a map's Data readable: the slots of each shard with some.
func shards(m *Map) (list map[ShardID]SlotRange) {
	list = make(map[ShardID]SlotRange)
	for _, s := range m.Data() {
		list[s.ID] = s.Slots
	}
	return list
}

// TestRoutes takes over what shards say of themselves before the map knows it:
// only what they do not own any more, and never less new than what is known.
func TestRoutes(t *testing.T) {
	m := testMap(t) // shard 1 has the slots before 100, shard 5 the rest
	h := NewHolder(m, func([]byte) error { return nil })
	said := func(id ShardID, generation uint64, first, end int) {
		s, _ := m.Shard(id)
		d := s.Descriptor
		d.Slots, d.Generation = SlotRange{first, end}, generation
		h.Learn(d)
	}
	waits := func() bool {
		select {
		case <-h.Next():
			return false
		default:
			return true
		}
	}
	one, _ := m.Shard(1)
	next := h.Next()
	said(1, one.Generation, 0, 10)
	if h.Routes() != m || !waits() {
		t.Error("an older descriptor was taken over")
	}
	said(1, one.Generation+2, 0, 50)
	said(1, one.Generation+1, 0, 70)
	said(9, 1, 0, 100) // nobody knows it
	select {
	case <-next:
	default:
		t.Error("nobody was told of the change")
	}
	if got := shards(h.Routes()); got[1] != (SlotRange{0, 50}) || got[5] != (SlotRange{100, Slots}) || h.Routes().Owner(60) != nil || h.Map() != m {
		t.Errorf("routes %v, map %v", got, shards(h.Map()))
	}
	// What another shard has in the map stays with it.
	five, _ := m.Shard(5)
	said(5, five.Generation+1, 20, Slots)
	if got := shards(h.Routes()); got[5] != (SlotRange{100, Slots}) {
		t.Errorf("routes %v", got)
	}
	// A newer map that does not know yet either changes nothing; one that does is
	// the truth.
	change := func(f func(next *Map)) {
		t.Helper()
		newer, err := h.Map().Change(f)
		if err != nil {
			t.Fatal(err)
		}
		if took, err := h.Replace(newer); !took || err != nil {
			t.Fatal(took, err)
		}
	}
	change(func(*Map) {})
	if got := shards(h.Routes()); got[1] != (SlotRange{0, 50}) || h.Routes().Epoch != h.Map().Epoch {
		t.Errorf("routes %v", got)
	}
	change(func(next *Map) {
		one.Slots, one.Generation = SlotRange{0, 50}, one.Generation+2
		five.Slots, five.Generation = SlotRange{50, Slots}, five.Generation+1
		next.SetShard(one)
		next.SetShard(five)
	})
	if h.Routes() != h.Map() || h.Routes().Owner(60).ID != 5 {
		t.Errorf("routes %v", shards(h.Routes()))
	}
}

func TestCommonSlots(t *testing.T) {
	for _, c := range []struct{ a, b, want SlotRange }{
		{SlotRange{0, 10}, SlotRange{5, 20}, SlotRange{5, 10}},
		{SlotRange{0, 10}, SlotRange{10, 20}, SlotRange{}},
		{AllSlots, SlotRange{3, 4}, SlotRange{3, 4}},
		{AllSlots, SlotRange{}, SlotRange{}},
	} {
		if got, back := c.a.Common(c.b), c.b.Common(c.a); got != c.want || back != c.want {
			t.Errorf("%v and %v have %v and %v, want %v", c.a, c.b, got, back, c.want)
		}
	}
}
