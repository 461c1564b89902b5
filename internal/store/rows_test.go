package store

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cespare/xxhash/v2"
	pb "go.etcd.io/raft/v3/raftpb"

	"tutti/internal/cluster"
	"tutti/internal/keyspace"
	"tutti/internal/rowcache"
)

// memoryTest is a state with open views, whose rows are read through memory and
// past it.
type memoryTest struct {
	t     *testing.T
	rng   *rand.Rand
	s     *State
	at    Applied
	views []*View
	rows  map[string]string           // the newest state
	shown map[*View]map[string]string // what each view must show
	count *Census
	ended int // censuses that went through all rows
	// whole is the rows of which sent bytes have come, in n pieces.
	whole   []byte
	sent, n int
	joined  int // how many times all have come
}

func newMemoryTest(t *testing.T, seed uint64) *memoryTest {
	s, _ := newTestState(t)
	m := &memoryTest{t: t, rng: rand.New(rand.NewPCG(seed, 3)), s: s, at: Applied{Index: 10, Term: 1}, rows: make(map[string]string), shown: make(map[*View]map[string]string)}
	s.late.max = 1 << (8 + m.rng.IntN(8))
	s.late.wide = 1 << (4 + m.rng.IntN(10))
	s.late.back = backLimits{bytes: 1 << (10 + m.rng.IntN(8)), log: 1 << (10 + m.rng.IntN(8)), total: 1 << (12 + m.rng.IntN(8))}
	m.look()
	m.publish()
	t.Cleanup(m.release)
	return m
}

// look looks through the shard, as is done whenever its state is otherwise than entries made it.
func (m *memoryTest) look() {
	m.must(m.s.LookThrough(testShard))
	m.s.known.of(testShard).pieces.most = 1 + m.rng.IntN(500)
}

func (m *memoryTest) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

func (m *memoryTest) publish() {
	v := m.s.View(testShard, m.at, keyspace.NewDatabases(), func() {})
	v.Owned.Slots = cluster.AllSlots
	m.views, m.shown[v] = append(m.views, v), maps.Clone(m.rows)
	if len(m.views) > 6 {
		delete(m.shown, m.views[0])
		m.views[0].Release()
		m.views = m.views[1:]
	}
}

func (m *memoryTest) release() {
	for _, v := range m.views {
		v.Release()
	}
	m.views = nil
	clear(m.shown)
}

// row is one of those that dataOf writes.
func (m *memoryTest) row() []byte {
	if m.rng.IntN(8) == 0 {
		return CountRow(testShard, uint32(m.rng.IntN(4)))
	}
	if m.rng.IntN(4) == 0 {
		return m.element()
	}
	return append(keyspace.SlotPrefix(nil, m.rng.IntN(5)), 'm', byte(m.rng.IntN(11)))
}

// element is the row of one of a list's elements, which apply pushes and pops.
func (m *memoryTest) element() []byte {
	return append(append(keyspace.SlotPrefix(nil, 1), 's'), fmt.Sprintf("one-list-elem-%02d", m.rng.IntN(9))...)
}

// read compares what readers are told with what the entries have written.
func (m *memoryTest) read() {
	for range 8 {
		v, row := m.views[m.rng.IntN(len(m.views))], m.row()
		m.same(row, fmt.Sprintf("a view of %d of %d", v.Index, m.at.Index), v, m.shown[v])
		m.same(row, "the newest state", m.s.Newest(testShard, m.at.Index), m.rows)
	}
	switch v := m.views[m.rng.IntN(len(m.views))]; m.rng.IntN(12) {
	case 0:
		m.walk("a view", v, m.shown[v])
	case 1:
		m.walk("the newest state", m.s.Newest(testShard, m.at.Index), m.rows)
	}
}

func (m *memoryTest) same(row []byte, what string, r keyspace.Reader, rows map[string]string) {
	m.t.Helper()
	got, ok, err := r.Get(row, []byte("dst"))
	m.must(err)
	if want, there := rows[string(row)]; ok != there || string(got) != "dst"+want {
		m.t.Fatalf("row %x in %s is %q, %v; want %q, %v", row, what, got, ok, want, there)
	}
}

// walk goes through some rows, there and back, and on from anywhere.
func (m *memoryTest) walk(what string, r keyspace.Reader, rows map[string]string) {
	m.t.Helper()
	lower, upper := m.row(), m.row()
	if bytes.Compare(lower, upper) > 0 {
		lower, upper = upper, lower
	}
	var want []string
	for row := range rows {
		if row >= string(lower) && row < string(upper) {
			want = append(want, row)
		}
	}
	slices.Sort(want)
	it, err := r.Iter(lower, upper)
	m.must(err)
	at, ok := -1, false
	for range 3 * (len(want) + 2) {
		switch x := m.rng.IntN(8); {
		case !ok && x < 4:
			at, ok = 0, it.First()
		case !ok:
			at, ok = len(want)-1, it.Last()
		case x == 0:
			row := m.row()
			at, _ = slices.BinarySearch(want, string(row))
			ok = it.SeekGE(row)
		case x == 1:
			row := m.row()
			at, _ = slices.BinarySearch(want, string(row))
			at, ok = at-1, it.SeekLT(row)
		case x < 6:
			at, ok = at+1, it.Next()
		default:
			at, ok = at-1, it.Prev()
		}
		if there := at >= 0 && at < len(want); there != ok || ok && (string(it.Key()) != want[at] || string(it.Value()) != rows[want[at]]) {
			m.t.Fatalf("a walk in %s is at %x, %q, %v; want row %d of %x", what, it.Key(), it.Value(), ok, at, want)
		}
	}
	m.must(it.Close())
}

// write has the entries' rows in the newest state.
func (m *memoryTest) write(w WriteSet) {
	m.must(w.Each(func(row, val []byte) error {
		m.rows[string(row)] = string(val)
		return nil
	}, func(row []byte) error {
		delete(m.rows, string(row))
		return nil
	}))
}

// apply applies some entries as one batch, and has readers read before it is
// committed, and before the view of it is there.
func (m *memoryTest) apply(more ...func(w *WriteSet)) {
	b, before, sets := m.s.NewBatch(), m.at, []WriteSet(nil)
	for range 1 + m.rng.IntN(3) {
		index, w := m.at.Index+1, WriteSet(dataOf(m.at.Index+1, 2))
		if row := m.element(); m.rng.IntN(3) == 0 {
			w.Delete(row)
		} else {
			w.Put(row, fmt.Append(nil, index))
		}
		b.Leads = m.rng.IntN(2) == 0
		for _, f := range more {
			f(&w)
		}
		all := w
		if m.rng.IntN(2) == 0 {
			w, all = m.piece(w)
		}
		var err error
		m.at, err = b.Apply(testShard, m.at, index, 2, w)
		m.must(err)
		sets = append(sets, all)
	}
	after := m.at
	m.at = before
	m.read()
	m.must(b.remember()) // a reader may come between this and what Commit does after it
	m.read()
	m.must(b.Commit())
	for range 4 {
		v := m.views[m.rng.IntN(len(m.views))]
		m.same(m.row(), "an old view", v, m.shown[v])
	}
	m.at = after
	for _, w := range sets {
		m.write(w)
	}
	m.publish()
	m.read()
}

// piece has an entry bring a piece of a write set, or end one, or give it up, and returns
// what it does in all.
func (m *memoryTest) piece(w WriteSet) (entry, all WriteSet) {
	if m.whole == nil {
		whole := NewWriteSet(0, 0)
		for range 1 + m.rng.IntN(60) {
			if row := m.row(); m.rng.IntN(4) == 0 {
				whole.Delete(row)
			} else {
				whole.Put(row, bytes.Repeat([]byte("piece "), m.rng.IntN(20)))
			}
		}
		m.whole, m.sent, m.n = whole.Rows(), 0, 0
	}
	if m.sent < len(m.whole) && m.rng.IntN(8) > 0 {
		size := min(1+m.rng.IntN(len(m.whole)/3+1), len(m.whole)-m.sent)
		w.Put(PieceRow(testShard, uint32(m.n)), m.whole[m.sent:m.sent+size])
		m.sent, m.n = m.sent+size, m.n+1
		return w, w
	}
	if m.n > 0 && m.rng.IntN(8) > 0 {
		entry = NewJoined(w.Time(), m.n, xxhash.Sum64(m.whole[:m.sent]), m.whole[m.sent:], 0)
		all = NewWriteSet(w.Time(), 0)
		all = append(all, m.whole...)
		for i := range m.n {
			entry.Delete(PieceRow(testShard, uint32(i)))
			all.Delete(PieceRow(testShard, uint32(i)))
		}
		entry.Append(w)
		all.Append(w)
		m.joined++
	} else {
		for i := range m.n {
			w.Delete(PieceRow(testShard, uint32(i)))
		}
		entry, all = w, w
	}
	m.whole = nil
	return entry, all
}

// giveOver makes the shard own other slots, whose rows another one has written:
// memory was not told of them.
func (m *memoryTest) giveOver() {
	b, w := m.s.NewBatch(), NewWriteSet(m.at.Time, 0)
	w.Put(SlotsRow(testShard), EncodeSlots(cluster.AllSlots))
	var err error
	m.at, err = b.Apply(testShard, m.at, m.at.Index+1, 2, w)
	m.must(err)
	m.write(w)
	for range 5 {
		row, val := m.row(), fmt.Sprint("another's ", m.at.Index)
		m.must(b.b.Set(row, []byte(val), nil))
		m.rows[string(row)] = val
	}
	m.must(b.Commit())
	m.publish()
}

// install puts the state of another replica in the place of this.
func (m *memoryTest) install() {
	index := m.at.Index + 1 + uint64(m.rng.IntN(5))
	v := snapshotAt(m.t, index, uint64(m.rng.IntN(100)))
	m.release()
	clear(m.rows)
	m.must(v.Rows(cluster.AllSlots, func(row, val []byte) error {
		m.rows[string(row)] = string(val)
		return nil
	}))
	at, err := receiveAll(m.t, m.s, v).Install()
	m.must(err)
	m.at, m.whole = at, nil
	m.look()
	m.publish()
}

// drop removes the replica and makes a new one.
func (m *memoryTest) drop() {
	m.release()
	m.must(m.s.Drop(testShard, cluster.AllSlots))
	m.at.Index += uint64(m.rng.IntN(3))
	clear(m.rows)
	m.must(m.s.Create(cluster.Descriptor{ID: testShard}, m.at, &pb.ConfState{}))
	m.whole = nil
	m.look()
	m.publish()
}

func (m *memoryTest) rewrite() {
	m.release()
	put, gone := m.row(), m.row()
	m.must(m.s.Settle(testShard))
	m.must(m.s.Rewrite([]Row{{put, []byte("put")}}, [][]byte{gone}))
	m.look()
	m.rows[string(put)] = "put"
	delete(m.rows, string(gone))
	m.publish()
}

// census begins a census or goes through its next piece, or the next after that:
// over a view that is not the newest any more.
func (m *memoryTest) census() {
	v := m.views[len(m.views)-1]
	if m.count == nil {
		m.count = v.Census()
	}
	if m.count == nil {
		return
	}
	if m.rng.IntN(2) == 0 {
		v.Acquire()
		defer v.Release()
		m.apply()
	}
	end, err := m.count.Piece(v, 300, func(int) bool { return true })
	m.must(err)
	if end {
		m.count = nil
		m.ended++
	}
}

// TestRowsInMemory does in random order all that changes a state, and compares
// what readers are told with what the store holds.
func TestRowsInMemory(t *testing.T) {
	joined := 0
	for seed := range uint64(60) {
		m := newMemoryTest(t, seed)
		for range 150 {
			switch m.rng.IntN(40) {
			case 0:
				m.install()
			case 1:
				m.drop()
			case 2:
				m.rewrite()
			case 3, 4:
				m.giveOver()
			case 19, 20:
				m.must(m.s.Settle(testShard))
			case 21, 22, 23:
				if WriteBack(m.s, testShard, 1<<m.rng.IntN(16)) {
					m.publish()
				}
			case 5, 6, 7, 8, 9, 10:
				m.apply()
			case 11, 12, 13, 14, 15, 16, 17, 18:
				m.census()
			}
			m.read()
		}
		if u := m.s.Rows(); u.Hits < u.Misses/2 || u.Absent == 0 || m.ended == 0 {
			t.Errorf("seed %d: %+v, %d censuses", seed, u, m.ended)
		}
		joined += m.joined
	}
	if joined < 200 {
		t.Errorf("%d write sets came in pieces", joined)
	}
}

// TestPieceFindsRotInMemory has a row in memory that is not what the store holds.
func TestPieceFindsRotInMemory(t *testing.T) {
	for _, x := range []struct {
		name string
		rot  func(v *View, row []byte)
		want error
	}{
		{"none", func(v *View, row []byte) { v.hot.Write(v.Index, []rowcache.Change{{Row: row, Val: []byte("value")}}) }, nil},
		{"another value", func(v *View, row []byte) { v.hot.Write(v.Index, []rowcache.Change{{Row: row, Val: []byte("valuf")}}) }, ErrMemory},
		{"absent", func(v *View, row []byte) { v.hot.Write(v.Index, []rowcache.Change{{Row: row, Gone: true}}) }, ErrMemory},
		{"of a later entry", func(v *View, row []byte) { v.hot.Write(v.Index+1, []rowcache.Change{{Row: row, Val: []byte("later")}}) }, nil},
	} {
		t.Run(x.name, func(t *testing.T) {
			m := newMemoryTest(t, 1)
			row := append(keyspace.SlotPrefix(nil, 7), 'm', 'k')
			m.apply(func(w *WriteSet) { w.Put(row, []byte("value")) })
			v := m.views[len(m.views)-1]
			m.same(row, "the view", v, m.shown[v]) // and from now on it is in memory
			x.rot(v, row)
			met := false
			_, err := v.Piece(cluster.AllSlots, nil, 1<<20, func(r, _ []byte) error {
				met = met || bytes.Equal(r, row)
				return nil
			})
			if !errors.Is(err, x.want) || errors.Is(err, ErrDamaged) || x.want == nil && !met {
				t.Errorf("%v, want %v", err, x.want)
			}
		})
	}
}
