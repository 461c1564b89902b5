package keyspace

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
)

// scanAll scans a database in the way of a client, with between called between
// two calls.
func scanAll(s *rowStore, first, end, count int, between func()) map[string]int {
	seen := make(map[string]int)
	for cursor := uint64(0); ; between() {
		tx := NewReadTx(s, Env{Databases: s.dbs})
		if cursor = tx.ScanKeys(0, first, end, cursor, count, func(key []byte, _ Type) { seen[string(key)]++ }); cursor == 0 {
			return seen
		}
	}
}

// TestScanKeys changes the database while it is scanned: what is there all the
// time is seen, and nothing else than what was there at some time.
func TestScanKeys(t *testing.T) {
	for seed := range uint64(8) {
		s := newRowStore(t)
		r := rand.New(rand.NewPCG(seed, 5))
		set := func(key string) {
			s.update(func(tx *Tx) { tx.SetString(0, []byte(key), tx.Open(0, []byte(key)), nil, 0) })
		}
		slots := []string{"", "{a}", "{b}", "{c}"}
		for i := range 120 {
			set(fmt.Sprintf("%sstay%d", slots[r.IntN(len(slots))], i))
		}
		stay := scanAll(s, 0, Slots, 1000, func() {})
		if len(stay) != 120 {
			t.Fatalf("%d keys", len(stay))
		}
		s.update(func(tx *Tx) { tx.SetString(1, []byte("{a}other"), nil, nil, 0) })
		seen := scanAll(s, 0, Slots, 1+r.IntN(20), func() {
			key := fmt.Sprintf("%scome%d", slots[r.IntN(len(slots))], r.IntN(50))
			if r.IntN(2) == 0 {
				set(key)
				return
			}
			s.update(func(tx *Tx) {
				if o := tx.Open(0, []byte(key)); o != nil {
					o.Delete()
				}
			})
		})
		for key := range stay {
			if seen[key] == 0 {
				t.Errorf("seed %d: %s was not seen", seed, key)
			}
		}
		for key := range seen {
			if stay[key] == 0 && !strings.Contains(key, "come") {
				t.Errorf("seed %d: %s was never there", seed, key)
			}
		}
	}
}

// TestScanKeysQuiet checks that an unchanged database is shown exactly once, in
// parts, and from a transaction with writes of its own.
func TestScanKeysQuiet(t *testing.T) {
	s := newRowStore(t)
	want := map[string]int{}
	add := func(tx *Tx, key string, n int) {
		tx.SetString(0, []byte(key), nil, nil, 0)
		want[key] = n
	}
	s.update(func(tx *Tx) {
		for i := range 100 {
			add(tx, fmt.Sprint("k", i), 1)
			add(tx, fmt.Sprint("{t}", i), 1)
		}
	})
	for _, count := range []int{1, 3, 10, 1000} {
		got := scanAll(s, 0, Slots, count, func() {})
		if !maps.Equal(got, want) {
			t.Errorf("count %d: %d keys, want %d once", count, len(got), len(want))
		}
		half := scanAll(s, 0, Slots/3, count, func() {})
		maps.Copy(half, scanAll(s, Slots/3, Slots, count, func() {}))
		if !maps.Equal(half, want) {
			t.Errorf("count %d in two shards: %d keys", count, len(half))
		}
	}
	for i := range 150 { // whichever is the last row
		key := fmt.Appendf(nil, "own%d", i)
		s.update(func(tx *Tx) {
			tx.SetString(0, key, nil, nil, 0)
			n := 0
			for cursor := uint64(0); ; {
				if cursor = tx.ScanKeys(0, 0, Slots, cursor, 50, func([]byte, Type) { n++ }); cursor == 0 {
					break
				}
			}
			if n != 201 {
				t.Fatalf("%s: %d keys", key, n)
			}
			tx.Open(0, key).Delete()
		})
	}
	tx := NewReadTx(s, Env{Databases: s.dbs})
	for _, cursor := range []uint64{1 << 63, ^uint64(0), Slots << 32} {
		if next := tx.ScanKeys(0, 0, Slots, cursor, 10, func([]byte, Type) { t.Error("a key") }); next != 0 {
			t.Errorf("cursor %x leads to %x", cursor, next)
		}
	}
}

// TestRandomKey checks that every key has a chance, in every range of slots.
func TestRandomKey(t *testing.T) {
	s := newRowStore(t)
	s.update(func(tx *Tx) {
		for i := range 300 {
			tx.SetString(0, fmt.Append(nil, "k", i), nil, nil, 0)
		}
		tx.SetString(0, []byte("gone"), nil, nil, 1)
	})
	for _, r := range [][2]int{{0, Slots}, {0, 5461}, {5461, 10922}, {10922, Slots}} {
		want, got := scanAll(s, r[0], r[1], 1000, func() {}), map[string]int{}
		delete(want, "gone")
		tx := NewReadTx(s, Env{Databases: s.dbs, Now: 5, Rand: s.rand.Uint64N})
		for range 30 * len(want) {
			got[string(tx.RandomKey(0, r[0], r[1]))]++
		}
		if a, b := slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)); !slices.Equal(a, b) {
			t.Errorf("slots %v: %v, want %v", r, a, b)
		}
	}
	tx := NewReadTx(s, Env{Databases: s.dbs, Now: 5, Rand: s.rand.Uint64N})
	if key := tx.RandomKey(1, 0, Slots); key != nil {
		t.Errorf("key %q in an empty database", key)
	}
}

// rows counts the rows of each kind.
func (s *rowStore) rows() string {
	it, err := s.Iter(SlotPrefix(nil, 0), SlotPrefix(nil, Slots))
	if err != nil {
		s.t.Fatal(err)
	}
	defer it.Close()
	kinds := map[byte]int{}
	for ok := it.First(); ok; ok = it.Next() {
		kinds[it.Key()[3]]++
	}
	var out []string
	for _, k := range slices.Sorted(maps.Keys(kinds)) {
		if k != kindGone {
			out = append(out, fmt.Sprintf("%c%d", k, kinds[k]))
		}
	}
	return strings.Join(out, " ")
}

// at runs f in a transaction at a time.
func (s *rowStore) at(now int64, f func(tx *Tx)) (deltas map[uint32]int64) {
	s.t.Helper()
	s.index++
	tx := NewTx(s, Env{Now: now, Applied: now, Index: s.index, Databases: s.dbs, Keys: func(uint32) (int64, error) { return 1000, nil },
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
	s.dbs = tx.Databases
	deltas = tx.KeyCounts()
	for pdb := range deltas {
		deltas[pdb] -= 1000
	}
	return deltas
}

func fill(tx *Tx, key string, typ Type, n int) {
	o := tx.New(0, []byte(key), typ)
	for i := range n {
		sub := fmt.Appendf(nil, "e%d", i)
		switch typ {
		case TypeList:
			o.PushTail(sub)
		case TypeZSet:
			o.AddMember(sub, float64(i%7))
		default:
			o.PutField(sub, nil)
		}
	}
	o.Save()
}

// TestExpire removes due keys in steps, and only those.
func TestExpire(t *testing.T) {
	s := newRowStore(t)
	slot := Slot([]byte("t"))
	deltas := s.at(0, func(tx *Tx) {
		for i := range 10 {
			tx.SetString(0, fmt.Append(nil, "{t}k", i), nil, []byte("v"), int64(100+i))
		}
		fill(tx, "{t}h", TypeHash, 100)
		tx.Open(0, []byte("{t}h")).SetExpire(50)
		tx.SetString(0, []byte("{t}moved"), nil, nil, 60)
		tx.Open(0, []byte("{t}moved")).SetExpire(500)
		tx.SetString(0, []byte("{t}kept"), nil, nil, 60)
		tx.Open(0, []byte("{t}kept")).SetExpire(0)
	})
	if deltas[0] != 13 {
		t.Errorf("%d keys were counted", deltas[0])
	}
	next := func() int64 {
		d, ok, err := NextDeadline(s, slot)
		if err != nil || !ok {
			t.Fatal(ok, err)
		}
		return d
	}
	if d := next(); d != 50 {
		t.Errorf("the next deadline is %d", d)
	}
	deltas = s.at(104, func(tx *Tx) {
		if n := tx.Expire(slot, 3); n != 3 {
			t.Errorf("%d keys expired", n)
		}
	})
	if d := next(); d != 102 || deltas[0] != -3 {
		t.Errorf("the next deadline is %d, %d keys counted", d, deltas[0])
	}
	s.at(104, func(tx *Tx) {
		if n := tx.Expire(slot, 100); n != 3 {
			t.Errorf("%d keys expired", n)
		}
	})
	if d := next(); d != 105 {
		t.Errorf("the next deadline is %d", d)
	}
	if got := s.rows(); got != "m7 x6" {
		t.Errorf("rows are %s", got)
	}
	var found []string
	err := Pending(s, 0, Slots, func(slot uint16, d int64) { found = append(found, fmt.Sprint(slot, d)) }, nil)
	if want := []string{fmt.Sprint(slot, 105)}; err != nil || !slices.Equal(found, want) {
		t.Errorf("pending is %v, %v", found, err)
	}
}

// TestPurgeTrash deletes big collections in steps and leaves nothing.
func TestPurgeTrash(t *testing.T) {
	s := newRowStore(t)
	types := []Type{TypeHash, TypeSet, TypeZSet, TypeList}
	s.at(0, func(tx *Tx) {
		for _, typ := range types {
			fill(tx, fmt.Sprint("big", typ), typ, 1000)
		}
		fill(tx, "stays", TypeZSet, 40)
	})
	before := s.rows()
	s.at(0, func(tx *Tx) {
		for _, typ := range types {
			tx.Open(0, fmt.Append(nil, "big", typ)).Delete()
		}
		if tx.Steps() > 100 {
			t.Errorf("deleting took %d steps", tx.Steps())
		}
	})
	if got := s.rows(); got != "g4 m1 s4040 z1040" || before != "m5 s4040 z1040" {
		t.Errorf("rows were %s and are %s", before, got)
	}
	type mark struct {
		slot uint16
		id   uint64
	}
	var marks []mark
	if err := Pending(s, 0, Slots, func(uint16, int64) {}, func(slot uint16, id uint64) { marks = append(marks, mark{slot, id}) }); err != nil || len(marks) != 4 {
		t.Fatalf("%d marks, %v", len(marks), err)
	}
	for _, m := range marks {
		for steps := 0; ; steps++ {
			gone := false
			s.at(0, func(tx *Tx) { gone, _ = tx.PurgeTrash(m.slot, m.id, 300) })
			if gone {
				break
			}
			if steps > 10 {
				t.Fatal("no end")
			}
		}
	}
	if got := s.rows(); got != "m1 s40 z40" {
		t.Errorf("rows are %s", got)
	}
	s.at(0, func(tx *Tx) {
		if gone, err := tx.PurgeTrash(marks[0].slot, marks[0].id, 10); !gone || err != nil || !tx.Empty() {
			t.Error("what is gone is purged again")
		}
	})
}

// TestPurgeDatabase flushes a database and removes its rows in steps; another
// database, and keys set after the flush, stay.
func TestPurgeDatabase(t *testing.T) {
	s := newRowStore(t)
	s.at(0, func(tx *Tx) {
		for i := range 300 {
			tx.SetString(0, fmt.Append(nil, "k", i), nil, nil, int64(1000+i))
		}
		fill(tx, "h", TypeHash, 100)
		fill(tx, "big", TypeList, 1000)
		tx.SetString(1, []byte("k1"), nil, nil, 0)
	})
	deltas := s.at(0, func(tx *Tx) {
		tx.FlushDatabase(0)
		if n := tx.KeyCount(0); n != 1000 { // of the new physical one, says the reader
			t.Errorf("%d keys after a flush", n)
		}
		tx.SetString(0, []byte("k1"), tx.Open(0, []byte("k1")), nil, 0)
	})
	if deltas[0] != -1000 || deltas[LogicalDatabases] != 1 {
		t.Errorf("counts change by %v", deltas)
	}
	old := s.dbs.Trash()[0]
	steps, next, done := 0, 0, false
	for ; !done; steps++ {
		deltas := s.at(0, func(tx *Tx) { next, done = tx.PurgeDatabase(old, next, Slots, 20) })
		if steps > 200 || len(deltas) > 0 {
			t.Fatalf("after %d steps at slot %d; counts change by %v", steps, next, deltas)
		}
	}
	if got := s.rows(); got != "g1 m2 s1000" {
		t.Errorf("rows after %d steps are %s", steps, got)
	}
}

// TestKeyVersion follows what WATCH compares: it changes with every change,
// and an absent key has no ABA hole.
func TestKeyVersion(t *testing.T) {
	s := newRowStore(t)
	key := []byte("k")
	version := func() (v uint64, exists bool) {
		return NewReadTx(s, Env{Databases: s.dbs}).KeyVersion(0, key)
	}
	if v, exists := version(); v != 0 || exists {
		t.Errorf("version %d, %v", v, exists)
	}
	set := func() { s.at(0, func(tx *Tx) { tx.SetString(0, key, tx.Open(0, key), nil, 0) }) }
	set()
	first, exists := version()
	if !exists {
		t.Error("not there")
	}
	s.at(0, func(tx *Tx) { tx.Open(0, key).Delete() })
	gone, exists := version()
	if gone <= first || exists {
		t.Errorf("gone at %d, %v", gone, exists)
	}
	set()
	s.at(0, func(tx *Tx) { tx.Open(0, key).Delete() })
	if again, _ := version(); again <= gone {
		t.Errorf("gone at %d again", again)
	}
}
