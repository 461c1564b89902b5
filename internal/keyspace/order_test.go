package keyspace

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// The runs stay few however writes and range reads take turns, so that neither of them
// costs more as the transaction grows: each run is more than twice as long as the next.
func TestOrderHasFewRuns(t *testing.T) {
	e := newEffects()
	rng := rand.New(rand.NewPCG(1, 2))
	for n := range 20_000 {
		e.put(fmt.Appendf(nil, "%d", rng.Uint32()), []byte("v"))
		if n%3 == 0 {
			e.between([]byte("1"), []byte("2"))
		}
		if n%1000 != 0 {
			continue
		}
		e.sort()
		covered := 0
		for k, run := range e.order.runs {
			covered += len(run)
			if k > 0 && len(e.order.runs[k-1]) <= 2*len(run) {
				t.Fatalf("after %d writes run %d has %d of them, the one before it %d", n+1, k, len(run), len(e.order.runs[k-1]))
			}
		}
		if covered != len(e.ops) {
			t.Fatalf("%d of %d writes are in the order", covered, len(e.ops))
		}
	}
}

// Walks over the own writes show what a plain map would, forwards and backwards, after
// commands were taken back too, and those that began before other writes go on.
func TestOrderIsThatOfRows(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 1))
		tx := NewTx(emptyReader{}, Env{Databases: NewDatabases()})
		model, before := map[string]string{}, map[string]string{}
		mark := tx.Mark()
		for range 2000 {
			row := fmt.Sprintf("%03d", rng.IntN(500))
			switch rng.IntN(10) {
			case 0:
				tx.Delete([]byte(row))
				delete(model, row)
			case 1, 2:
				checkWalk(t, tx, model, fmt.Sprintf("%03d", rng.IntN(500)), fmt.Sprintf("%03d", rng.IntN(500)), row)
			case 3:
				if rng.IntN(20) == 0 {
					tx.Rollback(mark)
					clear(model)
					for k, v := range before {
						model[k] = v
					}
				} else if rng.IntN(10) == 0 {
					tx.Release(mark)
					mark = tx.Mark()
					clear(before)
					for k, v := range model {
						before[k] = v
					}
				}
			default:
				val := fmt.Sprint(rng.IntN(100))
				tx.Put([]byte(row), []byte(val))
				model[row] = val
			}
		}
	}
}

func checkWalk(t *testing.T, tx *Tx, model map[string]string, lower, upper, from string) {
	t.Helper()
	var want []string
	for row, val := range model {
		if lower <= row && row < upper {
			want = append(want, row+"="+val)
		}
	}
	slices.Sort(want)
	it := tx.Iter([]byte(lower), []byte(upper))
	defer it.Close()
	var got []string
	for ok := it.First(); ok; ok = it.Next() {
		got = append(got, string(it.Key())+"="+string(it.Value()))
	}
	if !slices.Equal(got, want) {
		t.Fatalf("[%s, %s) forwards: %v, want %v", lower, upper, got, want)
	}
	got = nil
	for ok := it.Last(); ok; ok = it.Prev() {
		got = append(got, string(it.Key())+"="+string(it.Value()))
	}
	slices.Reverse(got)
	if !slices.Equal(got, want) {
		t.Fatalf("[%s, %s) backwards: %v, want %v", lower, upper, got, want)
	}
	i, _ := slices.BinarySearch(want, from)
	if ok := it.SeekGE([]byte(from)); ok != (i < len(want)) || ok && !bytes.HasPrefix([]byte(want[i]), it.Key()) {
		t.Fatalf("seek to %s in [%s, %s): %v at %s", from, lower, upper, ok, it.Key())
	}
	if ok := it.SeekLT([]byte(from)); ok != (i > 0) || ok && !bytes.HasPrefix([]byte(want[i-1]), it.Key()) {
		t.Fatalf("seek before %s in [%s, %s): %v at %s", from, lower, upper, ok, it.Key())
	}
}

// emptyReader is a state without rows.
type emptyReader struct{}

func (emptyReader) Get(_, dst []byte) ([]byte, bool, error) { return dst, false, nil }
func (emptyReader) Iter(_, _ []byte) (Iterator, error)      { return &emptyIter{}, nil }

// Writes and range reads by turns.
func BenchmarkWritesAndRangesByTurns(b *testing.B) {
	for _, n := range []int{1_000, 10_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				tx := NewTx(emptyReader{}, Env{Databases: NewDatabases()})
				for i := range n {
					tx.Put(fmt.Appendf(nil, "%08x", uint32(i)*2654435761), []byte("v"))
					if i%20 == 0 {
						it := tx.Iter([]byte("0"), []byte("g"))
						it.First()
						it.Close()
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/write")
		})
	}
}
