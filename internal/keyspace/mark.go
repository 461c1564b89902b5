package keyspace

import "slices"

// Mark is a point of a transaction to which Rollback goes back. Marks nest: a
// script sets one, each of its calls another, and what a call has done is undone
// alone or with all of the script.
type Mark int

// marked is what a mark remembers. What was there before it and is changed after
// it lies in effects.undo, from undo on.
type marked struct {
	ops, undo, size, events int
	dbs                     *Databases
}

// undo is a value that was replaced, or a change of the number of keys.
type undo struct {
	op    int32 // negative: a change of a count
	pdb   uint32
	delta int64
	val   []byte
}

// Mark sets a mark within those that are set. Whoever sets it releases it.
func (t *Tx) Mark() Mark {
	t.marks = append(t.marks, marked{ops: len(t.ops), undo: len(t.undo), size: t.size, events: len(t.events), dbs: t.Databases})
	return Mark(len(t.marks) - 1)
}

// Release takes a mark away, and those within it. What was written since stays,
// and can be undone up to the marks around.
func (e *effects) Release(m Mark) {
	e.marks = e.marks[:m]
	if m == 0 {
		clear(e.undo)
		e.undo = e.undo[:0]
	}
}

// Rollback takes back everything written since a mark, and the marks within it.
// The mark itself stays.
func (t *Tx) Rollback(m Mark) {
	t.Databases = t.marks[m].dbs
	t.events = t.events[:t.marks[m].events]
	t.effects.rollback(m)
}

func (e *effects) rollback(m Mark) {
	to := e.marks[m]
	e.rollbacks++
	for _, u := range slices.Backward(e.undo[to.undo:]) {
		if u.op < 0 {
			e.counts[u.pdb] -= u.delta
			continue
		}
		o := &e.ops[u.op]
		e.size += len(u.val) - len(o.val)
		o.val = u.val
	}
	// Newest first: a row may lie behind an older one of equal hash.
	for i := len(e.ops) - 1; i >= to.ops; i-- {
		_, hash := e.find(e.ops[i].row)
		delete(e.at, hash)
		e.size -= len(e.ops[i].row) + len(e.ops[i].val)
	}
	e.order.truncate(to.ops)
	e.authors.truncate(to.ops)
	clear(e.ops[to.ops:])
	e.ops = e.ops[:to.ops]
	clear(e.undo[to.undo:])
	e.undo = e.undo[:to.undo]
	e.marks = e.marks[:m+1]
}

// Written returns the bytes of effects added since the outermost mark: what the
// command has written, however deep it calls others. It is what WriteSetMax
// bounds.
func (e *effects) Written() int {
	if len(e.marks) == 0 {
		return e.size
	}
	return e.size - e.marks[0].size
}
