package rowcache

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
)

func put(r *Rows, index uint64, row, val []byte) {
	r.Write(index, []Change{{Row: row, Val: val}})
}

func remove(r *Rows, index uint64, row []byte) {
	r.Write(index, []Change{{Row: row, Gone: true}})
}

// TestExpectedRowsAreAsTheyAre has rows expected, looked up, written in large entries and
// forgotten at the same time: what is found is what was written last before.
func TestExpectedRowsAreAsTheyAre(t *testing.T) {
	c := New(stripeMin, all)
	defer c.Close()
	r := c.Open()
	const n = 5*together + 1 // more than a stripe's first buckets are for
	rows := make([][]byte, n)
	for i := range rows {
		rows[i] = fmt.Appendf(nil, "row %d", i)
	}
	var others sync.WaitGroup
	stop := make(chan struct{})
	for _, f := range []func(){
		func() { r.Expect(rows) },
		c.Rest,
		func() {
			if x := r.Census(func() uint64 { return n }); x != nil {
				x.Cancel()
			}
		},
	} {
		others.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					f()
				}
			}
		})
	}
	changes, useful := make([]Change, n), r.Expect(rows)
	if useful {
		t.Error("it is of use to expect what is not here")
	}
	for index := uint64(1); index < 300; index++ {
		for i := range changes {
			changes[i] = Change{Row: rows[i], Val: fmt.Append(nil, index, i), Gone: (uint64(i)+index)%5 == 0}
		}
		r.Write(index, changes)
		useful = r.Expect(rows) || useful
		for i, row := range rows {
			switch val, ok, known := r.Get(index, row, nil); {
			case !known:
				r.Fill(index, row, changes[i].Val, !changes[i].Gone)
			case ok == changes[i].Gone || ok && string(val) != string(changes[i].Val):
				t.Fatalf("%s at %d: %q, %v", row, index, val, ok)
			}
		}
	}
	close(stop)
	others.Wait()
	if !useful {
		t.Error("it was of no use ever to expect rows")
	}
}

// BenchmarkExpected looks up rows that lie anywhere in memory, with and without saying
// so in advance.
func BenchmarkExpected(b *testing.B) {
	c := New(512<<20, func([]byte) bool { return false })
	defer c.Close()
	r := c.Open()
	rows, val := make([][]byte, 1_000_000), make([]byte, 100)
	for i := range rows {
		rows[i] = fmt.Appendf(nil, "123456789012key-%d", i)
		r.Fill(1, rows[i], val, true)
	}
	for _, expect := range []bool{false, true} {
		b.Run(fmt.Sprintf("expect=%v", expect), func(b *testing.B) {
			some, dst := make([][]byte, together), make([]byte, 0, len(val))
			for i := 0; i < b.N; i += len(some) {
				for j := range some {
					some[j] = rows[rand.IntN(len(rows))]
				}
				if expect {
					r.Expect(some)
				}
				for _, row := range some {
					r.Get(2, row, dst)
				}
			}
		})
	}
}
