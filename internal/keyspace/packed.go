package keyspace

import (
	"bytes"
	"encoding/binary"
	"math"
)

// A packed collection is a run of elements in the object row:
//
//	hash: len:uvarint field len:uvarint value    set, list: len:uvarint member
//	hash whose fields have deadlines: the same, and deadline:uvarint, 0 for none
//	zset: score:8 (IEEE 754) len:uvarint member, in (score, member) order

// decodeItems reads the elements of a packed collection. It is done when the
// object is opened: what is read and changed of it later relies on its form.
func (o *Object) decodeItems() *RowError {
	if o.rowed || o.Type == TypeString {
		return nil
	}
	bad := false
	for b := o.val; len(b) > 0; {
		var it item
		if o.Type == TypeZSet {
			it.score, b, bad = cutScore(b)
		}
		if !bad {
			it.sub, b, bad = cutBytes(b)
		}
		if !bad && o.Type == TypeHash {
			it.val, b, bad = cutBytes(b)
		}
		if !bad && o.timed != nil {
			b, bad = cutFieldDeadline(o, it.sub, b)
		}
		if bad {
			return malformed(o.Key, "packed element of %d bytes", len(b))
		}
		if n := len(o.items); o.Type == TypeZSet && (math.IsNaN(it.score) || n > 0 && !o.items[n-1].before(it)) {
			return malformed(o.Key, "order of a packed sorted set of %d bytes", len(o.val))
		}
		o.items = append(o.items, it)
	}
	if o.timed.none() && o.timed != nil {
		return malformed(o.Key, "hash of %d bytes without deadlines", len(o.val))
	}
	return nil
}

// before reports whether a member of a sorted set comes before another.
func (it item) before(other item) bool {
	return it.score < other.score || it.score == other.score && bytes.Compare(it.sub, other.sub) < 0
}

func cutScore(b []byte) (score float64, rest []byte, bad bool) {
	if len(b) < 8 {
		return 0, b, true
	}
	return math.Float64frombits(be.Uint64(b)), b[8:], false
}

func cutBytes(b []byte) (head, rest []byte, bad bool) {
	n, w := binary.Uvarint(b)
	if w <= 0 || uint64(len(b)-w) < n {
		return nil, b, true
	}
	return b[w : w+int(n) : w+int(n)], b[w+int(n):], false
}

func appendBytes(dst, b []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
}

func (o *Object) encodeItems(dst []byte) []byte {
	timed := !o.timed.none()
	for _, it := range o.items {
		if o.Type == TypeZSet {
			dst = be.AppendUint64(dst, math.Float64bits(it.score))
		}
		dst = appendBytes(dst, it.sub)
		if o.Type == TypeHash {
			dst = appendBytes(dst, it.val)
		}
		if timed {
			dst = binary.AppendUvarint(dst, uint64(o.timed.packed[string(it.sub)]))
		}
	}
	return dst
}

// find returns the position of sub among the packed elements, or -1.
func (o *Object) find(sub []byte) int {
	for i, it := range o.items {
		if bytes.Equal(it.sub, sub) {
			return i
		}
	}
	return -1
}

// overflows reports whether the packed elements have grown beyond the
// thresholds of the packed form.
func (o *Object) overflows() bool {
	if len(o.items) > packedItemsMax {
		return true
	}
	n := 0
	for _, it := range o.items {
		n += len(it.sub) + len(it.val) + 10
	}
	return n > packedBytesMax
}

// startRows turns a packed collection into one of rows, without elements yet,
// and returns the elements to be written.
func (o *Object) startRows() []item {
	items := o.items
	o.rowed, o.items, o.val = true, nil, nil
	o.id, o.count = newID(o.tx), 0
	if o.Type == TypeList {
		o.head = listMiddle
	}
	return items
}

// listMiddle is the position of the first element of a new list, with as much
// room on the left as on the right.
const listMiddle = 1 << 63
