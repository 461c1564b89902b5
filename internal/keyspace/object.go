package keyspace

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/cespare/xxhash/v2"
)

// Type is the Redis type of a key.
type Type byte

// The types. Their numbers are on disk.
const (
	TypeString Type = iota + 1
	TypeList
	TypeSet
	TypeZSet
	TypeHash
	TypeStream // from format 2 on
)

// String returns the name that the TYPE command answers.
func (t Type) String() string {
	switch t {
	case typeUnreadable:
		return "unreadable"
	case TypeString:
		return "string"
	case TypeList:
		return "list"
	case TypeSet:
		return "set"
	case TypeZSet:
		return "zset"
	case TypeHash:
		return "hash"
	case TypeStream:
		return "stream"
	}
	panic(fmt.Sprintf("keyspace: unknown type %d", byte(t)))
}

// typeUnreadable is the type of keys that ScanKeys finds and nobody can read.
const typeUnreadable Type = 0

const (
	flagExpire = 0x80
	flagPacked = 0x40
	flagTimed  = 0x20 // from format 3 on: fields of a hash have deadlines
	flagRuns   = 0x20 // from format 4 on: a list has several runs
	flagParts  = 0x20 // from format 6 on: the value of a string lies in rows
	typeMask   = 0x0f
	headLen    = 9
)

// Thresholds of the packed form. Read by the evaluating leader only, so they
// may change between versions without replicas diverging.
const (
	packedItemsMax = 32
	packedBytesMax = 1024
)

// trashMin is the number of rows from which a deleted collection becomes
// garbage that is removed in the background. Below it, point deletes go into
// the same write set. (One DeleteRange per command was measured to make later
// reads 190 times slower.)
const trashMin = 256

// Object is a key with its value, opened in one transaction. It is read from
// and changed by one command; changes to a collection reach the transaction
// with Save.
type Object struct {
	tx   *Tx
	DB   uint8
	pdb  uint32
	slot uint16
	Key  []byte

	Type    Type
	Expire  int64  // shard time in milliseconds; 0: never
	Version uint64 // raft index of the last change
	fresh   bool   // not yet in the keyspace
	rowed   bool   // a collection whose elements are rows of their own, or a string whose parts are

	val []byte // string: the value. packed: the elements as they were read. Not to be written to.
	elements
	head  uint64 // list: position of the first element; zset: ordered score of the first member
	items []item // packed hash, set, zset or list

	// headLow says that the first member of a zset may have gone, so that head
	// may be too low; Save raises it. Invariant: head is never too high.
	headLow bool
}

type item struct {
	sub, val []byte
	score    float64
}

// Open returns the live object at key, or nil. A key whose deadline has passed
// is absent; a writing transaction removes it on the way.
func (t *Tx) Open(db uint8, key []byte) *Object {
	o := t.open(db, key)
	t.looked(o != nil)
	return o
}

func (t *Tx) open(db uint8, key []byte) *Object {
	t.touch(db, key)
	slot := t.slot(key)
	pdb := t.Databases.Physical(db)
	t.buf = objectRow(t.buf[:0], slot, pdb, key)
	row, ok := t.getKept(t.buf)
	if !ok {
		return nil
	}
	o := t.object()
	o.tx, o.DB, o.pdb, o.slot, o.Key = t, db, pdb, slot, key
	if !o.load(row) {
		return nil
	}
	if o.Expire == 0 || o.Expire > t.Now {
		if o.Expire != 0 {
			t.expires(o.Expire)
		}
		if o.timed != nil {
			return openTimed(o)
		}
		return o
	}
	if o.Expire > t.Applied {
		t.usedNow = true
	}
	if t.writable {
		removeKey(o)
		t.finds.Expired++
		t.Notify(EventExpired, "expired", db, key)
	}
	return nil
}

// New returns an object for an absent key. It exists once it is saved with
// something in it.
func (t *Tx) New(db uint8, key []byte, typ Type) *Object {
	o := t.object()
	o.tx, o.DB, o.pdb, o.slot, o.Key, o.Type, o.fresh = t, db, t.Databases.Physical(db), t.slot(key), key, typ, true
	return o
}

// decode reads an object row, but for the elements of a packed collection.
func (o *Object) decode(row []byte) *RowError {
	if len(row) == 0 {
		return malformed(o.Key, "row of %d bytes", 0)
	}
	head := row[0]
	o.Type = Type(head & typeMask)
	packed := head&flagPacked != 0
	switch {
	case o.Type == TypeStream && head&^(typeMask|flagExpire) == 0 && len(row) > 1 && (row[1] == formatStream || row[1] == formatBlocks):
		row = row[1:]
	case o.Type == TypeHash && head&flagTimed != 0 && head&^(typeMask|flagExpire|flagPacked|flagTimed) == 0 && len(row) > 1 && row[1] == formatTimed:
		row = row[1:]
	case o.Type == TypeList && head&flagRuns != 0 && head&^(typeMask|flagExpire|flagRuns) == 0 && len(row) > 1 && row[1] == formatRuns:
		row = row[1:]
	case o.Type == TypeString && head&flagParts != 0 && head&^(typeMask|flagExpire|flagParts) == 0 && len(row) > 1 && row[1] == formatParts:
		row = row[1:]
	case o.Type < TypeString || o.Type > TypeHash || head&^(typeMask|flagExpire|flagPacked) != 0:
		return unknownRow(o.Key, row, "row of type")
	}
	if len(row) < headLen || packed && o.Type == TypeString {
		return malformed(o.Key, "row of %d bytes", len(row))
	}
	o.Version = be.Uint64(row[1:])
	body := row[headLen:]
	if head&flagExpire != 0 {
		if len(body) < 8 {
			return malformed(o.Key, "deadline of %d bytes", len(body))
		}
		o.Expire = int64(be.Uint64(body))
		body = body[8:]
	}
	switch {
	case o.Type == TypeStream:
		return decodeStream(o, row[0], body)
	case o.Type == TypeString && head&flagParts != 0:
		return decodeParts(o, body)
	}
	if o.Type == TypeHash && head&flagTimed != 0 {
		var bad *RowError
		if body, bad = cutTimed(o, body); bad != nil {
			return bad
		}
	}
	if o.Type == TypeString || packed {
		if o.val = body; packed && len(body) == 0 {
			return malformed(o.Key, "packed collection of %d bytes", 0)
		}
		return nil
	}
	return o.decodeRowed(body, o.Type == TypeList && head&flagRuns != 0)
}

// decodeRowed reads the body of a collection whose elements are rows.
func (o *Object) decodeRowed(body []byte, inRuns bool) *RowError {
	o.rowed = true
	if len(body) < 8 {
		return malformed(o.Key, "collection of %d bytes", len(body))
	}
	o.id = be.Uint64(body)
	n, w := binary.Uvarint(body[8:])
	rest := 8 + w
	if o.Type == TypeList || o.Type == TypeZSet {
		rest += 8
	}
	if w <= 0 || n == 0 || n > math.MaxInt64 || len(body) < rest {
		return malformed(o.Key, "collection of %d bytes", len(body))
	}
	o.count = n
	if o.timed != nil {
		o.timed.count, w = binary.Uvarint(body[rest:])
		if rest += max(w, 0); w <= 0 || o.timed.count == 0 || o.timed.count > o.count {
			return malformed(o.Key, "hash of %d bytes, whose fields have deadlines", len(body))
		}
	}
	if o.Type == TypeList || o.Type == TypeZSet {
		o.head = be.Uint64(body[8+w:])
	}
	if inRuns {
		return decodeRuns(o, body[rest:])
	}
	if len(body) != rest {
		return malformed(o.Key, "collection of %d bytes", len(body))
	}
	if o.Type == TypeList && o.head+o.count < o.head {
		return malformed(o.Key, "positions of a list of %d bytes", len(body))
	}
	return nil
}

// encode appends the object row to dst. An unpacked zset, hash or set carries
// id and count; a list and a zset their head too.
func (o *Object) encode(dst []byte) []byte {
	head := byte(o.Type)
	if o.Expire != 0 {
		head |= flagExpire
	}
	packed := o.Type != TypeString && !o.rowed
	if packed {
		head |= flagPacked
	}
	isTimed := !o.timed.none()
	if isTimed {
		head |= flagTimed
	}
	if o.runs != nil {
		head |= flagRuns
	}
	inParts := o.Type == TypeString && o.rowed
	if inParts {
		head |= flagParts
	}
	dst = append(dst, head)
	switch {
	case inParts:
		dst = append(dst, formatParts)
	case o.Type == TypeStream:
		dst = append(dst, streamFormat(o.val))
	case o.runs != nil:
		dst = append(dst, formatRuns)
	case isTimed:
		dst = append(dst, formatTimed)
	}
	dst = be.AppendUint64(dst, o.tx.Index)
	if o.Expire != 0 {
		dst = be.AppendUint64(dst, uint64(o.Expire))
	}
	if isTimed {
		dst = o.timed.append(dst)
	}
	switch {
	case inParts:
		return encodeParts(o, dst)
	case o.Type == TypeString:
		return append(dst, o.val...)
	case packed:
		return o.encodeItems(dst)
	}
	dst = be.AppendUint64(dst, o.id)
	dst = binary.AppendUvarint(dst, o.count)
	if isTimed {
		dst = binary.AppendUvarint(dst, o.timed.count)
	}
	switch o.Type {
	case TypeList, TypeZSet:
		if dst = be.AppendUint64(dst, o.head); o.runs != nil {
			dst = o.runs.append(dst)
		}
	case TypeStream:
		dst = append(dst, o.val...)
	}
	return dst
}

// Slot returns the hash slot of the key.
func (o *Object) Slot() uint16 { return o.slot }

// Packed reports whether a collection is stored in its object row.
func (o *Object) Packed() bool { return o.Type != TypeString && !o.rowed }

// Bytes returns the value of a string. It must not be changed.
func (o *Object) Bytes() []byte {
	if o.rowed {
		return joined(o)
	}
	return o.val
}

// Len returns the number of elements of a collection, or the length of a string.
func (o *Object) Len() int {
	switch {
	case o.Type == TypeString && o.rowed:
		return int(o.size)
	case o.Type == TypeString:
		return len(o.val)
	case o.rowed && o.timed != nil:
		return int(o.count) - len(o.timed.dead)
	case o.rowed:
		return int(o.count)
	}
	return len(o.items)
}

// Save writes the object to the transaction; a collection without elements is
// deleted instead, but for a stream. It must be called once after the changes of a
// command.
func (o *Object) Save() {
	if o.Type != TypeString && o.Type != TypeStream && o.Len() == 0 {
		if !o.fresh {
			o.tx.changed(o, Emptied)
		}
		removeKey(o)
		return
	}
	if o.headLow {
		o.raiseHead()
	}
	write(o)
	if o.Type == TypeList || o.Type == TypeZSet || o.Type == TypeStream {
		signalKey(o)
	}
}

// write writes the row of the object, and notes that the command has.
func write(o *Object) {
	t, fresh := o.tx, o.fresh
	writeRow(o)
	if fresh {
		t.changed(o, Made)
	}
	t.changed(o, Changed)
}

// writeRow writes the row of the object and what points to it.
func writeRow(o *Object) {
	t := o.tx
	indexTimed(o)
	t.buf = objectRow(t.buf[:0], o.slot, o.pdb, o.Key)
	t.val = o.encode(t.val[:0])
	t.Put(t.buf, t.val)
	if o.fresh {
		o.fresh = false
		t.count(o.pdb, 1)
		if o.Expire != 0 {
			t.Put(expiryRow(nil, o.slot, o.Expire, o.pdb, o.Key), nil)
		}
	}
	o.Version = t.Index
}

// SetString makes key the string val with the given expiry (0: none),
// whatever was there before. old is the object that Open returned, or nil.
func (t *Tx) SetString(db uint8, key []byte, old *Object, val []byte, expire int64) {
	o := replaced(t, db, key, old, expire)
	o.val = val
	o.Save()
}

// replaced returns the object of a key that becomes another string, without the rows of what
// was there.
func replaced(t *Tx, db uint8, key []byte, old *Object, expire int64) *Object {
	o := old
	if o == nil {
		o = t.New(db, key, TypeString)
		o.Expire = expire
	} else {
		o.dropRows()
		o.setExpire(expire)
	}
	o.Type, o.val, o.rowed, o.items = TypeString, nil, false, nil
	return o
}

// SetExpire sets the deadline in milliseconds of shard time, 0 for none, and
// saves the object.
func (o *Object) SetExpire(expire int64) {
	o.setExpire(expire)
	o.Save()
}

func (o *Object) setExpire(expire int64) {
	if expire == o.Expire || o.fresh {
		o.Expire = expire
		return
	}
	if o.Expire != 0 {
		o.tx.Delete(expiryRow(nil, o.slot, o.Expire, o.pdb, o.Key))
	}
	if expire != 0 {
		o.tx.Put(expiryRow(nil, o.slot, expire, o.pdb, o.Key), nil)
	}
	o.Expire = expire
}

// Delete removes the key and its rows; big collections become garbage.
func (o *Object) Delete() {
	if !o.fresh {
		o.tx.changed(o, Deleted)
	}
	removeKey(o)
}

func removeKey(o *Object) {
	if o.fresh {
		return
	}
	o.dropRows()
	o.unlink()
}

// unlink removes the object row and what points to it.
func (o *Object) unlink() {
	t := o.tx
	t.buf = objectRow(t.buf[:0], o.slot, o.pdb, o.Key)
	t.Delete(t.buf)
	if o.Expire != 0 {
		t.Delete(expiryRow(nil, o.slot, o.Expire, o.pdb, o.Key))
	}
	unindexTimed(o)
	t.count(o.pdb, -1)
	t.Put(goneRow(nil, o.slot), be.AppendUint64(nil, t.Index))
	o.fresh = true
	if o.Type == TypeStream { // under another name, too
		signalKey(o)
	}
}

// dropRows removes the element rows of a collection, or makes them garbage.
func (o *Object) dropRows() {
	unindexTimed(o)
	if !o.rowed {
		o.timed = nil
		return
	}
	switch {
	case o.Type == TypeStream:
		dropStream(o)
	case o.Type == TypeString:
		dropParts(o)
	case o.count > trashMin:
		o.tx.Put(trashRow(nil, o.slot, o.id), trashOf(o))
	case o.Type == TypeList && o.runs == nil:
		o.deleteElements(0, int(o.count))
	case o.count > 0: // else a scan would only meet tombstones
		if o.tx.deleteRows(o.slot, o.id, o.Type, -1); o.timed != nil {
			deleteDeadlines(o.tx, o.slot, o.id, -1)
		}
	}
	o.rowed, o.elements = false, elements{}
}

// trashOf returns the value of the row that marks the object as garbage.
func trashOf(o *Object) []byte {
	if o.timed != nil {
		return []byte{byte(o.Type) | flagTimed, formatTimed}
	}
	return []byte{byte(o.Type)}
}

// deleteDeadlines deletes up to limit rows of deadlines (all if negative) and returns how
// many it deleted.
func deleteDeadlines(t *Tx, slot uint16, id uint64, limit int) int {
	n := t.deletePrefix(deadlinePrefix(nil, slot, id), limit)
	if limit < 0 {
		return n + t.deletePrefix(duePrefix(nil, slot, id), limit)
	}
	return n + t.deletePrefix(duePrefix(nil, slot, id), limit-n)
}

// deleteRows point-deletes up to limit element rows of object id (all if
// negative) and returns how many it deleted.
func (t *Tx) deleteRows(slot uint16, id uint64, typ Type, limit int) int {
	n := t.deletePrefix(subPrefix(nil, slot, id), limit)
	if typ == TypeZSet && (limit < 0 || n < limit) {
		rest := limit
		if limit >= 0 {
			rest = limit - n
		}
		n += t.deletePrefix(scorePrefix(nil, slot, id), rest)
	}
	return n
}

func (t *Tx) deletePrefix(prefix []byte, limit int) int {
	return deleteRange(t, prefix, prefixEnd(nil, prefix), limit)
}

func deleteRange(t *Tx, lower, upper []byte, limit int) int {
	var rows [][]byte
	it := t.Iter(lower, upper)
	for ok := it.First(); ok && (limit < 0 || len(rows) < limit); ok = it.Next() {
		rows = append(rows, append([]byte(nil), it.Key()...))
	}
	it.Close()
	for _, r := range rows {
		t.Delete(r)
	}
	return len(rows)
}

// KeyVersion returns the version that WATCH remembers: the index of the last
// change of a live key, or, with exists false, of the last delete or expiry in
// its slot. A key whose row can't be read has one too.
func (t *Tx) KeyVersion(db uint8, key []byte) (version uint64, exists bool) {
	// Looked up first: opening a key whose deadline has passed removes it, and
	// that alone is no change to somebody who found it absent.
	gone, ok := t.Get(goneRow(nil, t.slot(key)), nil)
	if ok && len(gone) != 8 { // no version writes that; the next delete in the slot mends it
		gone = be.AppendUint64(nil, xxhash.Sum64(gone))
	}
	if t.err != nil {
		return 0, false
	}
	if o := t.Open(db, key); o != nil {
		return o.Version, true
	}
	if bad := t.TakeRowError(); bad != nil {
		return bad.sum, true // it stays the same until the row is another
	}
	if !ok {
		return 0, false
	}
	return be.Uint64(gone), false
}

// Rename moves the object to key in the same database, replacing nothing: the
// caller has deleted what was there. Within a slot it moves one row.
func (o *Object) Rename(key []byte) {
	if o.tx.slot(key) != o.slot {
		o.CopyTo(o.DB, key)
		o.Delete()
		return
	}
	o.moveRow(o.pdb, key)
}

// MoveTo moves the object to another database under the same key.
func (o *Object) MoveTo(db uint8) {
	o.DB = db
	o.moveRow(o.tx.Databases.Physical(db), o.Key)
}

func (o *Object) moveRow(pdb uint32, key []byte) {
	o.unlink()
	o.pdb, o.Key = pdb, key
	o.Save()
}

// CopyTo writes a copy of the object, with its expiry, under key in database
// db. The caller has deleted what was there.
func (o *Object) CopyTo(db uint8, key []byte) {
	t := o.tx
	c := *o
	c.DB, c.pdb, c.Key, c.slot, c.fresh = db, t.Databases.Physical(db), key, t.slot(key), true
	if o.Type == TypeStream {
		copyStream(StreamOf(o), &c)
	} else if o.Type == TypeString && o.size > partsUntil {
		c.val, c.rowed, c.elements = joined(o), false, elements{}
	} else if o.rowed {
		c.id = newID(t)
		t.copyPrefix(subPrefix(nil, o.slot, o.id), subPrefix(nil, c.slot, c.id))
		if o.Type == TypeZSet {
			t.copyPrefix(scorePrefix(nil, o.slot, o.id), scorePrefix(nil, c.slot, c.id))
		}
	}
	copyTimed(o, &c)
	c.Save()
}
