package keyspace

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// blockModel is a stream as the ids that it has.
type blockModel struct {
	s    *rowStore
	r    *rand.Rand
	ids  []uint64 // of entries n-0
	last uint64
	name int
	old  bool // a member does not know blocks
}

// TestStreamBlocks has a long stream grow, be trimmed at its head, lose entries anywhere, be
// copied and begin anew: what is trimmed is what the model trims, and its blocks count the
// entries that it has.
func TestStreamBlocks(t *testing.T) {
	for seed := range uint64(4) {
		m := &blockModel{s: newRowStore(t), r: rand.New(rand.NewPCG(seed, 5)), old: seed%2 == 1}
		for round := range 40 {
			m.old = m.old && round < 12
			what := ""
			m.s.update(func(tx *Tx) {
				if m.old {
					tx.Format = formatBlocks - 1
				}
				for range 1 + m.r.IntN(2) {
					if m.r.IntN(20) == 0 {
						what += m.copy(tx)
					}
					s := openStream(tx, m.name)
					what += m.change(t, s)
					s.Save()
				}
			})
			m.check(t, fmt.Sprintf("seed %d, round %d:%s", seed, round, what))
		}
		m.remove(t)
	}
}

// change does one thing to the stream and the model, and says what.
func (m *blockModel) change(t *testing.T, s *Stream) string {
	n, r := len(m.ids), m.r
	switch op := r.IntN(10); {
	case op < 3 || n == 0:
		added := r.IntN(3 * blockEntries)
		for range added {
			m.last += 1 + r.Uint64N(2)
			m.ids = append(m.ids, m.last)
			s.Append(StreamID{m.last, 0}, [][]byte{{'n'}, {'v'}})
		}
		return fmt.Sprintf(" added %d", added)
	case op == 3:
		return m.deleteSome(s, r.IntN(n), r.IntN(2*blockEntries))
	case op == 4: // from the end, where the highest id that was given may become lower
		what := m.deleteSome(s, max(0, n-r.IntN(2*blockEntries)), n)
		if top := m.top(); r.IntN(2) == 0 && m.last > top {
			s.MaxDeleted, m.last = StreamID{}, top+r.Uint64N(m.last-top)
			s.SetLast(StreamID{m.last, 0})
			what += fmt.Sprintf(" last %d", m.last)
		}
		return what
	case op == 5:
		for range r.IntN(50) {
			if at := r.IntN(max(1, len(m.ids))); at < len(m.ids) {
				m.deleteSome(s, at, 1)
			}
		}
		return " deleted here and there"
	case op < 8:
		how := StreamTrim{Keep: r.Uint64N(uint64(n + 1))}
		if r.IntN(2) == 0 {
			how.Keep = uint64(n - min(n, r.IntN(2*trashMin)))
		}
		return m.trim(t, s, how, n-min(n, int(how.Keep)))
	}
	how := StreamTrim{ByID: true, MinID: StreamID{m.ids[r.IntN(n)] + r.Uint64N(2), r.Uint64N(2)}}
	gone, _ := slices.BinarySearchFunc(m.ids, how.MinID, func(id uint64, min StreamID) int { return StreamID{id, 0}.Compare(min) })
	return m.trim(t, s, how, gone)
}

// copy goes on with a copy of the stream, and perhaps without the stream.
func (m *blockModel) copy(tx *Tx) string {
	o := tx.Open(0, fmt.Append(nil, "stream", m.name))
	if o == nil {
		return ""
	}
	m.name++
	if o.CopyTo(0, fmt.Append(nil, "stream", m.name)); m.r.IntN(2) == 0 {
		o.Delete()
	}
	return " copied"
}

func (m *blockModel) top() uint64 {
	if len(m.ids) == 0 {
		return 0
	}
	return m.ids[len(m.ids)-1]
}

func (m *blockModel) deleteSome(s *Stream, at, n int) string {
	end := min(len(m.ids), at+n)
	for _, id := range m.ids[at:end] {
		s.Delete(StreamID{id, 0})
	}
	m.ids = slices.Delete(m.ids, at, end)
	return fmt.Sprintf(" deleted %d at %d", end-at, at)
}

func (m *blockModel) trim(t *testing.T, s *Stream, how StreamTrim, want int) string {
	t.Helper()
	if got := s.Trim(how); got != uint64(want) {
		t.Fatalf("%+v of %d entries removed %d, want %d", how, len(m.ids), got, want)
	}
	m.ids = m.ids[want:]
	return fmt.Sprintf(" trimmed %d", want)
}

func (m *blockModel) check(t *testing.T, what string) {
	t.Helper()
	tx := NewReadTx(m.s, Env{Databases: m.s.dbs})
	s := openStream(tx, m.name)
	if s.Len() != uint64(len(m.ids)) || len(m.ids) > 0 && s.First != (StreamID{m.ids[0], 0}) {
		t.Fatalf("%s: %d entries from %v, want %d", what, s.Len(), s.First, len(m.ids))
	}
	var has []uint64
	s.Each(StreamID{}, StreamIDMax(), false, func(id StreamID, _ [][]byte) bool {
		has = append(has, id.Ms)
		return true
	})
	if !slices.Equal(has, m.ids) {
		t.Fatalf("%s: other entries", what)
	}
	if blocks := len(m.ids) >= blocksMin && !m.old; blocks && !s.blocks || m.old && s.blocks {
		t.Fatalf("%s: blocks %v of %d entries", what, s.blocks, len(m.ids))
	}
	at := 0
	eachBlock(s, StreamID{}, func(b streamBlock) bool {
		from := at
		for at < len(m.ids) && m.ids[at] <= b.end.Ms {
			at++
		}
		if uint64(at-from) != b.n || b.end.Compare(s.Last) > 0 {
			t.Fatalf("%s: the block to %v has %d entries, want %d", what, b.end, b.n, at-from)
		}
		return true
	})
	if s.blocks && uint64(len(m.ids)-at) != s.tail {
		t.Fatalf("%s: %d entries in no block, want %d", what, s.tail, len(m.ids)-at)
	}
	if err := tx.Err(); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// remove looks that nothing is left of the streams and their copies.
func (m *blockModel) remove(t *testing.T) {
	t.Helper()
	m.s.update(func(tx *Tx) {
		for n := range m.name + 1 {
			if o := tx.Open(0, fmt.Append(nil, "stream", n)); o != nil {
				o.Delete()
			}
		}
	})
	it, err := m.s.db.NewIter(nil)
	if err != nil {
		t.Fatal(err)
	}
	var marks [][]byte
	for ok := it.First(); ok; ok = it.Next() {
		if it.Key()[3] == kindTrash {
			marks = append(marks, slices.Clone(it.Key()))
		}
	}
	if err := it.Close(); err != nil {
		t.Fatal(err)
	}
	for _, mark := range marks {
		slot, id, _ := Trash(mark)
		for gone := false; !gone; {
			m.s.update(func(tx *Tx) { gone, _ = tx.PurgeTrash(slot, id, 5000) })
		}
	}
	if it, err = m.s.db.NewIter(nil); err != nil {
		t.Fatal(err)
	}
	for ok := it.First(); ok; ok = it.Next() {
		if kind := it.Key()[3]; kind != kindGone {
			t.Errorf("a row is left: %x = %x", it.Key(), it.Value())
		}
	}
	if err := it.Close(); err != nil {
		t.Fatal(err)
	}
}

// longStream returns a state with a stream of n entries.
func longStream(t *testing.T, n int) *rowStore {
	s := newRowStore(t)
	id := uint64(0)
	for range n / 5000 {
		s.update(func(tx *Tx) {
			x := openStream(tx, 1)
			for range 5000 {
				id++
				x.Append(StreamID{id, 0}, [][]byte{{'n'}, {'v'}})
			}
			x.Save()
		})
	}
	return s
}

// TestLongStreamIsTrimmed: what trimming half of a long stream takes is little beside what goes.
func TestLongStreamIsTrimmed(t *testing.T) {
	const n = 200_000
	s := longStream(t, n)
	for _, how := range []StreamTrim{{Keep: n / 2}, {ByID: true, MinID: StreamID{n/2 + 40_000, 0}}} {
		s.update(func(tx *Tx) {
			x := openStream(tx, 1)
			gone := x.Trim(how)
			x.Save()
			if most := blockEntries + int(gone)/100; tx.Steps() > most || gone < 30_000 {
				t.Errorf("%+v took %d steps to remove %d, more than %d", how, tx.Steps(), gone, most)
			}
		})
	}
}

// TestBlocksThatCannotBe: blocks that do not count what there is refuse the stream, and what
// fails at any step decides nothing.
func TestBlocksThatCannotBe(t *testing.T) {
	s := longStream(t, 20_000)
	var rows [][]byte
	s.update(func(tx *Tx) {
		x := openStream(tx, 1)
		eachBlock(x, StreamID{}, func(b streamBlock) bool {
			rows = append(rows, streamBlockRow(x, nil, b.end))
			return true
		})
	})
	if len(rows) < 4 {
		t.Fatalf("%d blocks", len(rows))
	}
	for _, val := range []string{"", "\x00", "\x80", "\xff\xff\xff\xff\x01", "\x01", "\x05\x05"} {
		tx := NewTx(s, Env{Index: 99, Databases: s.dbs, NewID: func() uint64 { return 1 << 50 }})
		tx.Put(rows[1], []byte(val))
		openStream(tx, 1).Trim(StreamTrim{Keep: 100})
		if bad := tx.TakeRowError(); !errors.Is(bad, ErrMalformed) {
			t.Errorf("a block of %x: %v", val, bad)
		}
	}
	broken := errors.New("broken disk")
	for n, done := 0, false; !done; n++ {
		b := &brokenReader{Reader: s, n: n, err: broken}
		tx := NewTx(b, Env{Index: 99, Databases: s.dbs, NewID: func() uint64 { return 1 << 50 }})
		if o := tx.Open(0, []byte("stream1")); o != nil {
			StreamOf(o).Trim(StreamTrim{Keep: 12_000})
		}
		if done = b.n >= 0; !done && !errors.Is(tx.Err(), broken) {
			t.Fatalf("broken at step %d: %v", n, tx.Err())
		} else if done && tx.Err() != nil {
			t.Fatal(tx.Err())
		}
	}
}
