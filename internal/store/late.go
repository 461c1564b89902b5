package store

import (
	"bytes"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"tutti/internal/cluster"
	"tutti/internal/keyspace"
)

// Rows that entries write reach Pebble late: some hundred entries of a shard in one batch,
// in the order of their rows, the newest value of each only. A memtable of some MiB is a
// list with as many levels as there are misses of the processor's cache; a row put next to
// the one before costs half of one put anywhere, and one that is written again, or removed
// before it got there, as rows of replies are, costs nothing. See docs/RATIONALE.md for the
// measurements.
//
// Until then they lie in a layer over a snapshot of Pebble, with the index of the entry
// that wrote each: a view is what the snapshot has and the layer had at the view's index.
// A crash takes layers as it takes memtables: the log has their entries, and the applied
// row reaches Pebble in one batch with what it tells of.
//
// Walks over many rows pass a layer badly. After one, the entries that follow go to Pebble
// at once for a while.

const (
	// lateBytes is how much the layer of one shard holds: at 128 KiB half of the gain was
	// left, at 1 MiB there was no more than at this, and committing it holds up the loop
	// for about 5 ms.
	lateBytes = 384 << 10
	// lateTotal is how much the layers of all shards hold together.
	lateTotal = 16 << 20
	// lateEntry is how large an entry may be that goes through a layer.
	lateEntry = 64 << 10
	// walkedFor is how many batches go to Pebble at once after a walk.
	walkedFor = 16
	// versionBytes is what a version takes beside its row and its value.
	versionBytes = 96
)

// layerBytes is how much the layer of one shard holds.
func (c *Config) layerBytes() int {
	if c.MemtableBytes > 0 { // as small, so that batches of Pebble are not larger than they
		return int(min(lateBytes, c.MemtableBytes/8))
	}
	return lateBytes
}

// comesLate reports whether a row is read through views and the newest state of its shard
// only: those of keys, and what is written by most entries. What a shard knows of itself
// is read from Pebble.
func comesLate(row []byte) bool {
	kind, _, local := LocalKey(row)
	if !local {
		return !keyspace.IsMetaRow(row)
	}
	return kind == localCount || kind == localSession || kind == localReplies || kind == localWaiter
}

// layers are the layers of all shards that have one.
type layers struct {
	max   int          // bytes of one
	total atomic.Int64 // bytes of all
	mu    sync.Mutex   // guards shard
	shard map[cluster.ShardID]*lateShard
}

// lateShard is what has been applied late of one shard. It belongs to the goroutine that
// applies the shard's entries; a batch that is committed beside it takes the top away.
type lateShard struct {
	top    atomic.Pointer[layer] // nil: none was begun
	hint   int                   // how many rows the one before had
	walked atomic.Int32          // for how many batches rows go to Pebble at once
}

// layer is the rows that entries have written since a snapshot of Pebble was taken. Who
// applies adds to it; views read, each what it had at their index.
type layer struct {
	base  *pebble.Snapshot
	refs  atomic.Int64 // one for lateShard, one for each view
	total *atomic.Int64

	mu     sync.RWMutex // guards the rest
	rows   map[string]int32
	newest []int32 // of each row, in list
	list   []version
	bytes  int
	added  int      // of bytes, when the entry began
	names  []string // rows in order, those that were there when it was made
}

// version is what an entry made of a row.
type version struct {
	index uint64
	row   []byte
	val   []byte
	older int32 // in the list; -1: none
	put   bool  // else it is removed
	fresh bool  // Pebble has no such row
}

// of returns what is late of a shard.
func (l *layers) of(shard cluster.ShardID) *lateShard {
	l.mu.Lock()
	defer l.mu.Unlock()
	x := l.shard[shard]
	if x == nil {
		x = new(lateShard)
		l.shard[shard] = x
	}
	return x
}

// forget drops what is late of a shard: it is replaced, removed, or already in Pebble.
func (l *layers) forget(shard cluster.ShardID) {
	l.mu.Lock()
	x := l.shard[shard]
	delete(l.shard, shard)
	l.mu.Unlock()
	if x != nil {
		x.renew()
	}
}

func (l *layers) forgetAll() {
	for _, shard := range l.shards() {
		l.forget(shard)
	}
}

func (l *layers) shards() []cluster.ShardID {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Sorted(maps.Keys(l.shard))
}

// renew has the next view begin a layer over what Pebble has then.
func (x *lateShard) renew() {
	if top := x.top.Swap(nil); top != nil {
		x.hint = len(top.newest)
		top.release()
	}
}

// open returns the layer that is on top. The caller takes a reference to keep it.
func (x *lateShard) open(s *State) *layer {
	top := x.top.Load()
	if top == nil {
		top = &layer{base: s.db.NewSnapshot(), total: &s.late.total}
		top.refs.Store(1)
		x.top.Store(top)
	}
	return top
}

// straight reports whether a batch is to go to Pebble at once, because of walks.
func (x *lateShard) straight() bool {
	if x.walked.Load() > 0 {
		x.walked.Add(-1)
		return true
	}
	return false
}

// walk notes that somebody goes through rows.
func (x *lateShard) walk() {
	if x.walked.Load() != walkedFor {
		x.walked.Store(walkedFor)
	}
}

func (l *layer) release() {
	if l.refs.Add(-1) == 0 {
		l.base.Close()
		l.total.Add(-int64(l.bytes))
	}
}

// begin takes the lock for the rows of an entry, end gives it back.
func (l *layer) begin(hint int) {
	l.mu.Lock()
	if l.rows == nil {
		l.rows, l.newest, l.list = make(map[string]int32, hint), make([]int32, 0, hint), make([]version, 0, 2*hint)
	}
	l.added = l.bytes
}

func (l *layer) end() {
	l.total.Add(int64(l.bytes - l.added))
	l.mu.Unlock()
}

// write adds what an entry made of a row. It is called with the lock, after begin.
func (l *layer) write(v version) {
	at, has := l.rows[string(v.row)]
	if !has {
		_, _, replies := isReplies(v.row) // each has the index of its entry
		v.older, v.fresh = -1, replies && v.put
		at = int32(len(l.newest))
		l.rows[string(v.row)] = at
		l.newest = append(l.newest, 0)
	} else {
		v.older = l.newest[at]
		v.fresh = l.list[v.older].fresh
	}
	l.newest[at] = int32(len(l.list))
	l.list = append(l.list, v)
	l.bytes += len(v.row) + len(v.val) + versionBytes
}

// get returns what a row was at an index; known: the layer has it.
func (l *layer) get(at uint64, row []byte) (val []byte, ok, known bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if i, has := l.rows[string(row)]; has {
		if v := l.version(i, at); v != nil {
			return v.val, v.put, true
		}
	}
	return nil, false, false
}

// version returns what the i-th row was at an index, nil if no entry had written it.
func (l *layer) version(i int32, at uint64) *version {
	for n := l.newest[i]; n >= 0; n = l.list[n].older {
		if v := &l.list[n]; v.index <= at {
			return v
		}
	}
	return nil
}

// empty reports whether nothing is late.
func (l *layer) empty() bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return len(l.list) == 0
}

// order brings the names up to date, and is called with the lock.
func (l *layer) order() {
	n := len(l.names)
	if n == len(l.newest) {
		return
	}
	// Those that are new lie anywhere in the list; rows are told from older ones by place.
	tail := make([]string, 0, len(l.newest)-n)
	for name, at := range l.rows {
		if int(at) >= n {
			tail = append(tail, name)
		}
	}
	slices.Sort(tail)
	names := make([]string, 0, len(l.newest))
	for _, name := range l.names {
		for len(tail) > 0 && tail[0] < name {
			names, tail = append(names, tail[0]), tail[1:]
		}
		names = append(names, name)
	}
	l.names = append(names, tail...)
}

// each calls f with the newest version of each row, in order. The goroutine that applies
// calls it.
func (l *layer) each(f func(v *version) error) error {
	l.mu.Lock()
	l.order()
	names := l.names
	l.mu.Unlock()
	for _, name := range names {
		if err := f(&l.list[l.newest[l.rows[name]]]); err != nil {
			return err
		}
	}
	return nil
}

// between returns the rows in [lower, upper) as they were at an index, in order, removed
// ones too.
func (l *layer) between(at uint64, lower, upper []byte) (rows []version) {
	if l.empty() {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.order()
	from, _ := slices.BinarySearch(l.names, string(lower))
	for _, name := range l.names[from:] {
		if name >= string(upper) {
			break
		}
		if v := l.version(l.rows[name], at); v != nil {
			rows = append(rows, *v)
		}
	}
	return rows
}

// over lays the rows of a layer, if there is one, in [lower, upper), as they
// were at an index, over those of base.
func (l *layer) over(at uint64, base keyspace.Iterator, lower, upper []byte) keyspace.Iterator {
	if l == nil {
		return base
	}
	rows := l.between(at, lower, upper)
	if len(rows) == 0 {
		return base
	}
	return keyspace.Merge(base, &lateRows{rows: rows})
}

// lateRows walks over rows of a layer. It implements keyspace.Overlay.
type lateRows struct {
	rows []version
	at   int
}

func (r *lateRows) First()      { r.at = 0 }
func (r *lateRows) Last()       { r.at = len(r.rows) - 1 }
func (r *lateRows) OK() bool    { return r.at >= 0 && r.at < len(r.rows) }
func (r *lateRows) Row() []byte { return r.rows[r.at].row }

func (r *lateRows) Seek(row []byte, back bool) {
	r.at, _ = slices.BinarySearchFunc(r.rows, row, func(v version, row []byte) int { return bytes.Compare(v.row, row) })
	if back {
		r.at--
	}
}

func (r *lateRows) Step(back bool) {
	if back {
		r.at--
	} else {
		r.at++
	}
}

func (r *lateRows) Val() []byte {
	if v := &r.rows[r.at]; v.put {
		return v.val
	}
	return nil
}
