package keyspace

import (
	"bytes"

	"github.com/cespare/xxhash/v2"
)

// effects are the writes of a transaction: the rows it puts and deletes, and how
// the numbers of keys change. Marks lie between them, see Mark.
type effects struct {
	ops   []op
	at    map[uint64]int32 // hash of a row -> ops; see find
	order order            // ops by row
	authors
	size  int      // bytes of ops
	marks []marked // outermost first
	undo  []undo   // oldest first
	signals
	notes
	counts map[uint32]int64 // physical database -> keys more than before
	arena  []byte           // rows and values of ops lie here; what does not fit begins a new one

	rollbacks int // how often something was taken back
}

type op struct {
	row []byte
	val []byte // nil: delete
	old int32  // the newest of undo that is of it, counted from 1; 0: none
}

func newEffects() effects {
	return effects{at: make(map[uint64]int32), counts: make(map[uint32]int64)}
}

// reset forgets all, and keeps the memory.
func (e *effects) reset() {
	e.signals, e.notes = signals{}, notes{}
	clear(e.at)
	clear(e.counts)
	clear(e.ops)
	clear(e.undo)
	e.order.reset()
	e.authors.reset()
	e.ops, e.size, e.marks, e.undo, e.arena = e.ops[:0], 0, e.marks[:0], e.undo[:0], e.arena[:0]
	if cap(e.arena) > arenaKeep {
		e.arena = nil
	}
}

const (
	arenaMin  = 64 << 10
	arenaKeep = 1 << 20
)

// keep copies b into the arena.
func (e *effects) keep(b []byte) []byte {
	at := len(e.arena)
	if cap(e.arena)-at < len(b) {
		// What lies in the old one stays where it is.
		e.arena = make([]byte, 0, max(arenaMin, len(b), min(2*cap(e.arena), arenaKeep)))
		at = 0
	}
	e.arena = append(e.arena, b...)
	return e.arena[at:len(e.arena):len(e.arena)]
}

// find returns the op of row, or -1 and the hash under which it would be put.
// Rows of equal hash lie at the hashes that follow.
func (e *effects) find(row []byte) (i int32, hash uint64) {
	if len(e.ops) == 0 {
		return -1, xxhash.Sum64(row)
	}
	for hash = xxhash.Sum64(row); ; hash++ {
		i, ok := e.at[hash]
		if !ok {
			return -1, hash
		}
		if bytes.Equal(e.ops[i].row, row) {
			return i, hash
		}
	}
}

// put notes that a row gets a value, or with nil that it is deleted. It keeps the
// value, and a copy of the row.
func (e *effects) put(row, val []byte) {
	i, hash := e.find(row)
	if i < 0 {
		row = e.keep(row)
		e.at[hash] = int32(len(e.ops))
		e.ops = append(e.ops, op{row: row, val: val})
		e.size += len(row) + len(val)
		if e.signed {
			e.sign(len(e.ops) - 1)
		}
		return
	}
	if e.signed {
		e.sign(int(i))
	}
	o := &e.ops[i]
	if n := len(e.marks); n > 0 {
		e.remember(i, &e.marks[n-1])
	}
	e.size += len(val) - len(o.val)
	o.val = val
}

// Size returns the bytes of all effects so far.
func (e *effects) Size() int { return e.size }

// Effects calls put for every row written and del for every row deleted, in
// row order. The slices belong to the transaction.
func (e *effects) Effects(put func(row, val []byte), del func(row []byte)) {
	for _, i := range e.whole() {
		if o := e.ops[i]; o.val == nil {
			del(o.row)
		} else {
			put(o.row, o.val)
		}
	}
}
