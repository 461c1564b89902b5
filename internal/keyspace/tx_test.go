package keyspace

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2"
)

// txModel is what a transaction should see: a sorted map.
type txModel map[string]string

func (m txModel) keys(lower, upper string) []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(m)), func(k string) bool { return k < lower || k >= upper })
}

func randomRow(r *rand.Rand) []byte {
	row := []byte{'a' + byte(r.IntN(6))}
	for range r.IntN(3) {
		row = append(row, "ab\x00\xff"[r.IntN(4)])
	}
	return row
}

// TestTx does random things to a transaction and to a map, and compares all
// that can be read.
func TestTx(t *testing.T) {
	s := newRowStore(t)
	r := rand.New(rand.NewPCG(7, 7))
	base := txModel{}
	tx := NewTx(s, Env{Databases: s.dbs})
	for round := range 60 {
		if round > 0 {
			tx.Reset(s, Env{Databases: s.dbs})
		}
		model, marked := maps.Clone(base), maps.Clone(base)
		size, mark := 0, tx.Mark()
		for range r.IntN(250) {
			switch op := r.IntN(40); {
			case op < 14:
				row, val := randomRow(r), bytes.Repeat([]byte{'v'}, r.IntN(4)*r.IntN(40))
				tx.Put(row, val)
				model[string(row)] = string(val)
				row[0] = 'X' // the transaction has copies
				if len(val) > 0 {
					val[0] = 'X'
				}
			case op < 22:
				row := randomRow(r)
				tx.Delete(row)
				delete(model, string(row))
			case op < 25:
				tx.Release(mark)
				mark = tx.Mark()
				marked, size = maps.Clone(model), tx.Size()
			case op == 25:
				tx.Rollback(mark)
				model = maps.Clone(marked)
				if tx.Size() != size || tx.Written() != 0 {
					t.Fatalf("round %d: %d bytes after a rollback, %d before", round, tx.Size(), size)
				}
			case op < 34:
				row := randomRow(r)
				got, ok := tx.Get(row, []byte("-"))
				if want, exists := model[string(row)]; ok != exists || ok && string(got) != "-"+want {
					t.Fatalf("round %d: %q is %q, %v; want %q, %v", round, row, got, ok, want, exists)
				}
			default:
				walk(t, r, tx, model)
			}
		}
		checkEffects(t, tx, base, model)
		if round%3 > 0 {
			b := s.db.NewBatch()
			tx.Effects(func(row, val []byte) { _ = b.Set(row, val, nil) }, func(row []byte) { _ = b.Delete(row, nil) })
			if err := b.Commit(pebble.NoSync); err != nil {
				t.Fatal(err)
			}
			base = model
		}
	}
}

// walk iterates forwards and backwards over a range.
func walk(t *testing.T, r *rand.Rand, tx *Tx, model txModel) {
	t.Helper()
	lower, upper := randomRow(r), randomRow(r)
	if bytes.Compare(lower, upper) > 0 {
		lower, upper = upper, lower
	}
	keys := model.keys(string(lower), string(upper))
	it := tx.Iter(lower, upper)
	defer it.Close()
	at, ok := -1, false // a position in keys
	for range 2 + r.IntN(30) {
		var what string
		switch op := r.IntN(12); {
		case op == 0:
			what, ok, at = "First", it.First(), 0
		case op == 1:
			what, ok, at = "Last", it.Last(), len(keys)-1
		case op == 2:
			row := randomRow(r)
			what, ok = fmt.Sprintf("SeekGE %q", row), it.SeekGE(row)
			at, _ = slices.BinarySearch(keys, string(row))
		case op == 3:
			row := randomRow(r)
			what, ok = fmt.Sprintf("SeekLT %q", row), it.SeekLT(row)
			at, _ = slices.BinarySearch(keys, string(row))
			at--
		case !ok:
			continue // an iterator that has left the range is placed anew
		case op < 8:
			what, ok = "Next", it.Next()
			at++
		default:
			what, ok = "Prev", it.Prev()
			at--
		}
		if want := at >= 0 && at < len(keys); ok != want {
			t.Fatalf("%s in [%q, %q): %v, want %v; keys %q", what, lower, upper, ok, want, keys)
		}
		if ok && (string(it.Key()) != keys[at] || string(it.Value()) != model[keys[at]]) {
			t.Fatalf("%s in [%q, %q): %q = %q, want %q = %q", what, lower, upper, it.Key(), it.Value(), keys[at], model[keys[at]])
		}
	}
}

// checkEffects applies the effects to the base and expects the model.
func checkEffects(t *testing.T, tx *Tx, base, model txModel) {
	t.Helper()
	got, last := maps.Clone(base), ""
	ordered := func(row []byte) {
		if string(row) <= last {
			t.Fatalf("row %q follows %q", row, last)
		}
		last = string(row)
	}
	size := 0
	tx.Effects(
		func(row, val []byte) { ordered(row); size += len(row) + len(val); got[string(row)] = string(val) },
		func(row []byte) { ordered(row); size += len(row); delete(got, string(row)) })
	if !maps.Equal(got, model) {
		t.Fatalf("effects lead to %q, want %q", got, model)
	}
	if size != tx.Size() {
		t.Fatalf("size is %d, of rows %d", tx.Size(), size)
	}
}

// brokenReader fails at its n-th step.
type brokenReader struct {
	Reader
	n   int
	err error
}

func (b *brokenReader) step() bool {
	b.n--
	return b.n < 0
}

func (b *brokenReader) Get(row, dst []byte) ([]byte, bool, error) {
	if b.step() {
		return dst, false, b.err
	}
	return b.Reader.Get(row, dst)
}

func (b *brokenReader) Iter(lower, upper []byte) (Iterator, error) {
	if b.step() {
		return nil, b.err
	}
	it, err := b.Reader.Iter(lower, upper)
	return &brokenIter{Iterator: it, b: b}, err
}

// brokenIter ends early and says why when it is closed, as Pebble's does.
type brokenIter struct {
	Iterator
	b      *brokenReader
	failed bool
}

func (i *brokenIter) move(f func() bool) bool {
	i.failed = i.failed || i.b.step()
	return !i.failed && f()
}

func (i *brokenIter) First() bool { return i.move(i.Iterator.First) }
func (i *brokenIter) Next() bool  { return i.move(i.Iterator.Next) }
func (i *brokenIter) SeekGE(row []byte) bool {
	return i.move(func() bool { return i.Iterator.SeekGE(row) })
}

func (i *brokenIter) Close() error {
	err := i.Iterator.Close()
	if i.failed {
		return i.b.err
	}
	return err
}

// TestReaderErrorsStick breaks the reader at every step of commands: the
// transaction must know, however the command took what it found.
func TestReaderErrorsStick(t *testing.T) {
	s := newRowStore(t)
	hash, list := []byte("hash"), []byte("list")
	s.update(func(tx *Tx) {
		h, l := tx.New(0, hash, TypeHash), tx.New(0, list, TypeList)
		for i := range 100 {
			h.PutField(fmt.Appendf(nil, "f%d", i), []byte("v"))
			l.PushTail(fmt.Appendf(nil, "e%d", i))
		}
		h.Save()
		l.Save()
		tx.SetString(0, []byte("s"), nil, []byte("v"), 5)
	})
	broken := errors.New("broken disk")
	for _, writable := range []bool{false, true} {
		completed := false
		for n := 0; !completed; n++ {
			b := &brokenReader{Reader: s, n: n, err: broken}
			env := Env{Now: 3, Index: 9, Databases: s.dbs, Keys: func(uint32) (int64, error) { return 0, nil }, Rand: func(uint64) uint64 { return 0 }}
			tx := NewReadTx(b, env)
			if writable {
				tx = NewTx(b, env)
				tx.Put([]byte("zz"), nil) // so that iterators are merged
			}
			if h := tx.Open(0, hash); h != nil {
				h.EachField(func(_, _ []byte) bool { return true })
			}
			if l := tx.Open(0, list); l != nil {
				l.ListEach(0, false, func([]byte) bool { return true })
				l.Index(50)
			}
			tx.ScanKeys(0, 0, Slots, 0, 10, func([]byte, Type) {})
			if completed = b.n >= 0; completed == (tx.Err() != nil) {
				t.Fatalf("broken at step %d: error %v", n, tx.Err())
			}
			if tx.Err() != nil && !errors.Is(tx.Err(), broken) {
				t.Fatal(tx.Err())
			}
		}
	}
	for name, f := range map[string]func(r Reader) error{
		"Pending":      func(r Reader) error { return Pending(r, 0, Slots, func(uint16, int64) {}, func(uint16, uint64) {}) },
		"NextDeadline": func(r Reader) error { _, _, err := NextDeadline(r, Slot([]byte("s"))); return err },
	} {
		for n := 0; ; n++ {
			b := &brokenReader{Reader: s, n: n, err: broken}
			err := f(b)
			if b.n >= 0 && err == nil {
				break
			}
			if !errors.Is(err, broken) {
				t.Fatalf("%s, broken at step %d: %v", name, n, err)
			}
		}
	}
}

// TestSteps checks that rows read count, through whatever iterator: a batch of
// heavy reads must end.
func TestSteps(t *testing.T) {
	s := newRowStore(t)
	s.update(func(tx *Tx) {
		h := tx.New(0, []byte("h"), TypeHash)
		for i := range 500 {
			h.PutField(fmt.Appendf(nil, "f%d", i), nil)
		}
		h.Save()
	})
	for _, wrote := range []bool{false, true} {
		tx := NewTx(s, Env{Databases: s.dbs})
		if wrote {
			tx.Put(subRow(nil, Slot([]byte("h")), 1, []byte("other")), nil)
		}
		tx.Open(0, []byte("h")).EachField(func(_, _ []byte) bool { return true })
		if tx.Steps() < 500 {
			t.Errorf("%d steps for 500 rows", tx.Steps())
		}
	}
}

// TestUsedNow checks when an outcome is said to depend on the time.
func TestUsedNow(t *testing.T) {
	s := newRowStore(t)
	s.update(func(tx *Tx) { tx.SetString(0, []byte("k"), nil, []byte("v"), 100) })
	for _, c := range []struct {
		applied, now int64
		found, used  bool
	}{
		{50, 60, true, false}, {50, 99, true, false}, {50, 100, false, true}, {99, 150, false, true}, {100, 100, false, false}, {120, 150, false, false},
	} {
		for _, tx := range []*Tx{NewTx(s, Env{Now: c.now, Applied: c.applied, Databases: s.dbs}), NewReadTx(s, Env{Now: c.now, Applied: c.applied, Databases: s.dbs})} {
			if o := tx.Open(0, []byte("k")); (o != nil) != c.found || tx.UsedNow() != c.used {
				t.Errorf("at %d, applied %d: found %v, used now %v", c.now, c.applied, o != nil, tx.UsedNow())
			}
			if tx.Writable() && tx.Empty() != c.found {
				t.Errorf("at %d: an expired key is left", c.now)
			}
		}
	}
}

// TestOpenToReplace compares OpenToReplace with Open over random batches.
func TestOpenToReplace(t *testing.T) {
	s := newRowStore(t)
	r := rand.New(rand.NewPCG(3, 9))
	known := NewKnown(1)
	for step := range 400 {
		now := int64(step)
		tx := NewTx(s, Env{Now: now, Applied: now, Index: uint64(step + 1), Databases: s.dbs, Known: known,
			Keys: func(uint32) (int64, error) { return 0, nil }, NewID: func() uint64 { s.id++; return s.id }})
		mark := tx.Mark()
		for range 1 + r.IntN(4) {
			key := []byte{'a' + byte(r.IntN(5))}
			if r.IntN(3) == 0 {
				tx.Release(mark)
				mark = tx.Mark()
			}
			got, want := tx.OpenToReplace(0, key), tx.Open(0, key)
			if (got == nil) != (want == nil) || got != nil && (got.Type != want.Type || got.Expire != want.Expire) {
				t.Fatalf("step %d: %q is %v, want %v", step, key, got, want)
			}
			switch op := r.IntN(10); {
			case op < 4:
				tx.SetString(0, key, got, []byte("v"), 0)
			case op == 4:
				tx.SetString(0, key, got, []byte("v"), now+1+r.Int64N(20))
			case op == 5 && want != nil:
				want.Delete()
			case op == 6 && want == nil:
				o := tx.New(0, key, TypeSet)
				o.PutField([]byte("m"), nil)
				o.Save()
			case op == 7:
				tx.Rollback(mark)
			}
		}
		if r.IntN(4) == 0 {
			continue // not applied: another leader's entry stands there
		}
		b := s.db.NewBatch()
		tx.Effects(func(row, val []byte) { _ = b.Set(row, val, nil) }, func(row []byte) { _ = b.Delete(row, nil) })
		if err := b.Commit(pebble.NoSync); err != nil {
			t.Fatal(err)
		}
		known.most = 1 << r.IntN(8)
		known.Learn(tx)
	}
}
