package store

import (
	"errors"
	"fmt"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"tutti/internal/cluster"
	"tutti/internal/keyspace"
	"tutti/internal/rowcache"
)

// ErrMemory says that a row in memory is not what the store holds. The store can be
// trusted, its rows have checksums; what this process has in memory can't.
var ErrMemory = errors.New("a row in memory differs from the store")

// hotRows are the rows that are kept in memory, of every shard that was asked for.
// What changes the state otherwise than by entries makes a shard's new ones.
type hotRows struct {
	cache *rowcache.Cache // nil: none are kept
	mu    sync.Mutex      // guards shards
	shard map[cluster.ShardID]*rowcache.Rows
}

// of returns the rows of a shard.
func (h *hotRows) of(shard cluster.ShardID) *rowcache.Rows {
	if h.cache == nil {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.shard[shard]
	if r == nil {
		r = h.cache.Open()
		h.shard[shard] = r
	}
	return r
}

// forget makes what is in memory of a shard unknown to views that are opened from
// now on. Those that are open keep what they know: it is true of their state.
func (h *hotRows) forget(shard cluster.ShardID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.shard, shard)
}

// forgetAll is forget for all shards.
func (h *hotRows) forgetAll() {
	h.mu.Lock()
	defer h.mu.Unlock()
	clear(h.shard)
}

func (h *hotRows) close() {
	if h.cache != nil {
		h.cache.Close()
	}
}

// hot reports whether a row is one that is looked up for itself, again and again.
func hot(row []byte) bool {
	return keyspace.LookedUp(row) || len(row) == localRowLen+4 && row[0] == localPrefix && row[localRowLen-1] == localCount
}

// entry is one whose rows are in a batch.
type entry struct {
	shard cluster.ShardID
	index uint64
	data  Effects
	owns  bool // from this one on the shard owns other slots
	leads bool // see Batch.Leads
}

// remember tells the rows in memory what the entries of the batch write. It comes
// before the batch can be seen: whoever reads the newest state, and keeps what it
// found, must not have read what an entry has replaced.
func (b *Batch) remember() error {
	h := &b.s.hot
	for _, e := range b.entries {
		if e.owns {
			// Rows of slots that were others' meanwhile may be other ones.
			h.forget(e.shard)
		}
		rows := h.of(e.shard)
		var some [writtenTogether]rowcache.Change
		n := 0
		add := func(row, val []byte, gone bool) error {
			if !hot(row) {
				return nil
			}
			some[n] = rowcache.Change{Row: row, Val: val, Gone: gone, Once: e.leads && keyspace.Queued(row)}
			if n++; n == len(some) {
				rows.Write(e.index, some[:])
				n = 0
			}
			return nil
		}
		if err := e.data.Each(
			func(row, val []byte) error { return add(row, val, false) },
			func(row []byte) error { return add(row, nil, true) },
		); err != nil {
			return err
		}
		rows.Write(e.index, some[:n])
	}
	return nil
}

// writtenTogether is of how many rows of an entry the memory is told at a time.
const writtenTogether = 64

// source is where the rows of a state are that are not in memory for themselves: in a
// layer, as they were at an index, or below it, in runs or in Pebble.
type source struct {
	at   uint64
	top  *layer // nil: nothing is late
	base pebble.Reader
}

// get appends the value of a row to dst, or holds it: then dst is as it was.
func (s source) get(row, dst []byte, how taking) (val []byte, held keyspace.Held, ok bool, err error) {
	if s.top != nil {
		hash := rowHash(row)
		val, ok, known := s.top.get(s.at, row, hash)
		if !known {
			val, ok, known = s.top.runs.get(row, hash)
		}
		if known {
			return take(dst, val, ok, nil, how)
		}
	}
	val, closer, err := s.base.Get(row)
	if errors.Is(err, pebble.ErrNotFound) {
		return dst, nil, false, nil
	}
	if err != nil {
		return dst, nil, false, fmt.Errorf("read state: %w", damage(err))
	}
	return take(dst, val, true, closer, how)
}

// inMemory gets a row that is kept in memory, or is known there to be absent.
func inMemory(rows *rowcache.Rows, at uint64, row, dst []byte) (val []byte, ok, known bool) {
	if !hot(row) {
		return dst, false, false
	}
	return rows.Get(at, row, dst)
}

// lookUp gets a row that is not in memory for itself, see source.get, and keeps it there if
// it is one that is looked up again.
func lookUp(rows *rowcache.Rows, from source, row, dst []byte, how taking) (val []byte, held keyspace.Held, ok bool, err error) {
	val, held, ok, err = from.get(row, dst, how)
	if err == nil && held == nil && hot(row) { // what is held is larger than what is kept
		rows.Fill(from.at, row, val[len(dst):], ok)
	}
	return val, held, ok, err
}

// Newest is the newest state of a shard, for the shard's loop: that is who changes
// it. It implements keyspace.Reader until the next entry is applied.
type Newest struct {
	s     *State
	shard cluster.ShardID
	rows  *rowcache.Rows
	top   *layer // what is in it is right also once it has been committed
	index uint64
}

// Newest returns the newest state of a shard, to which its entries up to index are
// applied.
func (s *State) Newest(shard cluster.ShardID, index uint64) *Newest {
	return &Newest{s, shard, s.hot.of(shard), s.late.of(shard).top.Load(), index}
}

// Get implements keyspace.Reader.
func (n *Newest) Get(row, dst []byte) ([]byte, bool, error) {
	if val, ok, known := inMemory(n.rows, n.index, row, dst); known {
		return val, ok, nil
	}
	val, _, ok, err := lookUp(n.rows, source{n.index, n.top, n.s.db}, row, dst, taking{})
	noticed(&n.s.cfg, err)
	return val, ok, err
}

// Expect implements keyspace.Expecter.
func (n *Newest) Expect(rows [][]byte) bool { return n.rows.Expect(rows) }

// Iter implements keyspace.Reader.
func (n *Newest) Iter(lower, upper []byte) (keyspace.Iterator, error) {
	it, err := iter(&n.s.cfg, n.s.db, &n.s.reclaimer, lower, upper)
	if err != nil {
		return nil, err
	}
	return n.top.over(n.index, it, lower, upper), nil
}

// Keys returns the number of keys of a physical database.
func (n *Newest) Keys(pdb uint32) (int64, error) { return readCount(n, n.shard, pdb) }

// agrees is an error if the memory has another value for a row than the snapshot.
func (v *View) agrees(row, val []byte) error {
	if hot(row) && v.hot.Differs(v.Index, row, val) {
		return fmt.Errorf("shard %d, row %x at entry %d: %w", v.Shard, row, v.Index, ErrMemory)
	}
	return nil
}
