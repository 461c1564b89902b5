package keyspace

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"
)

// A string that is too large for one entry of the log comes in parts: rows of its own,
// written by entries of their own, between which there is room for others. Until all are
// there they belong to an upload, an object row like any other, but of a database that no
// client can select, with a deadline: who sends the parts may be gone. Then one small entry
// makes them the value of the key, all at once.
//
// The same rows are what such a string is read from, and changed in: SETBIT writes the part
// that has the bit. A long string that lies in one row is laid out so when it is changed the
// first time: a bitmap of some MiB would be written as a whole for each bit.

const (
	// formatParts is the format of strings whose value lies in rows.
	formatParts = 6
	// PartBytes is how large a part is, but for the last. While six clients set values of 16
	// MiB, small SETs of others took 780 to 1,930 ms (p99) where each was one entry, 62 to
	// 127 in parts of 256 KiB, 21 to 28 in parts of 128 KiB and 15 to 27 in parts of this
	// size, and 3 to 4 without any large ones. A large one alone took 0.2 to 0.8 s, and 0.5 to
	// 0.6 in parts.
	PartBytes = 64 << 10
	// uploads is the physical database of what is uploaded. Databases never gives it out.
	uploads = math.MaxUint32
	// partsFrom is how long a string is that lies in parts once a part of it is changed, and
	// changedBytes how large those are: about what an entry has anyway. Close to the limit
	// of a command the rows would go beyond it.
	partsFrom    = 64 << 10
	changedBytes = 4 << 10
	partsUntil   = WriteSetMax - 256<<10
)

// ErrUpload says that an upload is not what its sender takes it for: he is to begin anew.
var ErrUpload = errors.New("the parts of this value are not all there")

// mayUpload reports whether strings may lie in rows: all members read them.
func mayUpload(t *Tx) bool { return t.Format == 0 || t.Format >= formatParts }

func partRow(dst []byte, slot uint16, id uint64, n uint64) []byte {
	return be.AppendUint32(subPrefix(dst, slot, id), uint32(n))
}

// decodeParts reads the body of a string whose value lies in rows.
func decodeParts(o *Object, body []byte) *RowError {
	o.rowed = true
	if len(body) > 8 {
		o.id = be.Uint64(body)
		body = body[8:]
		var n, w int
		o.size, n = binary.Uvarint(body)
		o.each, w = binary.Uvarint(body[max(n, 0):])
		if n > 0 && w > 0 && n+w == len(body) && o.size > 0 && o.size <= WriteSetMax && o.each > 0 && o.each <= WriteSetMax {
			o.count = (o.size + o.each - 1) / o.each
			return nil
		}
	}
	return malformed(o.Key, "string in parts, of %d bytes", len(body))
}

func encodeParts(o *Object, dst []byte) []byte {
	dst = be.AppendUint64(dst, o.id)
	dst = binary.AppendUvarint(dst, o.size)
	return binary.AppendUvarint(dst, o.each)
}

// partAt appends part number n to dst; ok is false if it is not what it must be.
func partAt(o *Object, n uint64, dst []byte) (_ []byte, ok bool) {
	t, at := o.tx, len(dst)
	t.buf = partRow(t.buf[:0], o.slot, o.id, n)
	dst, ok = t.Get(t.buf, dst)
	if t.err != nil {
		return nil, false
	}
	if !ok || uint64(len(dst)-at) != min(o.each, o.size-n*o.each) {
		t.refuse(malformed(o.Key, "part %d of a string", int(n)))
		return nil, false
	}
	return dst, true
}

// Slice returns a part of the value of a string, which has that many bytes at least.
func Slice(o *Object, from, to int) []byte {
	if !o.rowed || o.val != nil {
		return o.Bytes()[from:to]
	}
	if from == to {
		return nil
	}
	first, last := uint64(from)/o.each, uint64(to-1)/o.each
	if t := o.tx; t.err != nil || !fits(t, int((last-first+1)*o.each)) {
		return nil
	}
	var val []byte
	for n := first; n <= last; n++ {
		var ok bool
		if val, ok = partAt(o, n, val); !ok {
			return nil
		}
	}
	from -= int(first * o.each)
	to -= int(first * o.each)
	return val[from:to]
}

// fits reports whether there is room for a value of n bytes; if not, the transaction has
// ended.
func fits(t *Tx, n int) bool {
	if f, ok := t.base.(interface{ Fits(n int) bool }); ok && !f.Fits(n) {
		t.fail(ErrNoRoom)
		return false
	}
	return true
}

// joined returns the value of a string whose value lies in rows; nothing if that fails.
func joined(o *Object) []byte {
	if o.val != nil || o.tx.err != nil || !fits(o.tx, int(o.size)) {
		return o.val
	}
	o.val = AppendParts(o, make([]byte, 0, o.size))
	return o.val
}

// InParts reports whether the value of a string lies in rows.
func InParts(o *Object) bool { return o.rowed }

// AppendParts appends the value of a string whose value lies in rows. It returns nil if it
// can't be read: then the transaction has ended.
func AppendParts(o *Object, dst []byte) []byte {
	for n := range o.count {
		var ok bool
		if dst, ok = partAt(o, n, dst); !ok {
			return nil
		}
	}
	return dst
}

// Overwrite makes the string at key have b from a position on, with zeros before that if it
// is shorter. o is what Open returned, nil or a string. What the value is in the end must
// fit a command.
func Overwrite(t *Tx, db uint8, key []byte, o *Object, at int, b []byte) {
	if o == nil {
		o = t.New(db, key, TypeString)
	}
	size := max(o.Len(), at+len(b))
	switch {
	case o.rowed:
		overwriteParts(o, uint64(at), b)
		return
	case size <= partsFrom || size > partsUntil || !mayUpload(t):
		o.val = overwritten(o.val, size, at, b)
	default:
		val := overwritten(o.val, size, at, b)
		o.rowed, o.val, o.elements = true, nil, elements{id: newID(t), each: changedBytes}
		overwriteParts(o, 0, val)
		return
	}
	o.Save()
}

// overwritten returns a copy of val with a size, and b from a position on.
func overwritten(val []byte, size, at int, b []byte) []byte {
	val = append(make([]byte, 0, size), val...)[:size]
	copy(val[at:], b)
	return val
}

// overwriteParts is Overwrite of a string in parts.
func overwriteParts(o *Object, at uint64, b []byte) {
	t, end := o.tx, at+uint64(len(b))
	size := max(o.size, end)
	for n := min(at, o.size) / o.each; n*o.each < end; n++ {
		first, last := n*o.each, min((n+1)*o.each, size)
		val := make([]byte, 0, last-first)
		if first < o.size {
			var ok bool
			if val, ok = partAt(o, n, val); !ok {
				return
			}
		}
		val = val[:last-first]
		if from, to := max(at, first), min(end, last); from < to {
			copy(val[from-first:], b[from-at:to-at])
		}
		t.buf = partRow(t.buf[:0], o.slot, o.id, n)
		t.Put(t.buf, val)
	}
	o.size, o.count, o.val = size, (size+o.each-1)/o.each, nil
	o.Save()
}

// dropParts removes the parts of a string, or makes them garbage.
func dropParts(o *Object) {
	if o.count > trashMin {
		o.tx.Put(trashRow(nil, o.slot, o.id), trashOf(o))
		return
	}
	for n := range o.count {
		o.tx.Delete(partRow(nil, o.slot, o.id, n))
	}
}

// openUpload returns the upload of that name for a key, nil if there is none.
func openUpload(t *Tx, key, name []byte) *Object {
	slot := t.slot(key)
	row, ok := t.Get(objectRow(nil, slot, uploads, name), nil)
	if !ok {
		return nil
	}
	o := &Object{tx: t, pdb: uploads, slot: slot, Key: slices.Clone(name)}
	if !o.load(row) || !o.rowed || o.Type != TypeString {
		return nil
	}
	return o
}

// Upload adds part number n of a value for a key to the upload of that name, which is kept
// until a time.
func Upload(t *Tx, key, name []byte, n uint64, part []byte, until int64) error {
	o := openUpload(t, key, name)
	if o == nil && n == 0 && mayUpload(t) {
		o = &Object{tx: t, pdb: uploads, slot: t.slot(key), Key: name, Type: TypeString, rowed: true}
		o.id = newID(t)
	}
	size := uint64(len(part))
	if n == 0 && o != nil && o.each == 0 {
		o.each = size
	}
	if o == nil || o.size != n*o.each || size == 0 || size > o.each || o.size+size > WriteSetMax {
		return ErrUpload // only the last part may be shorter
	}
	if o.Expire != 0 {
		t.Delete(expiryRow(nil, o.slot, o.Expire, uploads, name))
	}
	o.count, o.size, o.Expire = n+1, o.size+size, until
	t.Put(partRow(nil, o.slot, o.id, n), part)
	t.Put(objectRow(nil, o.slot, uploads, name), o.encode(nil))
	t.Put(expiryRow(nil, o.slot, until, uploads, name), nil)
	return nil
}

// Uploaded is a value that has come in parts.
type Uploaded struct{ o *Object }

// OpenUploaded returns the value for a key that has been uploaded under a name, and must
// have that size.
func OpenUploaded(t *Tx, key, name []byte, size uint64) (*Uploaded, error) {
	o := openUpload(t, key, name)
	if o == nil || o.size != size {
		return nil, ErrUpload
	}
	return &Uploaded{o}, nil
}

// SetUploaded is Tx.SetString of a value that has come in parts.
func SetUploaded(u *Uploaded, db uint8, key []byte, old *Object, expire int64) {
	forgetUpload(u.o)
	o := replaced(u.o.tx, db, key, old, expire)
	o.rowed, o.elements, u.o = true, u.o.elements, nil
	o.Save()
}

// Drop removes the value if no key has it.
func (u *Uploaded) Drop() {
	if u.o == nil {
		return
	}
	forgetUpload(u.o)
	dropParts(u.o)
	u.o = nil
}

// forgetUpload removes what there is of an upload beside the parts. Nobody knows of it, so
// it was counted nowhere, and nobody waits for it to change.
func forgetUpload(o *Object) {
	o.tx.Delete(objectRow(nil, o.slot, uploads, o.Key))
	o.tx.Delete(expiryRow(nil, o.slot, o.Expire, uploads, o.Key))
}
