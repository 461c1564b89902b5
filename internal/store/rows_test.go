package store

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	pb "go.etcd.io/raft/v3/raftpb"

	"tutti/internal/cluster"
	"tutti/internal/keyspace"
)

// memoryTest is a state with open views, whose rows are read through memory and
// past it.
type memoryTest struct {
	t     *testing.T
	rng   *rand.Rand
	s     *State
	at    Applied
	views []*View
	count *Census
	ended int // censuses that went through all rows
}

func newMemoryTest(t *testing.T, seed uint64) *memoryTest {
	s, _ := newTestState(t)
	m := &memoryTest{t: t, rng: rand.New(rand.NewPCG(seed, 3)), s: s, at: Applied{Index: 10, Term: 1}}
	m.publish()
	t.Cleanup(m.release)
	return m
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
	m.views = append(m.views, v)
	if len(m.views) > 6 {
		m.views[0].Release()
		m.views = m.views[1:]
	}
}

func (m *memoryTest) release() {
	for _, v := range m.views {
		v.Release()
	}
	m.views = nil
}

// row is one of those that dataOf writes.
func (m *memoryTest) row() []byte {
	if m.rng.IntN(8) == 0 {
		return CountRow(testShard, uint32(m.rng.IntN(4)))
	}
	return append(keyspace.SlotPrefix(nil, m.rng.IntN(5)), 'm', byte(m.rng.IntN(11)))
}

// read compares what a reader is told of some rows with what lies in the store.
func (m *memoryTest) read() {
	for range 8 {
		v, row := m.views[m.rng.IntN(len(m.views))], m.row()
		m.same(row, fmt.Sprintf("a view of %d of %d", v.Index, m.at.Index), v, v.snap)
		m.same(row, "the newest state", m.s.Newest(testShard, m.at.Index), m.s.db)
	}
}

func (m *memoryTest) same(row []byte, what string, r keyspace.Reader, past pebble.Reader) {
	m.t.Helper()
	want, there, err := get(past, row, nil)
	m.must(err)
	got, ok, err := r.Get(row, []byte("dst"))
	m.must(err)
	if ok != there || string(got) != "dst"+string(want) {
		m.t.Fatalf("row %x in %s is %q, %v; want %q, %v", row, what, got, ok, want, there)
	}
}

// apply applies some entries as one batch, and has readers read before it is
// committed, and before the view of it is there.
func (m *memoryTest) apply(more ...func(w *WriteSet)) {
	b, before := m.s.NewBatch(), m.at
	for range 1 + m.rng.IntN(3) {
		index, w := m.at.Index+1, WriteSet(dataOf(m.at.Index+1, 2))
		for _, f := range more {
			f(&w)
		}
		var err error
		m.at, err = b.Apply(testShard, m.at, index, 2, w)
		m.must(err)
	}
	after := m.at
	m.at = before
	m.read()
	m.must(b.remember()) // a reader may come between this and what Commit does after it
	m.read()
	m.must(b.Commit())
	for range 4 {
		v := m.views[m.rng.IntN(len(m.views))]
		m.same(m.row(), "an old view", v, v.snap)
	}
	m.at = after
	m.publish()
	m.read()
}

// giveOver makes the shard own other slots, whose rows another one has written:
// memory was not told of them.
func (m *memoryTest) giveOver() {
	b, w := m.s.NewBatch(), NewWriteSet(m.at.Time, 0)
	w.Put(SlotsRow(testShard), EncodeSlots(cluster.AllSlots))
	var err error
	m.at, err = b.Apply(testShard, m.at, m.at.Index+1, 2, w)
	m.must(err)
	for range 5 {
		m.must(b.b.Set(m.row(), fmt.Append(nil, "another's ", m.at.Index), nil))
	}
	m.must(b.Commit())
	m.publish()
}

// install puts the state of another replica in the place of this.
func (m *memoryTest) install() {
	index := m.at.Index + 1 + uint64(m.rng.IntN(5))
	v := snapshotAt(m.t, index, uint64(m.rng.IntN(100)))
	m.release()
	at, err := receiveAll(m.t, m.s, v).Install()
	m.must(err)
	m.at = at
	m.publish()
}

// drop removes the replica and makes a new one.
func (m *memoryTest) drop() {
	m.release()
	m.must(m.s.Drop(testShard, cluster.AllSlots))
	m.at.Index += uint64(m.rng.IntN(3))
	m.must(m.s.Create(cluster.Descriptor{ID: testShard}, m.at, &pb.ConfState{}))
	m.publish()
}

func (m *memoryTest) rewrite() {
	m.release()
	m.must(m.s.Rewrite([]Row{{m.row(), []byte("put")}, {m.row(), []byte("put")}}, [][]byte{m.row()}))
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
	for seed := range uint64(8) {
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
	}
}

// TestPieceFindsRotInMemory has a row in memory that is not what the store holds.
func TestPieceFindsRotInMemory(t *testing.T) {
	for _, x := range []struct {
		name string
		rot  func(v *View, row []byte)
		want error
	}{
		{"none", func(v *View, row []byte) { v.hot.Put(v.Index, row, []byte("value")) }, nil},
		{"another value", func(v *View, row []byte) { v.hot.Put(v.Index, row, []byte("valuf")) }, ErrMemory},
		{"absent", func(v *View, row []byte) { v.hot.Delete(v.Index, row) }, ErrMemory},
		{"of a later entry", func(v *View, row []byte) { v.hot.Put(v.Index+1, row, []byte("later")) }, nil},
	} {
		t.Run(x.name, func(t *testing.T) {
			m := newMemoryTest(t, 1)
			row := append(keyspace.SlotPrefix(nil, 7), 'm', 'k')
			m.apply(func(w *WriteSet) { w.Put(row, []byte("value")) })
			v := m.views[len(m.views)-1]
			m.same(row, "the view", v, v.snap) // and from now on it is in memory
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
