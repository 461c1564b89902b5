package eval

import (
	"math"
	"slices"

	"tutti/internal/keyspace"
	"tutti/internal/store"
)

// Changes is which keys the entries of this term have changed lately: what was
// evaluated beside the loop counts only if none of the keys it looked at is among them.
// To look at all of those again instead would hold the loop up for as long as the
// evaluation was heavy: half a second for an MSET of 100,000 keys.
//
// Keys are noted by the hashes of their rows, and only while somebody will ask. Two
// keys of one hash cost an evaluation, no more.
type Changes struct {
	since  uint64            // entries after this one are noted; MaxUint64: none are
	last   map[uint64]uint64 // hash of an object row -> the last entry that wrote it
	many   []changedMany     // entries whose object rows are not in last: they are too many for the loop
	total  int               // of those rows
	newest uint64            // the last entry that wrote any
	own    uint64            // the last entry that wrote rows which are of no key, see isOwn
	asking int               // evaluations that will ask
}

// changesMax bounds the memory of Changes; beyond it everything counts as changed.
const changesMax = 1 << 20

// Follow notes changes from the state of entry index on, for an evaluation over it.
func (c *Changes) Follow(index uint64) {
	if c.asking == 0 || c.last == nil {
		c.forget()
		c.since, c.last = index, make(map[uint64]uint64)
	}
	c.asking++
}

// Unfollow says that an evaluation will not ask any more.
func (c *Changes) Unfollow() {
	if c.asking--; c.asking <= 0 {
		c.asking = 0
		c.forget()
	}
}

// forget makes everything count as changed that is not followed from here on.
func (c *Changes) forget() { c.since, c.last, c.many, c.total = math.MaxUint64, nil, nil, 0 }

// changedMany is the hashes of many object rows that an entry has written.
type changedMany struct {
	index  uint64
	hashes []uint64
}

// note notes what entry index, now applied, has written.
func (c *Changes) note(index uint64, effects *keyspace.Tx, written *rows) {
	if c.last == nil {
		return
	}
	keys := written.keys
	if keys == nil {
		keys = new(changed)
		effects.Effects(func(row, _ []byte) { keys.note(row, false) }, func(row []byte) { keys.note(row, true) })
		for _, hash := range keys.hashes {
			c.last[hash] = index
		}
	} else {
		c.many, c.total = append(c.many, changedMany{index, keys.hashes}), c.total+len(keys.hashes)
	}
	if len(keys.hashes) > 0 {
		c.newest = index
	}
	if keys.own {
		c.own = index
	}
	if len(c.last)+c.total > changesMax {
		c.forget()
	}
}

// isOwn reports whether a row is of no key, and what commands do may depend on it: of the
// libraries, or of the map. What is new of scripts ('l') is known by its hash.
func isOwn(row []byte, gone bool) bool {
	kind, _, local := store.LocalKey(row)
	return local && (gone || kind != 'l') || keyspace.IsMetaRow(row)
}

// any reports whether any key has changed since entry index.
func (c *Changes) any(index uint64) bool { return c.last == nil || index < c.since || c.newest > index }

// touched reports whether one of the keys has changed since entry index.
func (c *Changes) touched(keys map[uint64]struct{}, index uint64) bool {
	if c.last == nil || index < c.since {
		return true
	}
	for _, m := range c.many {
		if m.index > index && slices.ContainsFunc(m.hashes, func(hash uint64) bool { _, looked := keys[hash]; return looked }) {
			return true
		}
	}
	if len(keys) < len(c.last) {
		for hash := range keys {
			if c.last[hash] > index {
				return true
			}
		}
		return false
	}
	for hash, at := range c.last {
		if _, looked := keys[hash]; looked && at > index {
			return true
		}
	}
	return false
}
