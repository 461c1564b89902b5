package keyspace

import (
	"cmp"
	"encoding/binary"
	"math"
	"strconv"
)

// StreamID is the id of an entry of a stream. Entries lie in the order of their ids.
type StreamID struct{ Ms, Seq uint64 }

// StreamIDMax returns the last of all ids.
func StreamIDMax() StreamID { return StreamID{math.MaxUint64, math.MaxUint64} }

// Compare orders ids.
func (a StreamID) Compare(b StreamID) int {
	return cmp.Or(cmp.Compare(a.Ms, b.Ms), cmp.Compare(a.Seq, b.Seq))
}

func laterID(a, b StreamID) StreamID {
	if a.Compare(b) < 0 {
		return b
	}
	return a
}

// Next returns the id that follows; ok is false after the last.
func (a StreamID) Next() (next StreamID, ok bool) {
	switch {
	case a.Seq < math.MaxUint64:
		return StreamID{a.Ms, a.Seq + 1}, true
	case a.Ms < math.MaxUint64:
		return StreamID{a.Ms + 1, 0}, true
	}
	return a, false
}

// Prev returns the id that comes before; ok is false before the first.
func (a StreamID) Prev() (prev StreamID, ok bool) {
	switch {
	case a.Seq > 0:
		return StreamID{a.Ms, a.Seq - 1}, true
	case a.Ms > 0:
		return StreamID{a.Ms - 1, math.MaxUint64}, true
	}
	return a, false
}

// String formats an id as clients know it.
func (a StreamID) String() string { return string(a.Append(nil)) }

// Append appends String to dst.
func (a StreamID) Append(dst []byte) []byte {
	return strconv.AppendUint(append(strconv.AppendUint(dst, a.Ms, 10), '-'), a.Seq, 10)
}

// appendID appends an id as it stands in values.
func appendID(dst []byte, id StreamID) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(dst, id.Ms), id.Seq)
}

// appendUvarints appends numbers as they stand in values.
func appendUvarints(dst []byte, list ...uint64) []byte {
	for _, n := range list {
		dst = binary.AppendUvarint(dst, n)
	}
	return dst
}

// appendRowID appends an id as it stands in row keys, where bytes must be in its order.
func appendRowID(dst []byte, id StreamID) []byte {
	return be.AppendUint64(be.AppendUint64(dst, id.Ms), id.Seq)
}

// rowIDLen is the length of an id in row keys.
const rowIDLen = 16

func rowID(b []byte) StreamID { return StreamID{be.Uint64(b), be.Uint64(b[8:])} }

// values cuts numbers, ids and strings off b. After something impossible bad is set,
// and all is nothing.
type values struct {
	b   []byte
	bad bool
}

func (v *values) uint() uint64 {
	n, w := binary.Uvarint(v.b)
	if w <= 0 || w > 1 && v.b[w-1] == 0 { // one value has one form
		v.bad, v.b = true, nil
		return 0
	}
	v.b = v.b[w:]
	return n
}

// time is uint for what is to be an int64.
func (v *values) time() int64 {
	n := v.uint()
	if n > math.MaxInt64 {
		v.bad, v.b = true, nil
		return 0
	}
	return int64(n)
}

func (v *values) id() StreamID { return StreamID{v.uint(), v.uint()} }

func (v *values) fixed() uint64 {
	if len(v.b) < 8 {
		v.bad, v.b = true, nil
		return 0
	}
	n := be.Uint64(v.b)
	v.b = v.b[8:]
	return n
}

func (v *values) bytes() []byte {
	n := v.uint()
	if n > uint64(len(v.b)) {
		v.bad, v.b = true, nil
		return nil
	}
	head := v.b[:n:n]
	v.b = v.b[n:]
	return head
}

// whole reports whether all was there, and nothing else.
func (v *values) whole() bool { return !v.bad && len(v.b) == 0 }
