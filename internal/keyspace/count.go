package keyspace

import "errors"

// The numbers of keys of the databases. A transaction notes how they change; the
// batch records the new numbers. So the old ones decide what is replicated, and
// one that can't be read fails the command that would change it.

// KeyCount returns the number of keys in logical database db, including those
// whose deadline has passed but which have not been removed yet. If it can't be
// read, the transaction has failed.
func (t *Tx) KeyCount(db uint8) int64 {
	t.walked = true
	pdb := t.Databases.Physical(db)
	return t.keysBefore(pdb) + t.counts[pdb]
}

// keysBefore returns the number of keys of a physical database in the state read.
func (t *Tx) keysBefore(pdb uint32) int64 {
	if n, known := t.before[pdb]; known || t.Keys == nil {
		return n
	}
	n, err := t.Keys(pdb)
	if err != nil {
		if bad, ok := errors.AsType[*RowError](err); ok {
			t.refuse(bad)
		} else {
			t.fail(err)
		}
		return 0
	}
	if t.before == nil {
		t.before = make(map[uint32]int64)
	}
	t.before[pdb] = n
	return n
}

// count notes that a physical database has got delta keys more.
func (t *Tx) count(pdb uint32, delta int64) {
	t.keysBefore(pdb) // here, where an error fails one command and not the batch
	t.counts[pdb] += delta
	if n := len(t.marks); n > 0 {
		t.recount(pdb, delta, t.marks[n-1].undo)
	}
}

// KeyCounts returns the new numbers of keys of the physical databases where they
// have changed.
func (t *Tx) KeyCounts() map[uint32]int64 {
	changed := make(map[uint32]int64, len(t.counts))
	for pdb, delta := range t.counts {
		if delta != 0 {
			changed[pdb] = t.keysBefore(pdb) + delta
		}
	}
	return changed
}

// Recount makes the changes of the numbers of keys begin at those of another
// state: the transaction was evaluated over an older one.
func (t *Tx) Recount(keys func(pdb uint32) (int64, error)) error {
	t.Keys = keys
	clear(t.before)
	for pdb := range t.counts {
		t.keysBefore(pdb)
	}
	return t.err
}
