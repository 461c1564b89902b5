package store

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"tutti/internal/cluster"
	"tutti/internal/keyspace"
)

// thinned returns a state in which of n rows all were removed but every one that keep
// says, and flushed in between, as if the rows were old.
func thinned(t *testing.T, n int, keep func(i int) bool) *State {
	s, _ := newTestState(t)
	for _, remove := range []bool{false, true} {
		b := s.db.NewBatch()
		for i := range n {
			var err error
			if !remove {
				err = b.Set(walkRow(i), []byte("value"), nil)
			} else if !keep(i) {
				err = b.Delete(walkRow(i), nil)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(b.Commit(pebble.NoSync), b.Close()); err != nil {
			t.Fatal(err)
		}
		if !remove {
			if err := flushNow(t.Context(), s); err != nil {
				t.Fatal(err)
			}
		}
	}
	return s
}

func walkRow(i int) []byte { return append(keyspace.SlotPrefix(nil, 7), fmt.Sprintf("s%08d", i)...) }

// walked reads by f and returns how many deleted rows that had to step over.
func walked(t *testing.T, r keyspace.Reader, lower, upper []byte, f func(it keyspace.Iterator)) int {
	it, err := r.Iter(lower, upper)
	if err != nil {
		t.Fatal(err)
	}
	f(it)
	hidden := it.(*walk).hidden()
	if err := it.Close(); err != nil {
		t.Fatal(err)
	}
	return hidden
}

// Who reads where nearly all was removed steps over the traces of it for the first time
// only: they are cleared away, wherever the walk began and in whatever direction it went.
func TestReadersHaveTracesCleared(t *testing.T) {
	const n = 20_000
	few := func(i int) bool { return i%(n/2) == n/4 }
	all, none := keyspace.SlotPrefix(nil, 0), keyspace.SlotPrefix(nil, cluster.Slots)
	for name, f := range map[string]func(it keyspace.Iterator){
		"first":            func(it keyspace.Iterator) { it.First() },
		"last":             func(it keyspace.Iterator) { it.Last() },
		"from the middle":  func(it keyspace.Iterator) { it.SeekGE(walkRow(n / 2)) },
		"back from there":  func(it keyspace.Iterator) { it.SeekLT(walkRow(n / 2)) },
		"all":              func(it keyspace.Iterator) { it.First(); it.Next(); it.Next() },
		"around":           func(it keyspace.Iterator) { it.SeekGE(walkRow(n - n/8)); it.First() },
		"back to the head": func(it keyspace.Iterator) { it.Last(); it.Prev(); it.Prev() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := thinned(t, n, few)
				view := s.View(testShard, Applied{Index: 10, Term: 1}, nil, func() {})
				first := walked(t, view, all, none, f)
				if first < hiddenMin {
					t.Fatalf("stepped over %d", first)
				}
				synctest.Wait()
				view.Release()
				if again := walked(t, s, all, none, f); again > first/100 {
					t.Errorf("stepped over %d, the first time %d", again, first)
				}
			})
		})
	}
}

// What was cleared and is removed again is cleared again, after a pause.
func TestReadersHaveTracesClearedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 20_000
		s := thinned(t, n, func(i int) bool { return i == n-1 })
		first := func() int {
			return walked(t, s, walkRow(0), walkRow(n), func(it keyspace.Iterator) { it.First() })
		}
		for range 3 {
			first()
			synctest.Wait()
			if hidden := first(); hidden > 100 {
				t.Fatalf("stepped over %d", hidden)
			}
			b := s.db.NewBatch()
			for i := range n - 1 {
				if err := errors.Join(b.Set(walkRow(i), nil, nil), b.Delete(walkRow(i), nil)); err != nil {
					t.Fatal(err)
				}
			}
			if err := errors.Join(b.Commit(pebble.NoSync), b.Close()); err != nil {
				t.Fatal(err)
			}
			first() // is heard, or comes too early
			time.Sleep(time.Minute)
		}
	})
}

// Nobody clears what nobody walks over, or what most of a walk does not go through:
// what was taken from the head of a queue, and a part of what many rows lie beside.
func TestOthersHaveNothingCleared(t *testing.T) {
	const n = 20_000
	for name, test := range map[string]struct {
		keep func(i int) bool
		walk func(it keyspace.Iterator)
	}{
		"a queue": {func(i int) bool { return i > n/2 }, func(it keyspace.Iterator) { it.SeekGE(walkRow(n/2 + 1)); it.Next() }},
		"some":    {func(i int) bool { return i%3 == 0 }, func(it keyspace.Iterator) { it.First() }},
		"all of it": {func(i int) bool { return i%4 == 0 }, func(it keyspace.Iterator) {
			for ok := it.First(); ok; ok = it.Next() {
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s := thinned(t, n, test.keep)
			s.reclaimer.stop()
			walked(t, s, walkRow(0), walkRow(n), test.walk)
			select {
			case at := <-s.reclaimer.slow:
				t.Errorf("told to clear %q", at)
			default:
			}
		})
	}
}
