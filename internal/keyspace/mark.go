package keyspace

import "slices"

// Mark is a point of a transaction to which Rollback goes back. Marks nest: a
// script sets one, each of its calls another, and what a call has done is undone
// alone or with all of the script.
type Mark int

// marked is what a mark remembers. What was there before it and is changed after
// it lies in effects.undo, from undo on.
type marked struct {
	ops, undo, size, events, noted int
	dbs                            *Databases
}

// undo is a value that was replaced, or a change of the number of keys. Of each row a mark
// remembers one, however often the row is written behind it.
type undo struct {
	op    int32 // negative: a change of a count
	old   int32 // op.old before it
	pdb   uint32
	delta int64
	val   []byte
}

// remember notes what op i holds, for a mark, unless the mark knows that or goes back to
// where there is no such op.
func (e *effects) remember(i int32, m *marked) {
	o := &e.ops[i]
	if int(i) >= m.ops || int(o.old) > m.undo {
		return
	}
	e.undo = append(e.undo, undo{op: i, old: o.old, val: o.val})
	o.old = int32(len(e.undo))
}

// countsNear is how far back recount looks for the database it is about: as many as
// clients can select.
const countsNear = 16

// recount notes a change of a count for a mark whose own begin at from.
func (e *effects) recount(pdb uint32, delta int64, from int) {
	for i := len(e.undo) - 1; i >= max(from, len(e.undo)-countsNear); i-- {
		if u := &e.undo[i]; u.op < 0 && u.pdb == pdb {
			u.delta += delta
			return
		}
	}
	e.undo = append(e.undo, undo{op: -1, pdb: pdb, delta: delta})
}

// Mark sets a mark within those that are set. Whoever sets it releases it.
func (t *Tx) Mark() Mark {
	t.marks = append(t.marks, marked{ops: len(t.ops), undo: len(t.undo), size: t.size, events: len(t.events), noted: t.noted, dbs: t.Databases})
	return Mark(len(t.marks) - 1)
}

// Release takes a mark away, and those within it. What was written since stays,
// and can be undone up to the marks around.
func (e *effects) Release(m Mark) {
	from := e.marks[m].undo
	e.marks = e.marks[:m]
	inner := e.undo[from:]
	e.undo = e.undo[:from]
	for _, u := range slices.Backward(inner) {
		if u.op >= 0 {
			e.ops[u.op].old = u.old
		}
	}
	if m > 0 {
		e.inherit(inner, &e.marks[m-1])
	}
	clear(e.undo[len(e.undo) : from+len(inner)])
}

// inherit gives a mark what one within it remembered, as far as it is news: a script that
// writes a row a million times remembers it once.
func (e *effects) inherit(inner []undo, m *marked) {
	for _, u := range inner { // written over from the front, never ahead of what is read
		if u.op < 0 {
			e.recount(u.pdb, u.delta, m.undo)
		} else if o := &e.ops[u.op]; int(u.op) < m.ops && int(o.old) <= m.undo {
			u.old = o.old
			e.undo = append(e.undo, u)
			o.old = int32(len(e.undo))
		}
	}
}

// Rollback takes back everything written since a mark, and the marks within it.
// The mark itself stays.
func (t *Tx) Rollback(m Mark) {
	t.Databases = t.marks[m].dbs
	t.events, t.noted = t.events[:t.marks[m].events], t.marks[m].noted
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
		o.val, o.old = u.val, u.old
	}
	// Newest first: a row may lie behind an older one of equal hash.
	for i := len(e.ops) - 1; i >= to.ops; i-- {
		_, hash := e.find(e.ops[i].row)
		delete(e.at, hash)
	}
	e.size = to.size
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
