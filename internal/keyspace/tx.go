package keyspace

import (
	"bytes"
	"sync/atomic"
)

// WriteSetMax bounds the effects of one command, in bytes of rows. It is what
// one raft entry carries at most beside its batch.
const WriteSetMax = 16 << 20

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

// Holder is a Reader that large values can be read from where they are.
type Holder interface {
	Reader
	// Hold is Get, but that it may leave dst as it is and return the value itself: then
	// held is not nil, and the value is valid until it is let go.
	Hold(row, dst []byte) (val []byte, held Held, ok bool, err error)
}

// Held is a value that was not copied.
type Held interface{ LetGo() }

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
	// Format is the newest format of rows that may be written: all members know it. 0:
	// the newest there is.
	Format byte
	// Databases maps logical to physical databases; SetDatabases changes it.
	Databases *Databases
	// Keys returns the number of keys of a physical database in the state read. Nil:
	// there are none.
	Keys func(pdb uint32) (int64, error)
	// NewID returns a fresh object id. Nil in a reading transaction.
	NewID func() uint64
	// Known, if not nil, spares look-ups; see there.
	Known *Known
	// Rand returns a random number below n.
	Rand func(n uint64) uint64
	// Touched, if not nil, collects the keys that are looked at. Of walks over whole
	// databases Walked tells.
	Touched map[Touched]struct{}
	// Unreadable, if not nil, is told of rows that can't be read: see ReportRow.
	Unreadable func(err *RowError)
	// Awaited, if not nil, reports whether somebody waits for a topic, see Signal.
	Awaited func(topic []byte) bool
	// Events are the classes of events that somebody wants to be told of.
	Events Classes
	// Stop, if not nil, ends the transaction with ErrStopped once it is set.
	Stop *atomic.Bool
	// Owns, if not nil, tells which slots are there to be read and written. Looking
	// at a key of another one ends the transaction with ErrForeign.
	Owns func(slot uint16) bool
}

// ReportRow tells Unreadable of a row, if that is set.
func (e *Env) ReportRow(err *RowError) {
	if e.Unreadable != nil {
		e.Unreadable(err)
	}
}

func (e *Env) touch(db uint8, key []byte) {
	if e.Touched != nil {
		e.Touched[Touched{db, string(key)}] = struct{}{}
	}
}

// Touched is a key that a transaction has looked at.
type Touched struct {
	DB  uint8
	Key string
}

// Tx is one transaction: many commands may run in it one after the other, and
// each sees the writes of those before. It is not safe for concurrent use.
//
// Errors of the Reader are sticky: reads after one find nothing, Err returns
// it, and nothing of the transaction may be used. A transaction that takes too
// many steps ends in the same way. That keeps command code free
// of error paths which could only give up anyway. A row that can't be read ends
// it so too, until somebody takes that error, see TakeRowError; and so does a key
// that is not owned, see TakeForeign.
type Tx struct {
	Env
	effects
	ending
	finder
	budget
	scratch
	base     Reader
	holder   Holder // base, of a transaction that only reads; nil: it is none
	writable bool
	usedNow  bool
	writes   int
	before   map[uint32]int64 // physical database -> keys in the state read
	dbs      *Databases       // as it was before the transaction
}

// budget is how much work a transaction has done and may do.
type budget struct {
	steps    int
	stepsMax int // 0: no limit
	bytesMax int // of effects; 0: no limit
}

// NewTx returns a writable transaction over base.
func NewTx(base Reader, env Env) *Tx {
	t := &Tx{Env: env, effects: newEffects(), base: base, writable: true, dbs: env.Databases}
	t.awaited, t.wanted = env.Awaited, env.Events
	return t
}

// Reset makes the transaction a new one, keeping its memory: everything that
// it handed out is invalid from here on.
func (t *Tx) Reset(base Reader, env Env) {
	t.effects.reset()
	clear(t.before)
	*t = Tx{Env: env, effects: t.effects, base: base, writable: true, before: t.before, dbs: env.Databases, scratch: t.scratch}
	t.Forget()
	t.awaited, t.wanted = env.Awaited, env.Events
}

// NewReadTx returns a transaction that panics when written to.
func NewReadTx(base Reader, env Env) *Tx { return &Tx{Env: env, base: base} }

// Reread makes a reading transaction a new one, keeping its memory: everything that it
// handed out is invalid from here on.
func Reread(t *Tx, base Reader, env Env) {
	*t = Tx{Env: env, base: base, scratch: t.scratch}
	t.Forget()
	t.holder, _ = base.(Holder)
}

// slot returns the slot of a key that is to be looked at or written. All access
// to keys comes through here, also to those that a command finds while it runs.
func (t *Tx) slot(key []byte) uint16 {
	slot := Slot(key)
	t.Owned(slot)
	return slot
}

// Owned reports whether the rows of a slot are there to be read and written. If
// not, the transaction has ended with ErrForeign.
func (t *Tx) Owned(slot uint16) bool {
	if t.Owns != nil && t.err == nil && !t.Owns(slot) {
		t.err = ErrForeign
	}
	return t.err == nil
}

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

// AllowBytes ends the transaction with ErrHeavy when it writes more than n more bytes; 0:
// never.
func AllowBytes(t *Tx, n int) {
	t.bytesMax = 0
	if n > 0 {
		t.bytesMax = t.effects.size + n
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

// UsedNow reports whether a decision depended on Now being later than the
// applied shard time. A batch must then carry its time even if it wrote
// nothing, and a read must wait until the shard time has passed.
func (t *Tx) UsedNow() bool { return t.usedNow }

// Time returns the time of the transaction for a command that answers with it: the shard
// then remembers it, so that no later leader answers with an earlier one.
func Time(t *Tx) int64 {
	t.usedNow = t.usedNow || t.Now > t.Applied
	return t.Now
}

// Empty reports whether nothing was written.
func (t *Tx) Empty() bool { return len(t.ops) == 0 && !t.DatabasesChanged() }

// Writes counts calls that changed something, undone ones included.
func (t *Tx) Writes() int { return t.writes }

// SetDatabases changes the mapping of databases, for FLUSHDB and SWAPDB.
func (t *Tx) SetDatabases(d *Databases) {
	t.writes++
	t.signals.all = t.awaited != nil
	t.Databases = d
}

// DatabasesChanged reports whether the transaction changed the mapping.
func (t *Tx) DatabasesChanged() bool { return t.Databases != t.dbs }

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
	if t.made.has(row) {
		return dst, false
	}
	v, ok, err := t.base.Get(row, dst)
	if err != nil {
		t.fail(err)
		return dst, false
	}
	t.Spend((len(v) - len(dst)) / stepBytes)
	return v, ok
}

// GetOver is Get of a row whose value in the state that t began with the caller has read
// already, from an iterator for instance. What it returns is valid as long as base is.
func GetOver(t *Tx, row, base []byte) (val []byte, ok bool) {
	if t.Spend(1 + len(base)/stepBytes); t.err != nil {
		return nil, false
	}
	if i, _ := t.find(row); i >= 0 {
		v := t.ops[i].val
		return bytes.Clone(v), v != nil
	}
	return base, true
}

// getKept is Get into memory of the transaction.
func (t *Tx) getKept(row []byte) ([]byte, bool) {
	if t.holder != nil && t.holds < heldMax {
		return getHeld(t, row)
	}
	memory := &t.arena
	if !t.writable {
		memory = &t.found
	}
	at := len(*memory)
	room := (*memory)[at:]
	v, ok := t.Get(row, room)
	if len(v) > 0 && cap(room) >= len(v) {
		*memory = (*memory)[:at+len(v)]
	}
	return v[:len(v):len(v)], ok // what follows in the arena is not the caller's
}

// getHeld is getKept of a transaction that only reads, and from a Holder.
func getHeld(t *Tx, row []byte) ([]byte, bool) {
	if t.Spend(1); t.err != nil {
		return nil, false
	}
	at := len(t.found)
	room := t.found[at:]
	v, held, ok, err := t.holder.Hold(row, room)
	switch {
	case err != nil:
		t.fail(err)
		return nil, false
	case held != nil:
		v, held = guarded(v, held)
		t.held, t.holds = append(t.held, held), t.holds+len(v)
	case len(v) > 0 && cap(room) >= len(v):
		t.found = t.found[:at+len(v)]
	}
	t.Spend(len(v) / stepBytes)
	return v[:len(v):len(v)], ok
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
	if t.effects.put(row, val); t.bytesMax > 0 && t.effects.size > t.bytesMax && t.err == nil {
		t.err = ErrHeavy
	}
}

// Iter iterates over the rows in [lower, upper) as the transaction sees them
// now; writes made while iterating may or may not be seen, so callers collect
// first and write afterwards.
func (t *Tx) Iter(lower, upper []byte) Iterator {
	if t.err != nil {
		return &emptyIter{}
	}
	base, err := t.base.Iter(lower, upper)
	if err != nil {
		t.fail(err)
		return &emptyIter{}
	}
	return overlay(t, base, lower, upper)
}

// overlay lays the transaction's own writes in [lower, upper) over those of base.
func overlay(t *Tx, base Iterator, lower, upper []byte) Iterator {
	if len(t.ops) == 0 {
		return &baseIter{base, t}
	}
	own := t.between(lower, upper)
	if len(own.runs) == 0 {
		return &baseIter{base, t}
	}
	return &mergeIter{t: t, base: base, own: own}
}
