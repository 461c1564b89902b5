package keyspace

import (
	"encoding/binary"
	"maps"
	"slices"
)

// Fields of a hash may have deadlines of their own. A packed hash has them beside its
// fields; for one of rows there are two more rows for each such field, by its name and
// by its deadline, so that fields without deadlines cost nothing, and what is due is
// found without looking at the others. The object row has a time before which nothing is
// due, and so has a row of the slot, by which the sweep finds the hash.
//
// A writing transaction removes what is due when it opens the hash. One that reads
// leaves it out.

// FieldDeadlineMax is the latest deadline of a field, in milliseconds of shard time: as
// many bits as Redis has for it.
const FieldDeadlineMax = 1<<46 - 1

// formatTimed is the format of hashes whose fields have deadlines.
const formatTimed = 3

// MayTimeFields reports whether all members know deadlines of fields, so that a field may
// be given one.
func MayTimeFields(t *Tx) bool { return t.Format == 0 || t.Format >= formatTimed }

// elements is where those of a collection are that do not lie in its own row, and which
// of them expire.
type elements struct {
	id    uint64
	count uint64
	timed *timed    // of a hash; nil: none does
	runs  *listRuns // of a list; nil: it has one run
	size  uint64    // of a string whose value lies in rows, in bytes
	each  uint64    // how large these are, but for the last
}

// timed is what is known of the fields of a hash that have deadlines.
type timed struct {
	// soonest is a time before which none is due. It may be too early: the sweep finds
	// out.
	soonest int64
	indexed int64            // soonest as the slot has it; 0: the hash is not there
	packed  map[string]int64 // of a packed hash: deadlines by field
	count   uint64           // of one of rows: fields with deadlines
	// dead are fields of a hash of rows that are due and not removed, as the transaction
	// only reads. They are still counted.
	dead map[string]struct{}
}

// none reports whether no field has a deadline, also if nothing is known of them.
func (h *timed) none() bool { return h == nil || len(h.packed) == 0 && h.count == 0 }

// dies reports whether a field is due and not removed.
func (h *timed) dies(sub []byte) bool {
	if h == nil || len(h.dead) == 0 {
		return false
	}
	_, is := h.dead[string(sub)]
	return is
}

func deadlineRow(dst []byte, slot uint16, id uint64, sub []byte) []byte {
	dst = be.AppendUint64(slotKind(dst, slot, kindDeadline), id)
	return append(be.AppendUint32(dst, hash32(sub)), sub...)
}

func duePrefix(dst []byte, slot uint16, id uint64) []byte {
	return be.AppendUint64(slotKind(dst, slot, kindDue), id)
}

func dueRow(dst []byte, slot uint16, id uint64, at int64, sub []byte) []byte {
	return append(be.AppendUint64(duePrefix(dst, slot, id), uint64(at)), sub...)
}

// timedRow is the row by which the sweep finds a hash.
func timedRow(dst []byte, slot uint16, soonest int64, pdb uint32, key []byte) []byte {
	dst = be.AppendUint64(slotKind(dst, slot, kindTimed), uint64(soonest))
	return append(be.AppendUint32(dst, pdb), key...)
}

// Timed reports whether fields of a hash have deadlines.
func Timed(o *Object) bool { return !o.timed.none() }

// FieldDeadline returns the deadline of a field that the hash has; ok is false if it has
// none.
func FieldDeadline(o *Object, sub []byte) (at int64, ok bool) {
	switch h := o.timed; {
	case h.none():
		return 0, false
	case !o.rowed:
		at, ok = h.packed[string(sub)]
		return at, ok
	}
	var room [8]byte
	val, ok := o.tx.Get(deadlineRow(nil, o.slot, o.id, sub), room[:0])
	if !ok {
		return 0, false
	}
	if len(val) != 8 {
		return 0, o.damaged("deadline of a field of %d bytes", len(val))
	}
	return int64(be.Uint64(val)), true
}

// SetFieldDeadline gives a field that the hash has a deadline.
func SetFieldDeadline(o *Object, sub []byte, at int64) {
	ClearFieldDeadline(o, sub)
	if o.timed == nil {
		o.timed = &timed{}
	}
	h := o.timed
	if h.none() || at < h.soonest {
		h.soonest = at
	}
	if !o.rowed {
		if h.packed == nil {
			h.packed = make(map[string]int64)
		}
		h.packed[string(sub)] = at
		return
	}
	h.count++
	o.tx.Put(deadlineRow(nil, o.slot, o.id, sub), be.AppendUint64(nil, uint64(at)))
	o.tx.Put(dueRow(nil, o.slot, o.id, at, sub), nil)
}

// ClearFieldDeadline takes the deadline of a field away and reports whether it had one.
func ClearFieldDeadline(o *Object, sub []byte) bool {
	at, ok := FieldDeadline(o, sub)
	switch {
	case !ok:
		return false
	case !o.rowed:
		delete(o.timed.packed, string(sub))
		return true
	}
	o.tx.Delete(deadlineRow(nil, o.slot, o.id, sub))
	o.tx.Delete(dueRow(nil, o.slot, o.id, at, sub))
	if o.timed.count == 0 {
		return o.damaged("more fields with deadlines than there are: %d", o.count)
	}
	o.timed.count--
	return true
}

// PutFieldValue sets a hash field as PutField does, and leaves it its deadline.
func PutFieldValue(o *Object, sub, val []byte) (added bool) {
	at, ok := FieldDeadline(o, sub)
	added = o.PutField(sub, val)
	if ok {
		SetFieldDeadline(o, sub, at)
	}
	return added
}

// spreadDeadlines writes the rows for the deadlines of a hash that was packed.
func spreadDeadlines(o *Object) {
	if o.timed == nil {
		return
	}
	packed := o.timed.packed
	o.timed.packed = nil
	for _, sub := range slices.Sorted(maps.Keys(packed)) { // in any order, but always the same
		SetFieldDeadline(o, []byte(sub), packed[sub])
	}
}

// due is a field whose deadline has passed.
type due struct {
	sub []byte
	at  int64
}

// dueFields returns up to limit fields that are due (all if negative), and a time before
// which no other is.
func dueFields(o *Object, limit int) (list []due, next int64) {
	h := o.timed
	next = FieldDeadlineMax
	if !o.rowed {
		for _, it := range o.items {
			at, ok := h.packed[string(it.sub)]
			switch {
			case !ok:
			case at <= o.tx.Now && (limit < 0 || len(list) < limit):
				list = append(list, due{it.sub, at})
			default:
				next = min(next, at)
			}
		}
		return list, next
	}
	prefix := duePrefix(nil, o.slot, o.id)
	it := o.tx.Iter(prefix, prefixEnd(nil, prefix))
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		row := it.Key()[len(prefix):]
		if len(row) < 8 {
			o.damaged("deadline of %d bytes", len(row))
			return list, next
		}
		at := int64(be.Uint64(row))
		if at > o.tx.Now || limit >= 0 && len(list) >= limit {
			return list, at
		}
		list = append(list, due{slices.Clone(row[8:]), at})
	}
	return list, next
}

// openTimed is what opening a hash does about fields that are due. Nil: it has no others.
func openTimed(o *Object) *Object {
	t, h := o.tx, o.timed
	if h.soonest > t.Now {
		t.expires(h.soonest)
		return o
	}
	list, next := dueFields(o, -1)
	h.soonest = next
	t.expires(next)
	if len(list) == 0 || t.err != nil {
		return o
	}
	for _, d := range list {
		if d.at > t.Applied {
			t.usedNow = true
		}
	}
	if t.writable {
		removeDue(o, list)
		if o.fresh {
			return nil
		}
		return o
	}
	h.dead = make(map[string]struct{}, len(list))
	for _, d := range list {
		h.dead[string(d.sub)] = struct{}{}
	}
	if !o.rowed {
		o.items = slices.DeleteFunc(o.items, func(it item) bool { return h.dies(it.sub) })
		h.dead = nil
	}
	if o.Len() == 0 {
		return nil
	}
	return o
}

// removeDue removes fields that are due, and the hash with the last of them.
func removeDue(o *Object, list []due) {
	for _, d := range list {
		if !o.DeleteField(d.sub) { // of a damaged hash: what was met must not be met again
			ClearFieldDeadline(o, d.sub)
		}
		if o.rowed {
			o.tx.Delete(dueRow(nil, o.slot, o.id, d.at, d.sub))
		}
	}
	o.tx.Notify(EventHash, "hexpired", o.DB, o.Key)
	if o.Len() == 0 {
		removeKey(o)
		o.tx.Notify(EventGeneric, "del", o.DB, o.Key)
		return
	}
	writeRow(o)
}

// expireFields removes up to limit fields of slot whose deadline has passed and returns
// how much work that was.
func expireFields(t *Tx, slot uint16, limit int) (n int) {
	prefix := slotKind(nil, slot, kindTimed)
	var rows [][]byte
	it := t.Iter(prefix, prefixEnd(nil, prefix))
	for ok := it.First(); ok && len(rows) < limit; ok = it.Next() {
		_, deadline, whole := Deadline(it.Key())
		if whole && deadline > t.Now {
			break
		}
		rows = append(rows, slices.Clone(it.Key()))
	}
	it.Close()
	for _, row := range rows {
		if n >= limit {
			break
		}
		n++
		if _, deadline, whole := Deadline(row); whole {
			n += expireFieldsOf(t, slot, row, deadline, limit-n)
			continue
		}
		t.Delete(row) // no version writes that
	}
	return n
}

// expireFieldsOf does so for the hash that an entry of the index names.
func expireFieldsOf(t *Tx, slot uint16, row []byte, deadline int64, limit int) (n int) {
	pdb, key := be.Uint32(row[12:]), row[expiryRowLen:]
	val, ok := t.Get(objectRow(nil, slot, pdb, key), nil)
	if !ok {
		t.Delete(row)
		return 0
	}
	o := &Object{tx: t, pdb: pdb, slot: slot, Key: key}
	err := o.decode(val)
	if err == nil && !o.rowed {
		err = o.decodeItems()
	}
	if err != nil || o.timed == nil || o.timed.indexed != deadline {
		if err != nil {
			t.ReportRow(err)
		}
		t.Delete(row) // so that it is not met again and again
		return 0
	}
	db, known := t.Databases.Logical(pdb)
	o.DB = db
	events := len(t.events)
	list, next := dueFields(o, max(1, limit))
	if o.timed.soonest = next; len(list) == 0 {
		writeRow(o)
	} else {
		removeDue(o, list)
	}
	if !known { // of a database that is being purged
		t.events = t.events[:events]
	}
	if bad := t.TakeRowError(); bad != nil {
		t.ReportRow(bad)
		t.Delete(row)
	}
	return len(list)
}

// indexTimed has the slot know when the sweep is to look at the hash.
func indexTimed(o *Object) {
	h := o.timed
	if h == nil {
		return
	}
	want := h.soonest
	if h.none() {
		want = 0
	}
	if h.indexed != 0 && h.indexed != want {
		o.tx.Delete(timedRow(nil, o.slot, h.indexed, o.pdb, o.Key))
	}
	if want != 0 && h.indexed != want {
		o.tx.Put(timedRow(nil, o.slot, want, o.pdb, o.Key), nil)
	}
	if h.indexed = want; want == 0 {
		o.timed = nil
	}
}

// unindexTimed takes the hash out of that index.
func unindexTimed(o *Object) {
	if o.timed != nil && o.timed.indexed != 0 {
		o.tx.Delete(timedRow(nil, o.slot, o.timed.indexed, o.pdb, o.Key))
		o.timed.indexed = 0
	}
}

// copyTimed gives a copy of a hash deadlines of its own, and the rows of those.
func copyTimed(o, c *Object) {
	if o.timed == nil {
		return
	}
	h := *o.timed
	h.indexed, h.packed = 0, maps.Clone(h.packed)
	if c.timed = &h; o.rowed {
		t := o.tx
		t.copyPrefix(deadlinePrefix(nil, o.slot, o.id), deadlinePrefix(nil, c.slot, c.id))
		t.copyPrefix(duePrefix(nil, o.slot, o.id), duePrefix(nil, c.slot, c.id))
	}
}

func deadlinePrefix(dst []byte, slot uint16, id uint64) []byte {
	return be.AppendUint64(slotKind(dst, slot, kindDeadline), id)
}

// append appends what the object row has of deadlines behind those of the key.
func (h *timed) append(dst []byte) []byte { return be.AppendUint64(dst, uint64(h.soonest)) }

// cutTimed reads what append wrote.
func cutTimed(o *Object, body []byte) (rest []byte, bad *RowError) {
	if len(body) < 8 {
		return nil, malformed(o.Key, "time of fields of %d bytes", len(body))
	}
	at := int64(be.Uint64(body))
	if at <= 0 || at > FieldDeadlineMax {
		return nil, malformed(o.Key, "time of fields: %d", at)
	}
	o.timed = &timed{soonest: at, indexed: at}
	return body[8:], nil
}

// cutFieldDeadline reads the deadline of a packed field, 0 for none, and notes it.
func cutFieldDeadline(o *Object, sub, b []byte) (rest []byte, bad bool) {
	at, w := binary.Uvarint(b)
	if w <= 0 || at > FieldDeadlineMax || at != 0 && int64(at) < o.timed.soonest {
		return b, true
	}
	if at != 0 {
		if o.timed.packed == nil {
			o.timed.packed = make(map[string]int64)
		}
		o.timed.packed[string(sub)] = int64(at)
	}
	return b[w:], false
}
