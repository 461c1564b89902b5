package store

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Who writes at the ends of long ranges, as queues do, has little of what lies between
// written again, with a small memtable and with one as large as nodes have.
func TestEndsOfLongRanges(t *testing.T) {
	for _, memtable := range []int64{1 << 20, 8 << 20} {
		writeAtEnds(t, memtable)
	}
}

func writeAtEnds(t *testing.T, memtable int64) {
	const rounds = 12
	waiting := int(memtable>>20) * 20_000
	step := waiting / 10
	s, err := OpenState(Config{FS: vfs.NewMem(), Dir: "data", MemtableBytes: memtable})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	rng := rand.New(rand.NewPCG(1, 2))
	val := make([]byte, 100)
	row := func(kind byte, n int) []byte {
		return binary.BigEndian.AppendUint64([]byte{1, 0, 7, 't', kind}, uint64(n))
	}
	// change adds tasks and takes as many from the other end. The rows of kind d come and
	// go with each step.
	change := func(first, n, gone int) {
		b := s.db.NewBatch()
		for i := range n {
			for _, kind := range []byte{'b', 'f', 'j'} {
				binary.BigEndian.PutUint64(val, rng.Uint64())
				if err := b.Set(row(kind, first+i), val, nil); err != nil {
					t.Fatal(err)
				}
				if i < gone {
					if err := b.Delete(row(kind, first+i-waiting), nil); err != nil {
						t.Fatal(err)
					}
				}
			}
			if i < gone {
				if err := b.Set(row('d', first+i), val[:8], nil); err != nil {
					t.Fatal(err)
				}
			}
		}
		for i := range gone {
			if err := b.Delete(row('d', first+i), nil); err != nil {
				t.Fatal(err)
			}
		}
		if err := b.Commit(pebble.NoSync); err != nil {
			t.Fatal(err)
		}
	}
	for n := 0; n < waiting; n += step / 4 {
		change(n, step/4, 0)
	}
	if err := s.db.Compact(t.Context(), []byte{0}, []byte{255}, false); err != nil {
		t.Fatal(err)
	}
	before := s.db.Metrics().Total()
	for r := range rounds {
		change(waiting+r*step, step, step)
		if err := s.db.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	after := s.db.Metrics().Total()
	flushed, merged := after.TableBytesFlushed-before.TableBytesFlushed, after.TableBytesCompacted-before.TableBytesCompacted
	if merged > flushed*3/4 {
		t.Errorf("memtables of %d KiB: of %d KiB that were flushed %d KiB were merged", memtable>>10, flushed>>10, merged>>10)
	}
}
