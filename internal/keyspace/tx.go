package keyspace

import (
	"bytes"
	"errors"
	"slices"
	"sync/atomic"

	"github.com/cespare/xxhash/v2"
)

// WriteSetMax bounds the effects of one command, in bytes of rows. It is what
// one raft entry carries at most beside its batch.
const WriteSetMax = 16 << 20

// Errors of a transaction that was ended before it was through.
var (
	// ErrHeavy says that it took more steps than Allow allowed.
	ErrHeavy = errors.New("too many steps")
	// ErrStopped says that Env.Stop was set.
	ErrStopped = errors.New("stopped")
)

// stepBytes is how many bytes of a value count as one more step: copying them
// takes about as long as looking up a row.
const stepBytes = 4 << 10

// Reader is an immutable state of rows.
type Reader interface {
	// Get appends the value of row to dst; ok is false if there is no such row.
	Get(row, dst []byte) (val []byte, ok bool, err error)
	// Iter iterates over the rows in [lower, upper).
	Iter(lower, upper []byte) (Iterator, error)
}

// Iterator walks rows in order. Key and Value are valid until the next move.
type Iterator interface {
	First() bool
	Last() bool
	Next() bool
	Prev() bool
	SeekGE(row []byte) bool
	SeekLT(row []byte) bool
	Key() []byte
	Value() []byte
	Close() error
}

// Env is what a transaction knows of the world beside its rows.
type Env struct {
	// Now is the time of the batch or read, in milliseconds of shard time.
	Now int64
	// Applied is the replicated shard time of the state read. A deadline in
	// (Applied, Now] makes the outcome depend on Now: see Tx.UsedNow.
	// Invariant: Applied <= Now.
	Applied int64
	// Index is the raft index that the effects will have: the version of what
	// they change.
	Index uint64
	// Databases maps logical to physical databases; SetDatabases changes it.
	Databases *Databases
	// Keys returns the number of keys of a physical database in the state read.
	Keys func(pdb uint32) int64
	// NewID returns a fresh object id. Nil in a reading transaction.
	NewID func() uint64
	// Known, if not nil, spares look-ups; see there.
	Known *Known
	// Rand returns a random number below n.
	Rand func(n uint64) uint64
	// Touched, if not nil, collects the keys that are looked at. Walks over whole
	// databases are not among them.
	Touched map[Touched]struct{}
	// Stop, if not nil, ends the transaction with ErrStopped once it is set.
	Stop *atomic.Bool
}

// Touched is a key that a transaction has looked at.
type Touched struct {
	DB  uint8
	Key string
}

type op struct {
	row []byte
	val []byte // nil: delete
}

// Tx is one transaction: many commands may run in it one after the other, and
// each sees the writes of those before. It is not safe for concurrent use.
//
// Errors of the Reader are sticky: reads after one find nothing, Err returns
// it, and nothing of the transaction may be used. A transaction that takes too
// many steps ends in the same way. That keeps command code free
// of error paths which could only give up anyway.
type Tx struct {
	Env
	base     Reader
	writable bool
	usedNow  bool
	err      error
	steps    int
	stepsMax int // 0: no limit
	writes   int

	ops        []op
	at         map[uint64]int32 // hash of a row -> ops; see find
	order      []int32          // ops sorted by row; ops[len(order):] are not in it yet
	size       int              // bytes of ops
	undo       []undo
	marked     int // ops existing at the mark
	markedSize int
	counts     map[uint32]int64
	undoC      map[uint32]int64
	dbs        *Databases // as it was before the transaction
	undoD      *Databases
	buf, val   []byte // scratch: a row, a value
	arena      []byte // rows and values of ops lie here; what does not fit begins a new one
}

type undo struct {
	op  int32
	val []byte
}

// NewTx returns a writable transaction over base.
func NewTx(base Reader, env Env) *Tx {
	return &Tx{Env: env, base: base, writable: true, at: make(map[uint64]int32), counts: make(map[uint32]int64), dbs: env.Databases}
}

// Reset makes the transaction a new one, keeping its memory: everything that
// it handed out is invalid from here on.
func (t *Tx) Reset(base Reader, env Env) {
	clear(t.at)
	clear(t.counts)
	clear(t.undoC)
	clear(t.ops)
	arena := t.arena[:0]
	if cap(arena) > arenaKeep {
		arena = nil
	}
	*t = Tx{Env: env, base: base, writable: true, dbs: env.Databases, at: t.at, counts: t.counts, undoC: t.undoC,
		ops: t.ops[:0], order: t.order[:0], undo: t.undo[:0], buf: t.buf, val: t.val, arena: arena}
}

const (
	arenaMin  = 64 << 10
	arenaKeep = 1 << 20
)

// keep copies b into the arena.
func (t *Tx) keep(b []byte) []byte {
	at := len(t.arena)
	if cap(t.arena)-at < len(b) {
		// What lies in the old one stays where it is.
		t.arena = make([]byte, 0, max(arenaMin, len(b), min(2*cap(t.arena), arenaKeep)))
		at = 0
	}
	t.arena = append(t.arena, b...)
	return t.arena[at:len(t.arena):len(t.arena)]
}

// find returns the op of row, or -1 and the hash under which it would be put.
// Rows of equal hash lie at the hashes that follow.
func (t *Tx) find(row []byte) (i int32, hash uint64) {
	if len(t.ops) == 0 {
		return -1, xxhash.Sum64(row)
	}
	for hash = xxhash.Sum64(row); ; hash++ {
		i, ok := t.at[hash]
		if !ok {
			return -1, hash
		}
		if bytes.Equal(t.ops[i].row, row) {
			return i, hash
		}
	}
}

// NewReadTx returns a transaction that panics when written to.
func NewReadTx(base Reader, env Env) *Tx { return &Tx{Env: env, base: base} }

// Err returns the first error of the Reader.
func (t *Tx) Err() error { return t.err }

// Writable reports whether the transaction may write.
func (t *Tx) Writable() bool { return t.writable }

// Steps counts rows touched, the measure of a batch's budget.
func (t *Tx) Steps() int { return t.steps }

// Allow ends the transaction with ErrHeavy after n more steps; 0: never.
func (t *Tx) Allow(n int) {
	t.stepsMax = 0
	if n > 0 {
		t.stepsMax = t.steps + n
	}
}

// Spend counts work that touches no rows, in steps (about 250 ns each).
func (t *Tx) Spend(steps int) {
	t.steps += steps
	switch {
	case t.err != nil:
	case t.stepsMax > 0 && t.steps > t.stepsMax:
		t.err = ErrHeavy
	case t.Stop != nil && t.Stop.Load():
		t.err = ErrStopped
	}
}

func (t *Tx) touch(db uint8, key []byte) {
	if t.Touched != nil {
		t.Touched[Touched{db, string(key)}] = struct{}{}
	}
}

// UsedNow reports whether a decision depended on Now being later than the
// applied shard time. A batch must then carry its time even if it wrote
// nothing, and a read must wait until the shard time has passed.
func (t *Tx) UsedNow() bool { return t.usedNow }

// Empty reports whether nothing was written.
func (t *Tx) Empty() bool { return len(t.ops) == 0 && !t.DatabasesChanged() }

// Writes counts calls that changed something, undone ones included.
func (t *Tx) Writes() int { return t.writes }

// SetDatabases changes the mapping of databases, for FLUSHDB and SWAPDB.
func (t *Tx) SetDatabases(d *Databases) {
	t.writes++
	t.Databases = d
}

// DatabasesChanged reports whether the transaction changed the mapping.
func (t *Tx) DatabasesChanged() bool { return t.Databases != t.dbs }

// KeyCount returns the number of keys in logical database db, including those
// whose deadline has passed but which have not been removed yet.
func (t *Tx) KeyCount(db uint8) int64 {
	pdb := t.Databases.Physical(db)
	return t.Keys(pdb) + t.counts[pdb]
}

// Size returns the bytes of all effects so far.
func (t *Tx) Size() int { return t.size }

// Written returns the bytes of effects added since Mark.
func (t *Tx) Written() int { return t.size - t.markedSize }

// Mark starts a command: Rollback undoes what was written since.
func (t *Tx) Mark() {
	t.undo = t.undo[:0]
	t.marked = len(t.ops)
	t.undoD, t.markedSize = t.Databases, t.size
	if len(t.counts) > 0 || len(t.undoC) > 0 {
		if t.undoC == nil {
			t.undoC = make(map[uint32]int64, 2)
		}
		clear(t.undoC)
		for k, v := range t.counts {
			t.undoC[k] = v
		}
	}
}

// Rollback takes back everything written since Mark.
func (t *Tx) Rollback() {
	for i := len(t.undo) - 1; i >= 0; i-- {
		u := t.undo[i]
		o := &t.ops[u.op]
		t.size += len(u.val) - len(o.val)
		o.val = u.val
	}
	// Newest first: a row may lie behind an older one of equal hash.
	for i := len(t.ops) - 1; i >= t.marked; i-- {
		_, hash := t.find(t.ops[i].row)
		delete(t.at, hash)
		t.size -= len(t.ops[i].row) + len(t.ops[i].val)
	}
	if len(t.order) > t.marked {
		t.order = slices.DeleteFunc(t.order, func(i int32) bool { return int(i) >= t.marked })
	}
	t.ops = t.ops[:t.marked]
	clear(t.counts)
	for k, v := range t.undoC {
		t.counts[k] = v
	}
	t.undo = t.undo[:0]
	t.Databases = t.undoD
}

// Get appends the value of row to dst.
func (t *Tx) Get(row, dst []byte) ([]byte, bool) {
	if t.Spend(1); t.err != nil {
		return dst, false
	}
	if i, _ := t.find(row); i >= 0 {
		v := t.ops[i].val
		if v == nil {
			return dst, false
		}
		return append(dst, v...), true
	}
	v, ok, err := t.base.Get(row, dst)
	if err != nil {
		t.err = err
		return dst, false
	}
	t.Spend((len(v) - len(dst)) / stepBytes)
	return v, ok
}

// getKept is Get into the arena.
func (t *Tx) getKept(row []byte) ([]byte, bool) {
	at := len(t.arena)
	room := t.arena[at:]
	v, ok := t.Get(row, room)
	if len(v) > 0 && cap(room) >= len(v) {
		t.arena = t.arena[:at+len(v)]
	}
	return v[:len(v):len(v)], ok // what follows in the arena is not the caller's
}

// Put writes a row. It keeps copies of both slices.
func (t *Tx) Put(row, val []byte) {
	if len(val) == 0 {
		t.put(row, noBytes) // nil means deleted
		return
	}
	t.put(row, t.keep(val))
}

var noBytes = make([]byte, 0)

// Delete removes a row.
func (t *Tx) Delete(row []byte) { t.put(row, nil) }

func (t *Tx) put(row, val []byte) {
	if !t.writable {
		panic("keyspace: write in a reading transaction")
	}
	t.Spend(1 + len(val)/stepBytes)
	t.writes++
	i, hash := t.find(row)
	if i >= 0 {
		o := &t.ops[i]
		if int(i) < t.marked {
			t.undo = append(t.undo, undo{i, o.val})
		}
		t.size += len(val) - len(o.val)
		o.val = val
	} else {
		row = t.keep(row)
		t.at[hash] = int32(len(t.ops))
		t.ops = append(t.ops, op{row, val})
		t.size += len(row) + len(val)
	}
}

// sorted brings order up to date. Few new writes are inserted one by one: a
// batch that alternates writes and range reads would else sort itself again
// and again.
func (t *Tx) sorted() []int32 {
	less := func(i, j int32) int { return bytes.Compare(t.ops[i].row, t.ops[j].row) }
	if n := len(t.ops) - len(t.order); n > 16 {
		for len(t.order) < len(t.ops) {
			t.order = append(t.order, int32(len(t.order)))
		}
		slices.SortFunc(t.order, less)
		return t.order
	}
	for k := len(t.order); k < len(t.ops); k++ {
		at, _ := slices.BinarySearchFunc(t.order, int32(k), less)
		t.order = slices.Insert(t.order, at, int32(k))
	}
	return t.order
}

// Effects calls put for every row written and del for every row deleted, in
// row order. The slices belong to the transaction.
func (t *Tx) Effects(put func(row, val []byte), del func(row []byte)) {
	for _, i := range t.sorted() {
		if o := t.ops[i]; o.val == nil {
			del(o.row)
		} else {
			put(o.row, o.val)
		}
	}
}

// CountDeltas returns how the number of keys of each physical database changed.
func (t *Tx) CountDeltas() map[uint32]int64 { return t.counts }

// Iter iterates over the rows in [lower, upper) as the transaction sees them
// now; writes made while iterating may or may not be seen, so callers collect
// first and write afterwards.
func (t *Tx) Iter(lower, upper []byte) Iterator {
	if t.err != nil {
		return &emptyIter{}
	}
	base, err := t.base.Iter(lower, upper)
	if err != nil {
		t.err = err
		return &emptyIter{}
	}
	if len(t.ops) == 0 {
		return &baseIter{base, t}
	}
	order := t.sorted()
	find := func(row []byte) int {
		i, _ := slices.BinarySearchFunc(order, row, func(i int32, row []byte) int { return bytes.Compare(t.ops[i].row, row) })
		return i
	}
	lo, hi := find(lower), find(upper)
	if lo >= hi {
		return &baseIter{base, t}
	}
	// A snapshot of the indices: Put may insert into t.order meanwhile.
	return &mergeIter{t: t, base: base, own: slices.Clone(order[lo:hi])}
}
