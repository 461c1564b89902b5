package keyspace

import (
	"bytes"
	"encoding/binary"
	"math"
)

// A packed collection is a run of elements in the object row:
//
//	hash: len:uvarint field len:uvarint value    set, list: len:uvarint member
//	zset: score:8 (IEEE 754) len:uvarint member, in (score, member) order

// unpack returns the elements of a packed collection. If it is damaged, the
// last ones are empty and the transaction has failed.
func (o *Object) unpack() []item {
	if o.dec || o.rowed || o.Type == TypeString {
		return o.items
	}
	o.dec = true
	b := o.val
	for len(b) > 0 {
		var it item
		if o.Type == TypeZSet {
			it.score, b = o.cutScore(b)
		}
		it.sub, b = o.cutBytes(b)
		if o.Type == TypeHash {
			it.val, b = o.cutBytes(b)
		}
		o.items = append(o.items, it)
	}
	return o.items
}

func (o *Object) cutScore(b []byte) (score float64, rest []byte) {
	if len(b) < 8 {
		o.damaged("packed score", len(b))
		return 0, nil
	}
	return math.Float64frombits(be.Uint64(b)), b[8:]
}

func (o *Object) cutBytes(b []byte) (head, rest []byte) {
	n, w := binary.Uvarint(b)
	if w <= 0 || uint64(len(b)-w) < n {
		o.damaged("packed element", len(b))
		return nil, nil
	}
	return b[w : w+int(n) : w+int(n)], b[w+int(n):]
}

func appendBytes(dst, b []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
}

func (o *Object) encodeItems(dst []byte) []byte {
	if !o.dec {
		return append(dst, o.val...)
	}
	for _, it := range o.items {
		if o.Type == TypeZSet {
			dst = be.AppendUint64(dst, math.Float64bits(it.score))
		}
		dst = appendBytes(dst, it.sub)
		if o.Type == TypeHash {
			dst = appendBytes(dst, it.val)
		}
	}
	return dst
}

// find returns the position of sub among the packed elements, or -1.
func (o *Object) find(sub []byte) int {
	for i, it := range o.unpack() {
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
	items := o.unpack()
	o.rowed, o.items, o.val, o.dec = true, nil, nil, false
	o.id, o.count = o.tx.NewID(), 0
	if o.Type == TypeList {
		o.head = listMiddle
	}
	return items
}

// listMiddle is the position of the first element of a new list, with as much
// room on the left as on the right.
const listMiddle = 1 << 63
