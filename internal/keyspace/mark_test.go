package keyspace

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"
)

// snapshot is all that a mark must bring back.
type snapshot struct {
	rows   txModel
	size   int
	counts map[uint32]int64
	dbs    *Databases
}

// TestMarksNest does random things between marks up to eight deep, takes some
// back, and compares all that can be seen with copies that were made at each mark.
func TestMarksNest(t *testing.T) {
	s := newRowStore(t)
	s.update(func(tx *Tx) {
		for i := range 20 {
			tx.Put([]byte{'a' + byte(i%6), byte(i)}, []byte("base"))
		}
	})
	base := txModel{}
	it := NewReadTx(s, Env{}).Iter([]byte{0}, []byte{0xff})
	for ok := it.First(); ok; ok = it.Next() {
		base[string(it.Key())] = string(it.Value())
	}
	it.Close()
	keys := func(pdb uint32) (int64, error) { return int64(pdb), nil }
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 8))
		env := Env{Databases: s.dbs, Keys: keys}
		tx := NewTx(s, env)
		now := snapshot{maps.Clone(base), 0, map[uint32]int64{}, s.dbs}
		var marks []Mark
		var copies []snapshot
		for step := range 400 {
			switch op := r.IntN(20); {
			case op < 7:
				row, val := randomRow(r), bytes.Repeat([]byte{'v'}, r.IntN(4)*r.IntN(40))
				tx.Put(row, val)
				now.rows[string(row)] = string(val)
			case op < 11:
				row := randomRow(r)
				tx.Delete(row)
				delete(now.rows, string(row))
			case op < 12:
				pdb, d := uint32(r.IntN(3)), r.Int64N(5)-2
				tx.count(pdb, d)
				now.counts[pdb] += d
			case op < 13:
				now.dbs = tx.Databases.Flush(uint8(r.IntN(3)))
				tx.SetDatabases(now.dbs)
			case op < 16 && len(marks) < 8:
				marks = append(marks, tx.Mark())
				copies = append(copies, snapshot{maps.Clone(now.rows), tx.Size(), maps.Clone(now.counts), now.dbs})
			case op < 18 && len(marks) > 0: // to any of them, not only the last
				i := r.IntN(len(marks))
				tx.Rollback(marks[i])
				c := copies[i]
				now = snapshot{maps.Clone(c.rows), c.size, maps.Clone(c.counts), c.dbs}
				if tx.Size() != c.size {
					t.Fatalf("seed %d, step %d: %d bytes after going back, %d before", seed, step, tx.Size(), c.size)
				}
				marks, copies = marks[:i+1], copies[:i+1]
			case op < 19 && len(marks) > 0:
				i := r.IntN(len(marks))
				tx.Release(marks[i])
				marks, copies = marks[:i], copies[:i]
			}
			want := tx.Size()
			if len(copies) > 0 {
				want -= copies[0].size
			}
			if tx.Written() != want {
				t.Fatalf("seed %d, step %d: written %d, want %d since the outermost of %d marks", seed, step, tx.Written(), want, len(marks))
			}
			if step%20 == 0 {
				checkMarked(t, fmt.Sprintf("seed %d, step %d", seed, step), r, tx, base, now)
			}
		}
		checkMarked(t, fmt.Sprintf("seed %d", seed), r, tx, base, now)
		for _, m := range marks[:min(1, len(marks))] {
			tx.Release(m)
		}
		if len(tx.undo) > 0 {
			t.Fatalf("seed %d: %d values kept without a mark", seed, len(tx.undo))
		}
	}
}

func checkMarked(t *testing.T, when string, r *rand.Rand, tx *Tx, base txModel, want snapshot) {
	t.Helper()
	checkEffects(t, tx, base, want.rows)
	walk(t, r, tx, want.rows)
	if tx.Databases != want.dbs {
		t.Fatalf("%s: other databases", when)
	}
	for pdb, n := range want.counts {
		if got, changed := tx.KeyCounts()[pdb]; changed != (n != 0) || changed && got != int64(pdb)+n {
			t.Fatalf("%s: %d keys in database %d, changed %v, want %+d", when, got, pdb, changed, n)
		}
	}
}

// What is undone is told to nobody.
func TestRollbackTakesEventsBack(t *testing.T) {
	tx := NewTx(emptyReader{}, Env{Databases: NewDatabases(), Events: EventString})
	tx.Notify(EventString, "set", 0, []byte("a"))
	mark, size := tx.Mark(), tx.Size()
	Publish(tx, Published, []byte("channel"), []byte("message"))
	tx.Notify(EventString, "set", 0, []byte("b"))
	tx.Notify(EventList, "lpush", 0, []byte("c")) // which nobody wants
	if got := EventBytes(tx); got != 2*eventBytes+1 {
		t.Errorf("the events since the mark take %d bytes", got)
	}
	tx.Rollback(mark)
	if got := EventBytes(tx); got != 0 {
		t.Errorf("those that were taken back take %d bytes", got)
	}
	tx.Release(mark)
	if list := tx.TakeEvents(); len(list) != 1 || list[0].Key != "a" {
		t.Errorf("%v", list)
	}
	if tx.Size() != size {
		t.Errorf("%d bytes, %d before what was taken back", tx.Size(), size)
	}
}

// TestRowsAreRememberedOnce has one transaction write the same rows and counts again and
// again, each time behind a mark of its own, as the calls of a script do: what it remembers
// grows with the rows, not with the calls.
func TestRowsAreRememberedOnce(t *testing.T) {
	s := newRowStore(t)
	tx := NewTx(s, Env{Databases: s.dbs, Keys: func(uint32) (int64, error) { return 0, nil }})
	for i := range 10 {
		tx.Put([]byte{'a', byte(i)}, []byte("before"))
	}
	script, size := tx.Mark(), tx.Size()
	for call := range 10_000 {
		mark := tx.Mark()
		for _, kind := range "ab" { // there before the script, and not
			tx.Put([]byte{byte(kind), byte(call % 10)}, fmt.Append(nil, call))
		}
		tx.count(uint32(call%countsNear), 1)
		if call%7 == 0 {
			tx.Rollback(mark)
		}
		tx.Release(mark)
	}
	if n := len(tx.undo); n > 10*countsNear {
		t.Errorf("%d values are remembered of 10 rows and %d databases", n, countsNear)
	}
	tx.Rollback(script)
	tx.Release(script)
	for i := range 10 {
		if v, is := tx.Get([]byte{'a', byte(i)}, nil); !is || string(v) != "before" {
			t.Errorf("row %d is %q, %v behind the script that was taken back", i, v, is)
		}
	}
	if tx.Size() != size || len(tx.KeyCounts()) != 0 {
		t.Errorf("%d bytes and counts of %v behind it, want %d and none", tx.Size(), tx.KeyCounts(), size)
	}
}
