package keyspace

import (
	"fmt"
	"slices"
)

// The background work of a shard's leader: removing keys whose deadline has
// passed, rows of deleted big collections, and flushed databases. Each step is
// bounded and runs inside a batch.

// Deadline tells whether row is an entry of the expiry index of keys, or of hashes
// whose fields have deadlines, and of which slot and deadline.
func Deadline(row []byte) (slot uint16, deadline int64, ok bool) {
	if len(row) < expiryRowLen || row[0] != rowPrefix || row[3] != kindExpiry && row[3] != kindTimed {
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
	for _, kind := range [...]byte{kindExpiry, kindTimed} {
		at, is, err := nextDeadline(r, slotKind(nil, slot, kind))
		if err != nil {
			return 0, false, err
		}
		if is && (!ok || at < deadline) {
			deadline, ok = at, true
		}
	}
	return deadline, ok, nil
}

func nextDeadline(r Reader, prefix []byte) (deadline int64, ok bool, err error) {
	it, err := r.Iter(prefix, prefixEnd(nil, prefix))
	if err != nil {
		return 0, false, err
	}
	for more := it.First(); more && !ok; more = it.Next() {
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
		earliest := func(kind byte) {
			for ok = it.SeekGE(slotKind(nil, slot, kind)); ok && be.Uint16(it.Key()[1:]) == slot && it.Key()[3] == kind; ok = it.Next() {
				if s, deadline, is := Deadline(it.Key()); is {
					expiry(s, deadline)
					break
				}
			}
		}
		earliest(kindTimed)
		for ok = it.SeekGE(slotKind(nil, slot, kindTrash)); ok; ok = it.Next() {
			s, id, is := Trash(it.Key())
			if !is || s != slot {
				break
			}
			trash(s, id)
		}
		earliest(kindExpiry)
		ok = ok && it.SeekGE(SlotPrefix(nil, int(slot)+1))
	}
	return it.Close()
}

// Expire removes up to limit keys and fields of slot whose deadline has passed and
// returns how many. A key that can't be read stays, and only its entry in the
// index goes, so that it is not met again and again; its own row has the deadline.
func (t *Tx) Expire(slot uint16, limit int) int {
	prefix := slotKind(nil, slot, kindExpiry)
	type due struct {
		row, key []byte
		pdb      uint32
	}
	var rows []due
	it := t.Iter(prefix, prefixEnd(nil, prefix))
	for ok := it.First(); ok && len(rows) < limit; ok = it.Next() {
		_, deadline, whole := Deadline(it.Key())
		if !whole {
			continue // no version writes that, so it is nobody's
		}
		if deadline > t.Now {
			break
		}
		row := slices.Clone(it.Key())
		rows = append(rows, due{row: row, pdb: be.Uint32(row[12:]), key: row[expiryRowLen:]})
	}
	it.Close()
	for _, d := range rows {
		val, ok := t.Get(objectRow(nil, slot, d.pdb, d.key), nil)
		t.Delete(d.row)
		if !ok {
			continue
		}
		o := &Object{tx: t, pdb: d.pdb, slot: slot, Key: d.key}
		switch err := o.decode(val); {
		case err != nil:
			t.ReportRow(err)
		case o.Expire > t.Now || o.Expire == 0:
		case d.pdb == uploads: // whoever sent its parts has given up
			(&Uploaded{o}).Drop()
		default:
			removeKey(o)
			t.finds.Expired++
			if db, ok := t.Databases.Logical(d.pdb); ok {
				t.Notify(EventExpired, "expired", db, d.key)
			}
		}
	}
	if n := len(rows); n < limit {
		return n + expireFields(t, slot, limit-n)
	}
	return len(rows)
}

// PurgeTrash deletes up to limit rows of a deleted big collection, and its mark
// with the last of them; gone says that there is nothing left to do. What a later
// version has to purge stays, with an error.
func (t *Tx) PurgeTrash(slot uint16, id uint64, limit int) (gone bool, err *RowError) {
	mark := trashRow(nil, slot, id)
	val, ok := t.Get(mark, nil)
	if !ok {
		return true, nil
	}
	if len(val) >= streamTrashLen && Type(val[0]) == TypeStream && val[1] == formatStream {
		if purgeStream(t, slot, id, val, limit) {
			return false, nil
		}
		t.Delete(mark)
		return true, nil
	}
	if len(val) >= 2 && val[0] == byte(TypeHash)|flagTimed && val[1] == formatTimed {
		if deleteDeadlines(t, slot, id, limit) == limit || t.deleteRows(slot, id, TypeHash, limit) == limit {
			return false, nil
		}
		t.Delete(mark)
		return true, nil
	}
	typ := TypeZSet // has rows of all kinds that collections have
	if len(val) > 0 && (Type(val[0]) < TypeString || Type(val[0]) > TypeHash) {
		if err := unknownRow(nil, val, fmt.Sprintf("deleted collection in slot %d of type", slot)); err.Format != 0 {
			return false, err
		}
	} else if len(val) > 0 {
		typ = Type(val[0])
	}
	if t.deleteRows(slot, id, typ, limit) == limit {
		return false, nil
	}
	t.Delete(mark)
	return true, nil
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
			row := it.Key()
			o := &Object{tx: t, pdb: pdb, slot: uint16(slot), Key: slices.Clone(row[min(objectRowLen, len(row)):])}
			if err := o.decode(slices.Clone(it.Value())); err != nil {
				t.ReportRow(err) // and what it may have beside its row, only who could read it would know
				o.rowed, o.Expire = false, 0
			}
			doomed = append(doomed, o)
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
