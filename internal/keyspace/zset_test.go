package keyspace

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// rowStore applies the effects of transactions to a store in memory.
type rowStore struct {
	t     testing.TB
	db    *pebble.DB
	dbs   *Databases
	id    uint64
	index uint64
	rand  *rand.Rand
}

func newRowStore(t testing.TB) *rowStore {
	db, err := pebble.Open("", &pebble.Options{FS: vfs.NewMem(), DisableWAL: true, Logger: quiet{}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return &rowStore{t: t, db: db, dbs: NewDatabases(), rand: rand.New(rand.NewPCG(1, 1))}
}

type quiet struct{}

func (quiet) Infof(string, ...any)      {}
func (quiet) Errorf(string, ...any)     {}
func (quiet) Fatalf(f string, a ...any) { panic(fmt.Sprintf(f, a...)) }

func (s *rowStore) Get(row, dst []byte) ([]byte, bool, error) {
	v, closer, err := s.db.Get(row)
	if errors.Is(err, pebble.ErrNotFound) {
		return dst, false, nil
	}
	if err != nil {
		return dst, false, err
	}
	defer closer.Close()
	return append(dst, v...), true, nil
}

func (s *rowStore) Iter(lower, upper []byte) (Iterator, error) {
	return s.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
}

// update runs f in a transaction and applies it.
func (s *rowStore) update(f func(tx *Tx)) {
	s.t.Helper()
	s.index++
	tx := NewTx(s, Env{Index: s.index, Databases: s.dbs, Keys: func(uint32) (int64, error) { return 0, nil },
		NewID: func() uint64 { s.id++; return s.id }, Rand: s.rand.Uint64N})
	f(tx)
	if err := tx.Err(); err != nil {
		s.t.Fatal(err)
	}
	w := s.db.NewBatch()
	tx.Effects(func(row, val []byte) { _ = w.Set(row, val, nil) }, func(row []byte) { _ = w.Delete(row, nil) })
	if err := w.Commit(pebble.NoSync); err != nil {
		s.t.Fatal(err)
	}
}

// openZSet returns the sorted set "z", new if it is absent.
func openZSet(tx *Tx) *Object {
	if o := tx.Open(0, []byte("z")); o != nil {
		return o
	}
	return tx.New(0, []byte("z"), TypeZSet)
}

func collect(each func(f func(member []byte, score float64) bool)) (ms []ZMember) {
	each(func(member []byte, score float64) bool {
		ms = append(ms, ZMember{bytes.Clone(member), score})
		return true
	})
	return ms
}

func sameMembers(a, b []ZMember) bool {
	return slices.EqualFunc(a, b, func(a, b ZMember) bool { return a.Compare(b) == 0 })
}

// testCut is a cut and what it means.
type testCut struct {
	cut    ZCut
	before func(m ZMember) bool // the member lies before the cut
}

// randomCut returns a cut among the members that randomMember makes up.
func randomCut(r *rand.Rand) testCut {
	m := randomMember(r)
	switch r.IntN(8) {
	case 0:
		return testCut{BeforeScore(m.Score), func(e ZMember) bool { return e.Score < m.Score }}
	case 1:
		return testCut{AfterScore(m.Score), func(e ZMember) bool { return e.Score <= m.Score }}
	case 2:
		return testCut{BeforeScore(math.Inf(-1)), func(ZMember) bool { return false }}
	case 3:
		return testCut{AfterScore(math.Inf(1)), func(ZMember) bool { return true }}
	case 4, 5:
		return testCut{BeforeMember(m.Score, m.Member), func(e ZMember) bool { return e.Compare(m) < 0 }}
	}
	return testCut{AfterMember(m.Score, m.Member), func(e ZMember) bool { return e.Compare(m) <= 0 }}
}

func randomMember(r *rand.Rand) ZMember {
	score := float64(r.IntN(9)-4) / 2
	if r.IntN(30) == 0 {
		score = math.Inf(1 - 2*r.IntN(2))
	}
	return ZMember{bytes.Repeat([]byte{byte(r.IntN(256))}, r.IntN(4)), score}
}

// change does one random thing to a sorted set and to the slice that models it.
func change(r *rand.Rand, o *Object, model []ZMember) []ZMember {
	switch op := r.IntN(20); {
	case op < 12:
		m := randomMember(r)
		old, found := o.Score(m.Member)
		if found {
			o.MoveMember(m.Member, old, m.Score)
		} else {
			o.AddMember(m.Member, m.Score)
		}
		model = slices.DeleteFunc(model, func(e ZMember) bool { return bytes.Equal(e.Member, m.Member) })
		model = append(model, m)
		slices.SortFunc(model, ZMember.Compare)
	case op < 15:
		m := randomMember(r)
		if len(model) > 0 && r.IntN(2) == 0 {
			m = model[0]
		}
		o.DeleteMember(m.Member)
		model = slices.DeleteFunc(model, func(e ZMember) bool { return bytes.Equal(e.Member, m.Member) })
	case op < 18 && len(model) > 0:
		n := min(1+r.IntN(3), len(model))
		if r.IntN(3) > 0 {
			o.PopMembers(n, false)
			return model[n:]
		}
		o.PopMembers(n, true)
		model = model[:len(model)-n]
	case op == 18 && len(model) > 0 && r.IntN(3) == 0:
		first := r.IntN(len(model))
		last := min(first+r.IntN(9), len(model)-1)
		o.DeleteRanks(first, last)
		model = slices.Delete(model, first, last+1)
	case op == 19 && r.IntN(4) == 0:
		from, to := randomCut(r), randomCut(r)
		o.DeleteRange(ZRange{from.cut, to.cut})
		model = slices.DeleteFunc(model, func(e ZMember) bool { return !from.before(e) && to.before(e) })
	}
	return model
}

// checkRange compares every way to look at a random range with the model.
func checkRange(t *testing.T, r *rand.Rand, o *Object, model []ZMember) {
	t.Helper()
	from, to := randomCut(r), randomCut(r)
	var want []ZMember
	for _, m := range model {
		if !from.before(m) && to.before(m) {
			want = append(want, m)
		}
	}
	z := ZRange{from.cut, to.cut}
	if got := o.CountRange(z); got != len(want) {
		t.Fatalf("%v: count %d, want %d", z, got, len(want))
	}
	for _, reverse := range []bool{false, true} {
		got := collect(func(f func([]byte, float64) bool) { o.EachMember(z, reverse, f) })
		if !sameMembers(got, want) {
			t.Fatalf("%v, reverse %v:\n got %v\nwant %v", z, reverse, got, want)
		}
		slices.Reverse(want)
	}
	if len(model) == 0 {
		return
	}
	first := r.IntN(len(model))
	last := first + r.IntN(len(model)-first)
	got := collect(func(f func([]byte, float64) bool) { o.EachRank(first, last, false, f) })
	if !sameMembers(got, model[first:last+1]) {
		t.Fatalf("ranks %d to %d: %v", first, last, got)
	}
	turned := slices.Clone(model)
	slices.Reverse(turned)
	got = collect(func(f func([]byte, float64) bool) { o.EachRank(first, last, true, f) })
	if !sameMembers(got, turned[first:last+1]) {
		t.Fatalf("ranks %d to %d from the end: %v", first, last, got)
	}
	if rank, score, ok := o.Rank(model[last].Member); !ok || rank != last || score != model[last].Score {
		t.Fatalf("rank of %v: %d, score %v, %v; want %d", model[last], rank, score, ok, last)
	}
}

// TestZSetModel changes a sorted set at random, several times per transaction,
// and compares what it holds with a sorted slice.
func TestZSetModel(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 0))
		s := newRowStore(t)
		var model []ZMember
		for range 200 {
			s.update(func(tx *Tx) {
				for range 1 + r.IntN(4) {
					o := openZSet(tx)
					for range 1 + r.IntN(3+20*int(seed%3)) {
						model = change(r, o, model)
						if len(model) == 0 {
							break // an emptied object can only be saved
						}
					}
					o.Save()
					checkRange(t, r, openZSet(tx), model)
				}
			})
			s.update(func(tx *Tx) {
				o := openZSet(tx)
				if o.Len() != len(model) {
					t.Fatalf("seed %d: %d members, want %d", seed, o.Len(), len(model))
				}
				if o.rowed && floatOfOrdered(o.head) != model[0].Score {
					t.Fatalf("seed %d: head is %v, first score %v", seed, floatOfOrdered(o.head), model[0].Score)
				}
				for range 4 {
					checkRange(t, r, o, model)
				}
			})
		}
	}
}

// TestZSetDrained checks that nothing is left of a sorted set whose last
// members were popped.
func TestZSetDrained(t *testing.T) {
	s := newRowStore(t)
	s.update(func(tx *Tx) {
		o := openZSet(tx)
		for i := range 100 {
			o.AddMember(fmt.Appendf(nil, "m%d", i), float64(i))
		}
		o.Save()
	})
	for range 10 {
		s.update(func(tx *Tx) {
			o := openZSet(tx)
			o.PopMembers(10, false)
			o.Save()
		})
	}
	it, err := s.Iter(SlotPrefix(nil, 0), SlotPrefix(nil, Slots))
	if err != nil {
		t.Fatal(err)
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		if it.Key()[3] != kindGone {
			t.Errorf("row %q is left", it.Key())
		}
	}
}

// BenchmarkZSetQueue takes the first member of a long queue and puts another
// at its end. The cost must not grow with what was taken before.
func BenchmarkZSetQueue(b *testing.B) {
	s := newRowStore(b)
	n := 0
	push := func(o *Object) {
		o.AddMember(fmt.Appendf(nil, "job%d", n), float64(n))
		n++
	}
	s.update(func(tx *Tx) {
		o := openZSet(tx)
		for range 10_000 {
			push(o)
		}
		o.Save()
	})
	b.ReportAllocs()
	for b.Loop() {
		s.update(func(tx *Tx) {
			o := openZSet(tx)
			o.PopMembers(1, false)
			push(o)
			o.Save()
		})
	}
}
