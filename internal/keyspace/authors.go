package keyspace

import "slices"

// Whoever keeps values of keys may want to be told of what others have changed only. So
// a transaction that several have written tells, of those who ask, which keys each has
// changed alone: see Sign and Alone.

// Author is one of those who write in a transaction. The zero value is anybody: who does
// not ask, and who has changed what another one has changed too.
type Author int32

// authors is who has written each op. Nothing is noted before somebody asks.
type authors struct {
	signed bool     // somebody has asked
	now    Author   // who writes
	by     []Author // of each op, once somebody has asked
}

func (a *authors) reset() { a.signed, a.now, a.by = false, 0, a.by[:0] }

func (a *authors) truncate(ops int) { a.by = a.by[:min(len(a.by), ops)] }

// sign notes that who writes has written op i, new or again. What is taken back later
// was written all the same: then it is taken for anybody's.
func (a *authors) sign(i int) {
	switch {
	case i == len(a.by):
		a.by = append(a.by, a.now)
	case a.by[i] != a.now:
		a.by[i] = 0
	}
}

// Sign has all be written by an author from here on, and returns who has written until
// now.
func Sign(t *Tx, author Author) (before Author) {
	a := &t.authors
	before, a.now = a.now, author
	if author != 0 && !a.signed {
		a.signed, a.by = true, append(a.by, make([]Author, len(t.ops))...)
	}
	return before
}

// Alone calls f with each key of which one author has changed all that is changed, and
// nobody else anything, in any database that was not flushed: keys have the same names
// there, and those who keep values go by names. The key is valid until the next change.
func Alone(t *Tx, f func(author Author, key []byte)) {
	if !t.signed {
		return
	}
	owner := make(map[string]Author) // of the keys of those who ask
	for i := range t.by {
		if key, is := changes(t, i); is && t.by[i] != 0 {
			owner[string(key)] = t.by[i]
		}
	}
	if len(owner) == 0 {
		return
	}
	for i := range t.ops {
		if key, is := changes(t, i); is {
			if o, asks := owner[string(key)]; asks && o != t.by[i] {
				owner[string(key)] = 0
			}
		}
	}
	for i := range t.by {
		if key, is := changes(t, i); is && t.by[i] != 0 && owner[string(key)] == t.by[i] {
			f(t.by[i], key)
		}
	}
}

// changes returns the key that op i changes, unless its database was flushed before: what
// lies there is removed behind everybody's back, in any entry, and nobody is told of it.
func changes(t *Tx, i int) (key []byte, is bool) {
	key, pdb, is := ObjectKey(t.ops[i].row)
	return key, is && !slices.Contains(t.dbs.Trash(), pdb)
}
