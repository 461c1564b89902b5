package keyspace

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestStreamEndsRemember has streams grow, shrink and be read, from their ends and from
// far behind: what is remembered is what the store has, and no more than it may be.
func TestStreamEndsRemember(t *testing.T) {
	for seed := range uint64(6) {
		s, r := newRowStore(t), rand.New(rand.NewPCG(seed, 3))
		k := NewKnown(1)
		k.ends.bytesMax = []int{8 << 10, 64 << 10, 1 << 20}[seed%3]
		last := [3]uint64{}
		for range 300 {
			var tx *Tx
			s.at(1, func(own *Tx) {
				tx = own
				tx.Known = k
				for range 1 + r.IntN(3) {
					n := r.IntN(len(last))
					changeStream(r, openStream(tx, n), &last[n])
				}
			})
			tx.Effects(k.put, k.delete)
			checkStreamEnds(t, s, k)
		}
	}
}

func openStream(tx *Tx, n int) *Stream {
	key := fmt.Append(nil, "stream", n)
	if o := tx.Open(0, key); o != nil {
		return StreamOf(o)
	}
	return NewStream(tx, 0, key)
}

// changeStream adds, reads, deletes or trims.
func changeStream(r *rand.Rand, s *Stream, last *uint64) {
	some := func() StreamID { return StreamID{*last - min(*last, r.Uint64N(40)), r.Uint64N(2)} }
	switch r.IntN(10) {
	case 0:
		s.Delete(some())
	case 1:
		s.Trim(StreamTrim{Keep: r.Uint64N(300)})
	case 2:
		if r.IntN(4) == 0 {
			for range 2 * endMax { // nobody can read so fast
				*last++
				s.Append(StreamID{*last, 0}, [][]byte{{'n'}, {'v'}})
			}
		}
	case 3, 4:
		s.Append(StreamID{*last + 1, 0}, [][]byte{{'n'}, make([]byte, r.IntN(2*endValueMax))})
		*last++
	case 5:
		for range r.IntN(80) {
			*last++
			s.Append(StreamID{*last, 0}, [][]byte{{'n'}, make([]byte, r.IntN(200))})
		}
	default:
		from, n := some(), 1+r.IntN(20)
		if r.IntN(3) == 0 {
			from = StreamID{r.Uint64N(*last + 1), 0}
		}
		for range r.IntN(20) { // a reader goes on where he was
			left := n
			s.Each(from, StreamIDMax(), false, func(id StreamID, _ [][]byte) bool {
				from, _ = id.Next()
				left--
				return left > 0
			})
		}
	}
	s.Save()
}

func checkStreamEnds(t *testing.T, s *rowStore, k *Known) {
	t.Helper()
	bytes := 0
	for of, end := range k.ends.streams {
		bytes += end.cost()
		from, _ := end.floor.Next()
		prefix := subPrefix(nil, 0, of)
		var at *Stream
		for n := range 3 { // a row begins with the slot of its key
			tx := NewReadTx(s, Env{Databases: s.dbs})
			if x := tx.Open(0, fmt.Append(nil, "stream", n)); x != nil && x.id == of {
				at, prefix = StreamOf(x), subPrefix(nil, x.slot, of)
			}
		}
		if at == nil {
			t.Fatalf("stream %d is remembered, and not there", of)
		}
		it, err := s.Iter(idRange(prefix, from, StreamIDMax()))
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for ok := it.First(); ok && (n < len(end.entries) || !end.more); ok = it.Next() {
			id := rowID(it.Key()[len(prefix):])
			if n == len(end.entries) || end.entries[n].id != id || end.entries[n].val != nil && !slices.Equal(end.entries[n].val, it.Value()) {
				t.Fatalf("stream %d: entry %d above %v is not %v, as it is remembered", of, n, end.floor, id)
			}
			n++
		}
		if err := it.Close(); n != len(end.entries) || err != nil {
			t.Fatalf("stream %d: %d entries are remembered, and %d are there, %v", of, len(end.entries), n, err)
		}
		if end.more && n == 0 {
			t.Fatalf("stream %d: nothing is known, and there may be more", of)
		}
	}
	if bytes != k.ends.bytes || bytes > k.ends.bytesMax {
		t.Fatalf("%d bytes are counted, %d are remembered, %d may be", k.ends.bytes, bytes, k.ends.bytesMax)
	}
}

// TestStreamEndsBroken breaks the reader at every step of reading ahead and of going on in
// the store behind what is remembered.
func TestStreamEndsBroken(t *testing.T) {
	s := newRowStore(t)
	s.update(func(tx *Tx) {
		x := openStream(tx, 1)
		for i := range uint64(100) {
			x.Append(StreamID{i + 1, 0}, [][]byte{{'n'}, make([]byte, 4*endValueMax*int(i%2))})
		}
		x.Save()
	})
	broken := errors.New("broken disk")
	for n := 0; ; n++ {
		b := &brokenReader{Reader: s, n: n, err: broken}
		tx := NewTx(b, Env{Index: 9, Databases: s.dbs, Known: NewKnown(1)})
		read := 0
		if o := tx.Open(0, []byte("stream1")); o != nil {
			StreamOf(o).Each(StreamID{}, StreamIDMax(), false, func(StreamID, [][]byte) bool { read++; return true })
		}
		completed := b.n >= 0
		if completed == (tx.Err() != nil) || completed && read != 100 {
			t.Fatalf("broken at step %d: error %v after %d entries", n, tx.Err(), read)
		}
		if completed {
			return
		}
		if !errors.Is(tx.Err(), broken) {
			t.Fatal(tx.Err())
		}
	}
}
