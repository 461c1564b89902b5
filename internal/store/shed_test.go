package store

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2"
)

// What was deleted leaves the disk when the state sheds it, and what was not deleted
// stays.
func TestShed(t *testing.T) {
	const rows = 48 << 20 / (256 << 10) // a file of 8 MiB stays for the one that is left
	for name, deleted := range map[string]uint64{"all but one": rows - 1, "nothing": 0} {
		t.Run(name, func(t *testing.T) {
			s, _ := newTestState(t)
			row := func(i uint64) []byte { return binary.BigEndian.AppendUint64([]byte{1, 0, 7, 's'}, i) }
			val := make([]byte, 256<<10)
			random := rand.NewChaCha8([32]byte{})
			change := func(n uint64, f func(b *pebble.Batch, i uint64) error) {
				t.Helper()
				b := s.db.NewBatch()
				for i := range n {
					if err := f(b, i); err != nil {
						t.Fatal(err)
					}
				}
				if err := b.Commit(pebble.NoSync); err != nil {
					t.Fatal(err)
				}
				if err := s.Rest(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			change(rows, func(b *pebble.Batch, i uint64) error {
				_, _ = random.Read(val)
				return b.Set(row(i), val, nil)
			})
			change(deleted, func(b *pebble.Batch, i uint64) error { return b.Delete(row(i), nil) })
			if err := Shed(t.Context(), s); err != nil {
				t.Fatal(err)
			}
			m := s.db.Metrics()
			if holds := m.Total().TablesSize + int64(m.BlobFiles.LiveSize); (holds < rows*int64(len(val))/4) != (deleted > 0) {
				t.Errorf("%d bytes in tables and beside them, %d rows of %d were deleted", holds, deleted, rows)
			}
			if got, ok, err := get(s.db, row(rows-1), nil); err != nil || !ok || len(got) != len(val) {
				t.Errorf("the last row: %d bytes, %v, %v", len(got), ok, err)
			}
		})
	}
}
