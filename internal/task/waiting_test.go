package task

import (
	"maps"
	"slices"
	"testing"
	"time"

	"tutti/internal/keyspace"
)

// lying is the rows of a shard in their order as they were when it was made; what is
// deleted later is stepped over. It counts the rows that are read.
type lying struct {
	memory
	keys           []string
	lookups, steps int
}

func lie(m memory) *lying { return &lying{memory: m, keys: slices.Sorted(maps.Keys(m))} }

func (l *lying) Get(row, dst []byte) ([]byte, bool, error) {
	l.lookups++
	return l.memory.Get(row, dst)
}

func (l *lying) Iter(lower, upper []byte) (keyspace.Iterator, error) {
	from, _ := slices.BinarySearch(l.keys, string(lower))
	to, _ := slices.BinarySearch(l.keys, string(upper))
	return &lyingIter{memoryIter{m: l.memory, keys: l.keys[from:to], at: -1}, l}, nil
}

type lyingIter struct {
	memoryIter
	of *lying
}

// settle steps over rows that are gone.
func (i *lyingIter) settle(ok bool) bool {
	for ; ok; ok = i.memoryIter.Next() {
		i.of.steps++
		if _, there := i.m[string(i.Key())]; there {
			return true
		}
	}
	return false
}

func (i *lyingIter) First() bool            { return i.settle(i.memoryIter.First()) }
func (i *lyingIter) Next() bool             { return i.settle(i.memoryIter.Next()) }
func (i *lyingIter) SeekGE(row []byte) bool { return i.settle(i.memoryIter.SeekGE(row)) }

// What a claim reads, and what a leader remembers of a queue, does not grow with the
// tasks that wait in it: each task is stepped to once in its list, and once for its state
// and its payload; and next to nothing is looked up.
func TestManyWaitingCostNoMore(t *testing.T) {
	const waiting, perClaim, claims = 200_000, 100, 100
	s := newShard(t)
	for range waiting / PayloadsMax {
		s.add(PayloadsMax, DefaultOptions())
	}
	s.elect()
	state := lie(s.rows)
	for range claims {
		s.index++
		tx := keyspace.NewTx(state, keyspace.Env{Now: s.now, Applied: s.now, Index: s.index, Databases: s.dbs, Rand: s.rand.Uint64N})
		s.lead.Batch(state, s.term, s.mono)
		c := Begin(tx, s.lead)
		got := c.Claim(someone, time.Hour, perClaim, [][]byte{work})
		c.End()
		if len(got) != perClaim {
			t.Fatalf("claimed %d", len(got))
		}
		s.apply(tx)
	}
	page := s.lead.lanes(work).lane[DefaultOptions().Prio]
	t.Logf("%.2f rows looked up and %.2f stepped to for a task; %d remembered", float64(state.lookups)/claims/perClaim, float64(state.steps)/claims/perClaim, len(page.page))
	if most := 4 * claims; state.lookups > most {
		t.Errorf("%d rows looked up for %d claims, at most %d", state.lookups, claims, most)
	}
	if most := 3*(claims*perClaim+pageMax) + 4*claims; state.steps > most {
		t.Errorf("%d rows stepped to for %d tasks, at most %d", state.steps, claims*perClaim, most)
	}
	if len(page.page) > pageMax || cap(page.page) > 2*pageMax {
		t.Errorf("%d tasks of the queue are remembered, with room for %d", len(page.page), cap(page.page))
	}
}
