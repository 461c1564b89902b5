package store

import (
	"bytes"
	"cmp"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"tutti/internal/cluster"
	"tutti/internal/keyspace"
)

// Rows that entries write reach Pebble late: what some seconds, or megabytes of entries,
// have made of a shard, in one batch, in the order of its rows, the newest value of each
// only. A memtable is a list with as many levels as there are misses of the processor's
// cache, and its tables are merged again and again; a row that is written again before it
// gets there, or removed, as rows of replies are, costs nothing. See docs/RATIONALE.md for
// the measurements.
//
// Until then they lie in a layer, with the index of the entry that wrote each. A full layer
// becomes a run (run.go), and the next one lies over the runs, and those over a snapshot of
// Pebble: a view is what the layer had at the view's index, or else what is below it. What
// is written back is a whole number of runs, the oldest ones, so Pebble has what the state
// was behind one entry, which its applied row names.
//
// A crash takes layers and runs as it takes memtables: the log has their entries.

const (
	// lateBytes is how much the layer of one shard holds: it has to stay in the processor's
	// cache, and making a run of it holds up the loop for about a millisecond.
	lateBytes = 384 << 10
	// lateTotal is how much the layers of all shards hold together.
	lateTotal = 16 << 20
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
	return kind == localCount || kind == localSession || kind == localReplies || kind == localWaiter || kind == localPiece
}

// layers are what is late of all shards.
type layers struct {
	max   int          // bytes of one layer
	wide  int          // bytes of an entry that becomes a run at once
	back  backLimits   // of runs
	total atomic.Int64 // bytes of all layers
	held  atomic.Int64 // bytes of all runs that the next layers lie over
	mu    sync.Mutex   // guards shard
	shard map[cluster.ShardID]*lateShard
}

// lateShard is what has been applied late of one shard. It belongs to the goroutine that
// applies the shard's entries.
type lateShard struct {
	top  atomic.Pointer[layer] // nil: none was begun, and nothing is late
	hint int                   // how many rows the one before had
	// runs and base are what the next layer lies over: the one on top may lie over what
	// was there before something was written back.
	runs    runs
	base    *snapshot  // nil: Pebble as it is when the next layer is begun
	writing *writeBack // under way, or over and not taken over yet; nil: none
	pace    pace
}

// snapshot is one of Pebble that several layers lie over.
type snapshot struct {
	*pebble.Snapshot
	refs atomic.Int64
}

func newSnapshot(s *State) *snapshot {
	shot := &snapshot{Snapshot: s.db.NewSnapshot()}
	shot.refs.Store(1)
	return shot
}

func (s *snapshot) acquire() *snapshot {
	s.refs.Add(1)
	return s
}

func (s *snapshot) release() {
	if s.refs.Add(-1) == 0 {
		s.Close()
	}
}

// layer is the rows that entries have written since it was begun. Who applies adds to it;
// views read, each what it had at their index.
type layer struct {
	runs  runs         // below it
	base  *snapshot    // below those
	refs  atomic.Int64 // one for lateShard, one for each view
	total *atomic.Int64

	mu     sync.RWMutex // guards the rest
	table  rowTable     // places in newest
	newest []int32      // of each row, in list
	list   []version
	bytes  int
	added  int     // of bytes, when the entry began
	order  []int32 // rows in order, as places in newest; those that were there when it was made
}

// version is what an entry made of a row.
type version struct {
	index uint64
	row   []byte
	val   []byte
	hash  uint32
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

// forget drops what is late of a shard: it is replaced, removed, or already in Pebble. It
// waits for what is being written back.
func (l *layers) forget(shard cluster.ShardID) {
	l.mu.Lock()
	x := l.shard[shard]
	delete(l.shard, shard)
	l.mu.Unlock()
	if x != nil {
		x.renew(l)
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
func (x *lateShard) renew(l *layers) {
	if x.writing != nil {
		<-x.writing.done
	}
	if top := x.top.Swap(nil); top != nil {
		x.hint = len(top.newest)
		top.release()
	}
	if x.base != nil {
		x.base.release()
	}
	l.held.Add(-int64(x.runs.bytes()))
	x.runs, x.base, x.writing = nil, nil, nil
	x.pace.begin()
}

// open returns the layer that is on top. The caller takes a reference to keep it.
func (x *lateShard) open(s *State) *layer {
	if top := x.top.Load(); top != nil {
		return top
	}
	x.base = newSnapshot(s)
	return x.begin(s)
}

// begin begins a layer.
func (x *lateShard) begin(s *State) *layer {
	top := &layer{runs: x.runs, base: x.base.acquire(), total: &s.late.total}
	top.refs.Store(1)
	if old := x.top.Swap(top); old != nil {
		x.hint = len(old.newest)
		old.release()
	}
	return top
}

func (l *layer) release() {
	if l.refs.Add(-1) == 0 {
		l.base.release()
		l.total.Add(-int64(l.bytes))
	}
}

// begin takes the lock for the rows of an entry, end gives it back.
func (l *layer) begin(hint int) {
	l.mu.Lock()
	if l.table == nil {
		l.newest, l.list = make([]int32, 0, hint), make([]version, 0, 2*hint)
		l.widen(max(hint, 32))
	}
	l.added = l.bytes
}

// widen makes the table large enough for so many rows.
func (l *layer) widen(rows int) {
	l.table = newRowTable(rows)
	for i, at := range l.newest {
		l.table.enter(i, l.list[at].hash)
	}
}

// find returns the place of a row, -1: no entry has written it.
func (l *layer) find(row []byte, hash uint32) int {
	if l.table == nil {
		return -1
	}
	mask := len(l.table) - 1
	for at := int(hash) & mask; l.table[at] != 0; at = (at + 1) & mask {
		i := int(l.table[at] - 1)
		if v := &l.list[l.newest[i]]; v.hash == hash && bytes.Equal(v.row, row) {
			return i
		}
	}
	return -1
}

func (l *layer) end() {
	l.total.Add(int64(l.bytes - l.added))
	l.mu.Unlock()
}

// write adds what an entry made of a row. It is called with the lock, after begin.
func (l *layer) write(v version) {
	v.hash = rowHash(v.row)
	at := l.find(v.row, v.hash)
	if at < 0 {
		_, _, replies := isReplies(v.row) // each has the index of its entry
		v.older, v.fresh = -1, replies && v.put
		at = len(l.newest)
		if 2*(at+1) > len(l.table) {
			l.widen(2 * (at + 1))
		}
		l.newest = append(l.newest, 0)
		l.table.enter(at, v.hash)
	} else {
		v.older = l.newest[at]
		v.fresh = l.list[v.older].fresh
	}
	l.newest[at] = int32(len(l.list))
	l.list = append(l.list, v)
	l.bytes += len(v.row) + len(v.val) + versionBytes
}

// get returns what a row was at an index; known: the layer has it.
func (l *layer) get(at uint64, row []byte, hash uint32) (val []byte, ok, known bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if i := l.find(row, hash); i >= 0 {
		if v := l.version(int32(i), at); v != nil {
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

// sort brings the order up to date, and is called with the lock.
func (l *layer) sort() {
	n := len(l.order)
	if n == len(l.newest) {
		return
	}
	for at := n; at < len(l.newest); at++ {
		l.order = append(l.order, int32(at))
	}
	if tail := l.order[n:]; len(tail) < n/sortedMin { // few: each finds its place
		for i, at := range tail {
			to, _ := slices.BinarySearchFunc(l.order[:n+i], l.row(at), l.compare)
			copy(l.order[to+1:n+i+1], l.order[to:n+i])
			l.order[to] = at
		}
		return
	}
	type key struct { // most are told apart without a look at the row
		lead uint64
		at   int32
	}
	keys := make([]key, len(l.order))
	for i, at := range l.order {
		keys[i] = key{lead(l.row(at)), at}
	}
	slices.SortFunc(keys, func(a, b key) int {
		if a.lead != b.lead {
			return cmp.Compare(a.lead, b.lead)
		}
		return l.compare(a.at, l.row(b.at))
	})
	for i := range keys {
		l.order[i] = keys[i].at
	}
}

// sortedMin is how many times as many rows as new ones are sorted, for those to be put
// between them one by one.
const sortedMin = 8

func (l *layer) row(at int32) []byte { return l.list[l.newest[at]].row }

func (l *layer) compare(at int32, row []byte) int { return bytes.Compare(l.row(at), row) }

// each calls f with the newest version of each row, in order. The goroutine that applies
// calls it.
func (l *layer) each(f func(v *version) error) error {
	l.mu.Lock()
	l.sort()
	order := l.order
	l.mu.Unlock()
	for _, at := range order {
		if err := f(&l.list[l.newest[at]]); err != nil {
			return err
		}
	}
	return nil
}

// run makes a run of the newest versions, nil: there are none.
func (l *layer) run() *run {
	if l.empty() {
		return nil
	}
	data := 0
	for _, at := range l.newest {
		v := &l.list[at]
		data += runBytes(v.row, v.val)
	}
	r := newRun(0, len(l.newest), data)
	_ = l.each(func(v *version) error {
		kind := rowKind(0)
		if v.put {
			kind |= rowPut
		}
		if v.fresh {
			kind |= rowFresh
		}
		if kind != rowFresh { // else it came and went
			r.add(v.row, v.val, kind, v.hash)
		}
		return nil
	})
	return r.seal()
}

// between returns the rows in [lower, upper) as they were at an index, in order, removed
// ones too.
func (l *layer) between(at uint64, lower, upper []byte) (rows []version) {
	if l.empty() {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sort()
	from, _ := slices.BinarySearchFunc(l.order, lower, l.compare)
	for _, i := range l.order[from:] {
		if bytes.Compare(l.row(i), upper) >= 0 {
			break
		}
		if v := l.version(i, at); v != nil {
			rows = append(rows, *v)
		}
	}
	return rows
}

// over lays the rows of a layer, if there is one, in [lower, upper), as they
// were at an index, and those of the runs below it, over those of base.
func (l *layer) over(at uint64, base keyspace.Iterator, lower, upper []byte) keyspace.Iterator {
	if l == nil {
		return base
	}
	base = l.runs.over(base, lower, upper)
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
