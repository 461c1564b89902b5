package keyspace

import "hash/maphash"

// Known remembers, for keys that a leader has met, whether they are absent or
// plain strings without expiry. A SET of such a key needs nothing else of what
// was there, so it is spared the look-up in the store, which was measured to be
// a third of a leader's work (8 µs of 27 µs for all three nodes).
//
// It is a table in sets of one cache line: an entry is 62 bits of a hash with a
// seed of this process, and two bits of state. It grows to a limit with what is
// met, as most leaders meet few keys and begin anew often. Two keys that agree
// in all of those bits would be taken for one another; nobody can construct
// them, and by chance it happens about once in 2^59 look-ups.
//
// It remembers the ends of streams as well, see streamEnds.
//
// It describes the applied state of one leader's term; a new term starts with
// an empty one.
type Known struct {
	seed    maphash.Seed
	table   []knownSet
	max     int   // sets
	evicted int   // entries given up since the table has had this size
	turn    uint8 // which way of a full set is given up next
	most    int   // rows of a transaction that it learns from
	ends    streamEnds
}

type knownSet [8]uint64

type keyState uint64

const (
	unknown keyState = iota
	absent
	plain
	stateMask = 3

	// knownSets makes 16 MiB of table, for two million keys, shared by the
	// shards of a node.
	knownSets = 1 << 18
	// knownBegin is 64 KiB. Each doubling costs about as much as to fill what is
	// there: the last one 8 MiB.
	knownBegin = 1 << 10
	// knownLearn is how many rows of a transaction it learns from: to look for a place for each
	// of as many as an MSET of 100,000 keys has holds everybody up for 20 ms.
	knownLearn = 16 << 10
	// knownCrowd: the table grows once one entry for so many sets was given up,
	// which is when it is about half full.
	knownCrowd = 4
)

// NewKnown returns a table that knows nothing, one of as many as a node has
// shards.
func NewKnown(shards int) *Known {
	limit := max(1, knownSets/shards)
	return &Known{seed: maphash.MakeSeed(), table: make([]knownSet, min(knownBegin, limit)), max: limit, most: knownLearn, ends: newStreamEnds(shards)}
}

// Forget makes the table know nothing again.
func (k *Known) Forget() {
	k.table, k.evicted = make([]knownSet, min(knownBegin, k.max)), 0
	k.ends.forget()
}

// at returns the set where an entry with this hash belongs.
func (k *Known) at(h uint64) *knownSet { return &k.table[(h>>2)%uint64(len(k.table))] }

func (k *Known) find(row []byte) (set *knownSet, tag uint64) {
	h := maphash.Bytes(k.seed, row)
	return k.at(h), h &^ stateMask
}

// grow doubles the table. What does not fit is forgotten.
func (k *Known) grow() {
	old := k.table
	k.table, k.evicted = make([]knownSet, min(2*len(old), k.max)), 0
	for i := range old {
		for _, e := range old[i] {
			if e&stateMask == uint64(unknown) {
				continue
			}
			set := k.at(e)
			for j := range set {
				if set[j] == 0 {
					set[j] = e
					break
				}
			}
		}
	}
}

func (k *Known) get(row []byte) keyState {
	set, tag := k.find(row)
	for _, e := range set {
		if e&^stateMask == tag {
			return keyState(e & stateMask)
		}
	}
	return unknown
}

func (k *Known) set(row []byte, s keyState) {
	set, tag := k.find(row)
	free := -1
	for i, e := range set {
		if e&^stateMask == tag {
			set[i] = tag | uint64(s)
			return
		}
		if e&stateMask == uint64(unknown) {
			free = i
		}
	}
	if s == unknown {
		return
	}
	if free < 0 {
		free = int(k.turn) % len(set)
		k.turn++
		if k.evicted++; k.evicted > len(k.table)/knownCrowd && len(k.table) < k.max {
			k.grow()
			k.set(row, s)
			return
		}
	}
	set[free] = tag | uint64(s)
}

// Learn learns from a transaction that has been applied. Behind one of very many rows it knows
// nothing.
func (k *Known) Learn(tx *Tx) {
	if len(tx.ops) > k.most {
		k.Forget()
		return
	}
	tx.Effects(k.put, k.delete)
}

// put learns from a row that has been applied.
func (k *Known) put(row, val []byte) {
	if len(row) > 4 && row[0] == rowPrefix && row[3] == kindObject {
		k.set(row, stateOf(val))
		return
	}
	k.ends.put(row, val)
}

// delete learns from the removal of a row that has been applied.
func (k *Known) delete(row []byte) {
	if len(row) > 4 && row[0] == rowPrefix && row[3] == kindObject {
		k.set(row, absent)
		return
	}
	k.ends.delete(row)
}

func stateOf(val []byte) keyState {
	if len(val) > 0 && val[0] == byte(TypeString) {
		return plain
	}
	return unknown
}

// OpenToReplace is Open for a caller that needs of the object only whether it
// exists, its type, and its expiry: Bytes of a string may be missing.
func (t *Tx) OpenToReplace(db uint8, key []byte) *Object {
	if t.Known == nil {
		return t.Open(db, key)
	}
	slot, pdb := t.slot(key), t.Databases.Physical(db)
	t.buf = objectRow(t.buf[:0], slot, pdb, key)
	if i, _ := t.find(t.buf); i >= 0 {
		return t.Open(db, key)
	}
	switch t.Known.get(t.buf) {
	case absent:
		return nil
	case plain:
		o := t.object()
		o.tx, o.DB, o.pdb, o.slot, o.Key, o.Type = t, db, pdb, slot, key, TypeString
		return o
	}
	o := t.Open(db, key)
	t.buf = objectRow(t.buf[:0], slot, pdb, key)
	if i, _ := t.find(t.buf); i < 0 && t.err == nil { // not changed by Open: this is the applied state
		switch {
		case o == nil:
			t.Known.set(t.buf, absent)
		case o.Type == TypeString && o.Expire == 0 && !o.rowed:
			t.Known.set(t.buf, plain)
		}
	}
	return o
}
