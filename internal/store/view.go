package store

import (
	"fmt"
	"sync/atomic"

	"tutti/internal/cluster"
	"tutti/internal/keyspace"
	"tutti/internal/rowcache"
)

// View is the state of a shard at one applied index: immutable, shared by many
// readers, closed when the last one releases it. It implements keyspace.Reader.
type View struct {
	Applied
	Shard     cluster.ShardID
	Databases *keyspace.Databases
	// Users is the epoch of the users by whose rights this state must be read, or
	// those of a later one.
	Users uint64
	// Owned is what the shard owns in this state.
	Owned cluster.Descriptor

	top     *layer
	hot     *rowcache.Rows
	replies replyRows // see SessionRows
	closed  func()
	refs    atomic.Int64
	held    atomic.Int64 // values, see HoldIf

	reclaimer *reclaimer // is told where reading is slow
}

// View opens the newest state. Called by the shard's loop, which passes what it
// knows of that state; the caller holds one reference. closed is called when
// the last one is released.
func (s *State) View(shard cluster.ShardID, at Applied, dbs *keyspace.Databases, closed func()) *View {
	late := s.late.of(shard)
	v := &View{Applied: at, Shard: shard, Databases: dbs, top: late.open(s), hot: s.hot.of(shard), replies: s.known.repliesOf(shard), closed: closed, reclaimer: &s.reclaimer}
	v.top.refs.Add(1)
	v.refs.Store(1)
	return v
}

// Acquire adds a reference. The caller must hold one or the lock of who does.
func (v *View) Acquire() *View {
	v.refs.Add(1)
	return v
}

// Release gives a reference back.
func (v *View) Release() {
	switch n := v.refs.Add(-1); {
	case n == 0 && v.held.Load() != 0:
		panic(fmt.Sprintf("store: view of shard %d at %d released with %d values held", v.Shard, v.Index, v.held.Load()))
	case n == 0:
		v.top.release()
		v.closed()
	case n < 0:
		panic(fmt.Sprintf("store: view of shard %d at %d released too often", v.Shard, v.Index))
	}
}

// Get implements keyspace.Reader.
func (v *View) Get(row, dst []byte) ([]byte, bool, error) { return v.GetIf(row, dst, nil) }

// GetIf is Get of a row whose value is read only if fits says so: else the error is
// keyspace.ErrNoRoom.
func (v *View) GetIf(row, dst []byte, fits func(n int) bool) ([]byte, bool, error) {
	if val, ok, known := inMemory(v.hot, v.Index, row, dst); known {
		return val, ok, nil
	}
	val, _, ok, err := v.take(row, dst, taking{fits: fits})
	return val, ok, err
}

// HoldIf is GetIf for a keyspace.Holder. What is held is let go before the view is released.
func (v *View) HoldIf(row, dst []byte, fits func(n int) bool) ([]byte, keyspace.Held, bool, error) {
	if val, ok, known := inMemory(v.hot, v.Index, row, dst); known {
		return val, nil, ok, nil
	}
	return v.take(row, dst, taking{fits: fits, hold: v})
}

// take gets a row that is not in memory.
func (v *View) take(row, dst []byte, how taking) ([]byte, keyspace.Held, bool, error) {
	val, held, ok, err := lookUp(v.hot, source{v.Index, v.top, v.top.base}, row, dst, how)
	noticed(&v.reclaimer.state.cfg, err)
	return val, held, ok, err
}

// Expect implements keyspace.Expecter.
func (v *View) Expect(rows [][]byte) bool { return v.hot.Expect(rows) }

// Iter implements keyspace.Reader.
func (v *View) Iter(lower, upper []byte) (keyspace.Iterator, error) {
	it, err := iter(&v.reclaimer.state.cfg, v.top.base, v.reclaimer, lower, upper)
	if err != nil {
		return nil, err
	}
	return v.top.over(v.Index, it, lower, upper), nil
}

// all is Iter for those who go through everything, and are no walk of a command.
func (v *View) all(lower, upper []byte) (keyspace.Iterator, error) {
	it, err := read(&v.reclaimer.state.cfg, v.top.base, lower, upper)
	if err != nil {
		return nil, err
	}
	return v.top.over(v.Index, it, lower, upper), nil
}

// Keys returns the number of keys of a physical database.
func (v *View) Keys(pdb uint32) (int64, error) { return readCount(v, v.Shard, pdb) }

// readCount reads a number that decides: FLUSHDB looks at it, and what a batch
// adds to it is replicated. Only a row that is not there means none.
func readCount(r keyspace.Reader, shard cluster.ShardID, pdb uint32) (int64, error) {
	b, ok, err := r.Get(CountRow(shard, pdb), nil)
	if err != nil || !ok {
		return 0, err
	}
	if len(b) != 8 {
		return 0, &keyspace.RowError{What: fmt.Sprintf("number of keys in shard %d of %d bytes", shard, len(b))}
	}
	return int64(be.Uint64(b)), nil
}
