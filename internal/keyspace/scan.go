package keyspace

import "math"

// ScanKeys calls f for at least count keys of database db from cursor on, in
// slot and hash order, within the slots [first, end). It returns the next
// cursor, 0 at the end. f gets keys whose deadline has passed too unless they
// are known to be gone; the key slice is valid during the call only.
//
// A cursor is slot<<32 | hash: a position, so it stays valid whatever changes.
// Every key present during the whole scan is seen at least once.
func (t *Tx) ScanKeys(db uint8, first, end int, cursor uint64, count int, f func(key []byte, typ Type)) (next uint64) {
	t.walked = true
	slot := max(int(min(cursor>>32, math.MaxInt32)), first)
	from := uint32(cursor)
	pdb := t.Databases.Physical(db)
	it := t.Iter(SlotPrefix(nil, first), SlotPrefix(nil, end))
	defer it.Close()
	var seek []byte
	var last uint32
	n := 0
	for slot < end {
		seek = slotKind(seek[:0], uint16(slot), kindObject)
		seek = be.AppendUint32(be.AppendUint32(seek, pdb), from)
		if !it.SeekGE(seek) {
			return 0
		}
		for ok := true; ok; ok = it.Next() {
			k := it.Key()
			if int(be.Uint16(k[1:])) != slot || k[3] != kindObject || be.Uint32(k[4:]) != pdb {
				break
			}
			if len(k) < objectRowLen {
				continue // no version writes that, so it is nobody's
			}
			h := be.Uint32(k[8:])
			if n >= count && h != last {
				return uint64(slot)<<32 | uint64(h)
			}
			n, last = n+1, h
			t.visitKey(k[12:], it.Value(), f)
		}
		slot, from = nextSlot(it, slot), 0
		if n >= count && slot < end {
			return uint64(slot) << 32
		}
	}
	return 0
}

// nextSlot returns the slot to look at after slot: the one of the row at which
// the iterator stands, if that is a later one. Empty slots cost no seek.
func nextSlot(it Iterator, slot int) int {
	k := it.Key()
	if k == nil {
		return slot + 1
	}
	return max(slot+1, int(be.Uint16(k[1:])))
}

func (t *Tx) visitKey(key, row []byte, f func(key []byte, typ Type)) {
	o := Object{tx: t, Key: key}
	if err := o.decode(row); err != nil {
		// It is there, and whoever walks over all keys wants to know: opening it
		// tells what is wrong.
		f(key, typeUnreadable)
		return
	}
	if o.Expire != 0 && o.Expire <= t.Now {
		return
	}
	f(key, o.Type)
}

// RandomKey returns a live key of database db within the slots [first, end),
// or nil if there is none. Chances are equal up to the spread of slots and
// hashes.
func (t *Tx) RandomKey(db uint8, first, end int) []byte {
	start := uint64(first)<<32 + t.Rand(uint64(end-first)<<32)
	var keys [][]byte
	for turn, cursor := range []uint64{start, 0} { // around, or the first keys would hardly have a chance
		for len(keys) < randomRun {
			cursor = t.ScanKeys(db, first, end, cursor, randomRun, func(key []byte, _ Type) {
				if turn == 0 || uint64(Slot(key))<<32|uint64(hash32(key)) < start {
					keys = append(keys, append([]byte(nil), key...))
				}
			})
			if cursor == 0 || turn == 1 && cursor >= start {
				break
			}
		}
	}
	if len(keys) == 0 {
		return nil
	}
	return keys[t.Rand(uint64(len(keys)))]
}

// randomRun is the number of neighbours among which RandomKey chooses.
const randomRun = 16
