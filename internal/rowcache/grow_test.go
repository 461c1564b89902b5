package rowcache

import (
	"fmt"
	"hash/maphash"
	"testing"
)

// The buckets grow with the rows and are few again behind a rest; every row is found all
// the while, and each slot is where its row is looked for.
func TestBucketsGrow(t *testing.T) {
	const rows = 120_000
	c := New(16<<20, func([]byte) bool { return false })
	defer c.Close()
	r := c.Open()
	row := func(i int) []byte { return fmt.Appendf(nil, "row %d", i) }
	atFirst := c.stripes[0].buckets.Load()
	for range 2 {
		for i := range rows {
			r.Fill(1, row(i), row(-i), true)
		}
		found := 0
		for i := range rows {
			if val, ok, known := r.Get(1, row(i), nil); known {
				found++
				if !ok || string(val) != string(row(-i)) {
					t.Fatalf("row %d is %q", i, val)
				}
			}
		}
		if found < rows*99/100 { // a bucket may overflow
			t.Errorf("%d of %d rows are found", found, rows)
		}
		for i := range c.stripes {
			s := &c.stripes[i]
			if s.buckets.Load() <= atFirst || int(s.buckets.Load())*bucketLen > len(s.table) {
				t.Fatalf("stripe %d with %d rows has %d buckets, at first %d", i, s.rows, s.buckets.Load(), atFirst)
			}
			for b := range int(s.buckets.Load()) {
				for slots := s.slotsOf(b); len(slots) > 0; slots = slots[slotLen:] {
					slot := ne.Uint64(slots)
					if uint32(slot) == 0 {
						continue
					}
					if h := maphash.Bytes(s.seed, s.at(placeOf(slot)).row()); pick(h, int(s.buckets.Load())) != b || h>>32 != slot>>32 {
						t.Fatalf("stripe %d: a row of bucket %d lies in bucket %d", i, pick(h, int(s.buckets.Load())), b)
					}
				}
			}
		}
		for i := range rows {
			remove(r, 2, row(i))
		}
		c.Rest()
		for i := range c.stripes {
			if s := &c.stripes[i]; s.buckets.Load() != atFirst || s.rows != 0 {
				t.Fatalf("stripe %d with %d rows has %d buckets behind a rest", i, s.rows, s.buckets.Load())
			}
		}
		r = c.Open()
	}
}
