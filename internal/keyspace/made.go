package keyspace

// madeIDs is the range of the object ids that a transaction has made. No id is ever made
// twice, so the state that the transaction began with has no rows of them: what it has not
// written itself is absent, and is not looked for. A hash of a job, which outgrows its
// packed form as it is made, is spared a look-up for each of its fields.
//
// Ids between the first and the last that others have made meanwhile belong to objects of
// theirs, which the transaction can't see either: those are applied later.
type madeIDs struct{ first, last uint64 } // first is 0 before there are any

// newID makes an id for an object, or for a part of one that has rows of its own.
func newID(t *Tx) uint64 {
	id := t.NewID()
	if t.made.first == 0 || id < t.made.first {
		t.made.first = id
	}
	t.made.last = max(t.made.last, id)
	return id
}

// idAt is where the id lies in a row of an element.
const idAt = 4

// has reports whether a row is an element of what the transaction has made.
func (m madeIDs) has(row []byte) bool {
	if m.first == 0 || len(row) < idAt+8 {
		return false
	}
	switch row[idAt-1] {
	case kindSub, kindScore, kindName, kindDeadline:
		id := be.Uint64(row[idAt:])
		return m.first <= id && id <= m.last
	}
	return false
}
