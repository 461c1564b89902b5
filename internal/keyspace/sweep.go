package keyspace

import "slices"

// The background work of a shard's leader: removing keys whose deadline has
// passed, rows of deleted big collections, and flushed databases. Each step is
// bounded and runs inside a batch.

// Deadline tells whether row is an entry of the expiry index, and of which
// slot and deadline.
func Deadline(row []byte) (slot uint16, deadline int64, ok bool) {
	if len(row) < 16 || row[0] != rowPrefix || row[3] != kindExpiry {
		return 0, 0, false
	}
	return be.Uint16(row[1:]), int64(be.Uint64(row[4:])), true
}

// Trash tells whether row marks a deleted big collection.
func Trash(row []byte) (slot uint16, id uint64, ok bool) {
	if len(row) != 12 || row[0] != rowPrefix || row[3] != kindTrash {
		return 0, 0, false
	}
	return be.Uint16(row[1:]), be.Uint64(row[4:]), true
}

// NextDeadline returns the earliest deadline in slot.
func NextDeadline(r Reader, slot uint16) (deadline int64, ok bool, err error) {
	prefix := slotKind(nil, slot, kindExpiry)
	it, err := r.Iter(prefix, prefixEnd(nil, prefix))
	if err != nil {
		return 0, false, err
	}
	if it.First() {
		_, deadline, ok = Deadline(it.Key())
	}
	return deadline, ok, it.Close() // which tells what ended the walk early
}

// Pending calls expiry with the earliest deadline of every slot in [first,
// end), and trash with every deleted big collection. It seeks from slot to
// slot, so it costs what lies there, not what is stored.
func Pending(r Reader, first, end int, expiry func(slot uint16, deadline int64), trash func(slot uint16, id uint64)) error {
	it, err := r.Iter(SlotPrefix(nil, first), SlotPrefix(nil, end))
	if err != nil {
		return err
	}
	ok := it.First()
	for ok {
		slot := be.Uint16(it.Key()[1:])
		for ok = it.SeekGE(slotKind(nil, slot, kindTrash)); ok; ok = it.Next() {
			s, id, is := Trash(it.Key())
			if !is || s != slot {
				break
			}
			trash(s, id)
		}
		if ok = it.SeekGE(slotKind(nil, slot, kindExpiry)); ok {
			if s, deadline, is := Deadline(it.Key()); is && s == slot {
				expiry(s, deadline)
			}
			ok = it.SeekGE(SlotPrefix(nil, int(slot)+1))
		}
	}
	return it.Close()
}

// Expire removes up to limit keys of slot whose deadline has passed and
// returns how many.
func (t *Tx) Expire(slot uint16, limit int) int {
	prefix := slotKind(nil, slot, kindExpiry)
	type due struct {
		row, key []byte
		pdb      uint32
	}
	var rows []due
	it := t.Iter(prefix, prefixEnd(nil, prefix))
	for ok := it.First(); ok && len(rows) < limit; ok = it.Next() {
		_, deadline, _ := Deadline(it.Key())
		if deadline > t.Now {
			break
		}
		row := slices.Clone(it.Key())
		rows = append(rows, due{row: row, pdb: be.Uint32(row[12:]), key: row[16:]})
	}
	it.Close()
	for _, d := range rows {
		val, ok := t.Get(objectRow(nil, slot, d.pdb, d.key), nil)
		t.Delete(d.row)
		if !ok {
			continue
		}
		o := &Object{tx: t, pdb: d.pdb, slot: slot, Key: d.key}
		if o.decode(val) && o.Expire <= t.Now && o.Expire != 0 {
			o.Delete()
		}
	}
	return len(rows)
}

// PurgeTrash deletes up to limit rows of a deleted big collection, and its mark
// with the last of them; it returns whether it is gone.
func (t *Tx) PurgeTrash(slot uint16, id uint64, limit int) (gone bool) {
	mark := trashRow(nil, slot, id)
	val, ok := t.Get(mark, nil)
	if !ok || len(val) == 0 {
		return true
	}
	if t.deleteRows(slot, id, Type(val[0]), limit) == limit {
		return false
	}
	t.Delete(mark)
	return true
}

// purgeSlotsMax bounds the slots that one PurgeDatabase looks into: even an
// empty one costs an iterator.
const purgeSlotsMax = 256

// PurgeDatabase deletes up to limit keys of flushed database pdb from slot
// first on, and returns where to go on and whether all slots are done. The keys
// are not counted any more: the flush has counted them off.
func (t *Tx) PurgeDatabase(pdb uint32, first, end, limit int) (next int, done bool) {
	for slot := first; slot < end; slot++ {
		if slot-first >= purgeSlotsMax {
			return slot, false
		}
		prefix := be.AppendUint32(slotKind(nil, uint16(slot), kindObject), pdb)
		var doomed []*Object
		it := t.Iter(prefix, prefixEnd(nil, prefix))
		for ok := it.First(); ok && len(doomed) < limit; ok = it.Next() {
			o := &Object{tx: t, pdb: pdb, slot: uint16(slot), Key: slices.Clone(it.Key()[12:])}
			if o.decode(slices.Clone(it.Value())) {
				doomed = append(doomed, o)
			}
		}
		it.Close()
		for _, o := range doomed {
			o.dropRows()
			t.Delete(objectRow(nil, o.slot, pdb, o.Key))
			if o.Expire != 0 {
				t.Delete(expiryRow(nil, o.slot, o.Expire, pdb, o.Key))
			}
		}
		if limit -= len(doomed); limit <= 0 {
			return slot, false
		}
	}
	return end, true
}
