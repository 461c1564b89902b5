package rdb

import (
	"slices"
	"strconv"
)

// A hash whose fields have deadlines is
//
//	earliest:8 count (after field value)…
//
// where earliest is little-endian, in milliseconds, and after, a length, how much later
// than that the field's deadline is, and 1; 0: it has none. Redis also writes
//
//	earliest:8 listpack of (field value deadline)…

// deadlineMax is the latest deadline that Redis gives a field.
const deadlineMax = 1<<46 - 1

// AppendTimedHash appends a hash without its footer: fields, each before its value, and
// their deadlines, 0 for none, of which one is another at least.
func AppendTimedHash(dst []byte, elems [][]byte, deadlines []int64) []byte {
	earliest := int64(deadlineMax)
	for _, at := range deadlines {
		if at != 0 {
			earliest = min(earliest, at)
		}
	}
	dst = le.AppendUint64(append(dst, typeHashTimed), uint64(earliest))
	dst = appendLen(dst, len(deadlines))
	for i, at := range deadlines {
		after := int64(0)
		if at != 0 {
			after = at - earliest + 1
		}
		dst = appendLen(dst, int(after))
		dst = AppendElement(AppendElement(dst, elems[2*i]), elems[2*i+1])
	}
	return dst
}

// earliest reads the time at which deadlines begin.
func (r *reader) earliest() int64 {
	b := r.take(8)
	if b == nil {
		return 0
	}
	at := le.Uint64(b)
	if at > deadlineMax {
		r.fail()
		return 0
	}
	return int64(at)
}

func (r *reader) timedHash() (elems [][]byte, deadlines []int64) {
	earliest := r.earliest()
	for n := r.count(); n > 0 && !r.bad; n-- {
		after, encoded := r.length()
		if encoded || after > deadlineMax || after > 0 && earliest+int64(after)-1 > deadlineMax {
			r.fail()
			break
		}
		at := int64(0)
		if after > 0 {
			at = earliest + int64(after) - 1
		}
		elems, deadlines = append(elems, r.string(), r.string()), append(deadlines, at)
	}
	return elems, timedOrNil(deadlines)
}

func (r *reader) timedListpack() (elems [][]byte, deadlines []int64) {
	r.earliest()
	list := r.listpack(nil)
	if len(list)%3 != 0 {
		r.fail()
		return nil, nil
	}
	for triple := range slices.Chunk(list, 3) {
		at, err := strconv.ParseInt(string(triple[2]), 10, 64)
		if err != nil || at < 0 || at > deadlineMax {
			r.fail()
			return nil, nil
		}
		elems, deadlines = append(elems, triple[0], triple[1]), append(deadlines, at)
	}
	return elems, timedOrNil(deadlines)
}

// timedOrNil returns nil if there is no deadline.
func timedOrNil(deadlines []int64) []int64 {
	if slices.ContainsFunc(deadlines, func(at int64) bool { return at != 0 }) {
		return deadlines
	}
	return nil
}
