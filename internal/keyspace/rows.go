package keyspace

import (
	"bytes"
	"encoding/binary"
	"math"

	"github.com/cespare/xxhash/v2"
)

// Kinds of rows below a slot's prefix.
const (
	rowPrefix  = 0x01
	kindObject = 'm'
	kindSub    = 's'
	kindScore  = 'z'
	kindExpiry = 'x'
	kindTrash  = 'g'
	kindGone   = 'v'
	kindTask   = 't'
	kindName   = 'c'

	kindTimed    = 'f'
	kindDeadline = 'h'
	kindDue      = 'i'
)

var be = binary.BigEndian

// SlotPrefix appends the prefix of all rows of slot to dst. The rows of slots
// [a, b) are the range [SlotPrefix(a), SlotPrefix(b)).
func SlotPrefix(dst []byte, slot int) []byte {
	return append(dst, byte(rowPrefix+slot>>16), byte(slot>>8), byte(slot))
}

func slotKind(dst []byte, slot uint16, kind byte) []byte {
	return append(dst, rowPrefix, byte(slot>>8), byte(slot), kind)
}

// hash32 orders rows inside a container; see the package comment.
func hash32(b []byte) uint32 { return uint32(xxhash.Sum64(b) >> 32) }

// objectRowLen and expiryRowLen are the lengths of such rows before the key.
const (
	objectRowLen = 12
	expiryRowLen = 16
)

// listRowLen is the length of the row of a list's element.
const listRowLen = 20

func objectRow(dst []byte, slot uint16, pdb uint32, key []byte) []byte {
	dst = slotKind(dst, slot, kindObject)
	dst = be.AppendUint32(dst, pdb)
	dst = be.AppendUint32(dst, hash32(key))
	return append(dst, key...)
}

func subPrefix(dst []byte, slot uint16, id uint64) []byte {
	return be.AppendUint64(slotKind(dst, slot, kindSub), id)
}

func subRow(dst []byte, slot uint16, id uint64, sub []byte) []byte {
	dst = subPrefix(dst, slot, id)
	dst = be.AppendUint32(dst, hash32(sub))
	return append(dst, sub...)
}

func listRow(dst []byte, slot uint16, id, pos uint64) []byte {
	return be.AppendUint64(subPrefix(dst, slot, id), pos)
}

func scorePrefix(dst []byte, slot uint16, id uint64) []byte {
	return be.AppendUint64(slotKind(dst, slot, kindScore), id)
}

func scoreRow(dst []byte, slot uint16, id uint64, score float64, member []byte) []byte {
	dst = scorePrefix(dst, slot, id)
	dst = be.AppendUint64(dst, orderedFloat(score))
	return append(dst, member...)
}

// namePrefix is the prefix of the groups of a stream, or the consumers of a group.
func namePrefix(dst []byte, slot uint16, id uint64) []byte {
	return be.AppendUint64(slotKind(dst, slot, kindName), id)
}

func nameRow(dst []byte, slot uint16, id uint64, name []byte) []byte {
	return append(namePrefix(dst, slot, id), name...)
}

func expiryRow(dst []byte, slot uint16, expire int64, pdb uint32, key []byte) []byte {
	dst = slotKind(dst, slot, kindExpiry)
	dst = be.AppendUint64(dst, uint64(expire))
	dst = be.AppendUint32(dst, pdb)
	return append(dst, key...)
}

func trashRow(dst []byte, slot uint16, id uint64) []byte {
	return be.AppendUint64(slotKind(dst, slot, kindTrash), id)
}

func goneRow(dst []byte, slot uint16) []byte { return slotKind(dst, slot, kindGone) }

// orderedFloat maps floats to integers of the same order; -0 becomes 0.
func orderedFloat(f float64) uint64 {
	if f == 0 {
		f = 0
	}
	u := math.Float64bits(f)
	if u>>63 != 0 {
		return ^u
	}
	return u | 1<<63
}

func floatOfOrdered(u uint64) float64 {
	if u>>63 != 0 {
		return math.Float64frombits(u &^ (1 << 63))
	}
	return math.Float64frombits(^u)
}

// prefixEnd appends to dst the smallest key greater than every key that starts
// with prefix. Row prefixes never consist of 0xff bytes only.
func prefixEnd(dst, prefix []byte) []byte {
	n := len(prefix)
	for n > 0 && prefix[n-1] == 0xff {
		n--
	}
	at := len(dst)
	dst = append(dst, prefix[:n]...)
	dst[at+n-1]++
	return dst
}

// TrashRow is the row that marks a deleted big collection.
func TrashRow(slot uint16, id uint64) []byte { return trashRow(nil, slot, id) }

// LookedUp reports whether a row is of a kind that commands look up for itself, and
// not only meet on a walk.
func LookedUp(row []byte) bool {
	return len(row) > 3 && row[0] == rowPrefix && (row[3] == kindObject || row[3] == kindSub || row[3] == kindGone || row[3] == kindName || row[3] == kindDeadline)
}

// Queued reports whether a row is an element of a list, or looks like one: most are
// written once, and looked up when they are taken out.
func Queued(row []byte) bool {
	return len(row) == listRowLen && row[0] == rowPrefix && row[3] == kindSub
}

// NextObject returns where the rows of keys go on after a row that is none of them.
func NextObject(row []byte) []byte {
	if len(row) > 3 && row[3] < kindObject {
		return append(bytes.Clone(row[:3]), kindObject)
	}
	return append(SlotPrefix(nil, int(be.Uint16(row[1:]))+1), kindObject)
}

// IsObject reports whether a row is that of a key.
func IsObject(row []byte) bool { return len(row) > 3 && row[0] == rowPrefix && row[3] == kindObject }

// ObjectKey returns the key whose object a row is, as a part of the row, and its
// physical database.
func ObjectKey(row []byte) (key []byte, pdb uint32, is bool) {
	if len(row) < objectRowLen || row[0] != rowPrefix || row[3] != kindObject {
		return nil, 0, false
	}
	return row[objectRowLen:], be.Uint32(row[4:]), true
}

// ObjectHash returns a hash of a row if it is that of an object: what KeyHash gives for
// its key.
func ObjectHash(row []byte) (hash uint64, is bool) {
	if len(row) < objectRowLen || row[0] != rowPrefix || row[3] != kindObject {
		return 0, false
	}
	return xxhash.Sum64(row), true
}

// KeyHash returns a hash of the row of a key, whether there is one or not.
func (t *Tx) KeyHash(db uint8, key []byte) uint64 {
	t.buf = objectRow(t.buf[:0], Slot(key), t.Databases.Physical(db), key)
	return xxhash.Sum64(t.buf)
}
