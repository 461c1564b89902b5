package rdb

import (
	"math"
	"strconv"
)

// How much of a stream goes into one listpack.
const (
	blockEntries = 100
	blockBytes   = 4 << 10
)

// AppendStream appends the value of a stream without its footer, as Redis 7.0 has it:
// the times when consumers last got something are not in it.
func AppendStream(dst []byte, s *StreamValue) []byte {
	dst = append(dst, typeStream2)
	var blocks []byte
	n := 0
	for rest := s.Entries; len(rest) > 0; n++ {
		var list []byte
		first := rest[0].ID
		list, rest = listpackOf(rest)
		blocks = AppendElement(blocks, appendRawID(nil, first))
		blocks = AppendElement(blocks, list)
	}
	dst = append(appendLen(dst, n), blocks...)
	dst = appendNumbers(dst, uint64(len(s.Entries)), s.Last.Ms, s.Last.Seq)
	var first ID
	if len(s.Entries) > 0 {
		first = s.Entries[0].ID
	}
	dst = appendNumbers(dst, first.Ms, first.Seq, s.MaxDeleted.Ms, s.MaxDeleted.Seq, s.Added)
	dst = appendLen(dst, len(s.Groups))
	for i := range s.Groups {
		dst = appendGroup(dst, &s.Groups[i])
	}
	return dst
}

func appendGroup(dst []byte, g *Group) []byte {
	dst = appendNumbers(AppendElement(dst, g.Name), g.Last.Ms, g.Last.Seq, uint64(g.Read))
	dst = appendLen(dst, len(g.Pending))
	of := make([][]byte, len(g.Consumers))
	count := make([]int, len(g.Consumers))
	for _, p := range g.Pending {
		dst = le.AppendUint64(appendRawID(dst, p.ID), uint64(p.Delivered))
		dst = appendNumbers(dst, p.Count)
		of[p.Consumer] = appendRawID(of[p.Consumer], p.ID)
		count[p.Consumer]++
	}
	dst = appendLen(dst, len(g.Consumers))
	for i, c := range g.Consumers {
		dst = le.AppendUint64(AppendElement(dst, c.Name), uint64(c.Seen))
		dst = append(appendLen(dst, count[i]), of[i]...)
	}
	return dst
}

func appendRawID(dst []byte, id ID) []byte {
	return be.AppendUint64(be.AppendUint64(dst, id.Ms), id.Seq)
}

// appendNumbers appends numbers in the form of lengths.
func appendNumbers(dst []byte, list ...uint64) []byte {
	for _, n := range list {
		if n > math.MaxUint32 {
			dst = be.AppendUint64(append(dst, length64), n)
		} else {
			dst = appendLen(dst, int(n))
		}
	}
	return dst
}

// listpackOf puts the first entries into a listpack, whose master has the fields of the
// first of them.
func listpackOf(entries []Entry) (list []byte, rest []Entry) {
	first := entries[0]
	fields := names(first.Fields)
	n, body, elements := 0, []byte(nil), 0
	for _, e := range entries {
		if n == blockEntries || n > 0 && len(body) > blockBytes {
			break
		}
		var more int
		body, more = appendEntry(body, e, first.ID, fields)
		elements += more
		n++
	}
	p := listpack{b: make([]byte, 6, 6+len(body))}
	p.int(int64(n))
	p.int(0)
	p.int(int64(len(fields)))
	for _, f := range fields {
		p.string(f)
	}
	p.int(0)
	p.b = append(append(p.b, body...), 0xff)
	le.PutUint32(p.b, uint32(len(p.b)))
	le.PutUint16(p.b[4:], uint16(min(p.n+elements, math.MaxUint16)))
	return p.b, entries[n:]
}

// names returns the fields of an entry without their values.
func names(fields [][]byte) (list [][]byte) {
	for i := 0; i < len(fields); i += 2 {
		list = append(list, fields[i])
	}
	return list
}

func sameNames(fields, names [][]byte) bool {
	if len(fields) != 2*len(names) {
		return false
	}
	for i, name := range names {
		if string(fields[2*i]) != string(name) {
			return false
		}
	}
	return true
}

func appendEntry(dst []byte, e Entry, first ID, fields [][]byte) (out []byte, elements int) {
	p := listpack{b: dst}
	same := sameNames(e.Fields, fields)
	flags := int64(0)
	if same {
		flags = entrySameFields
	}
	p.int(flags)
	p.int(int64(e.ID.Ms - first.Ms))
	p.int(int64(e.ID.Seq - first.Seq))
	if same {
		for i := 1; i < len(e.Fields); i += 2 {
			p.string(e.Fields[i])
		}
	} else {
		p.int(int64(len(e.Fields) / 2))
		for _, f := range e.Fields {
			p.string(f)
		}
	}
	p.int(int64(p.n))
	return p.b, p.n
}

// listpack builds one, see reader.listpack.
type listpack struct {
	b []byte
	n int // elements
}

func (p *listpack) int(n int64) {
	at := len(p.b)
	switch {
	case n >= 0 && n < 128:
		p.b = append(p.b, byte(n))
	case n >= math.MinInt16 && n <= math.MaxInt16:
		p.b = le.AppendUint16(append(p.b, 0xf1), uint16(n))
	case n >= math.MinInt32 && n <= math.MaxInt32:
		p.b = le.AppendUint32(append(p.b, 0xf3), uint32(n))
	default:
		p.b = le.AppendUint64(append(p.b, 0xf4), uint64(n))
	}
	p.back(at)
}

func (p *listpack) string(s []byte) {
	at := len(p.b)
	switch n := len(s); {
	case n < 64:
		p.b = append(p.b, 0x80|byte(n))
	case n < 4096:
		p.b = append(p.b, 0xe0|byte(n>>8), byte(n))
	default:
		p.b = le.AppendUint32(append(p.b, 0xf0), uint32(n))
	}
	p.b = append(p.b, s...)
	p.back(at)
}

// back appends the length of the element that begins at at, for walking backwards: the
// highest seven bits first, and a set bit in all bytes but that one.
func (p *listpack) back(at int) {
	p.n++
	n := len(p.b) - at
	for i := int(backLen(n)) - 1; i >= 0; i-- {
		b := byte(n>>(7*i)) & 0x7f
		if i != int(backLen(n))-1 {
			b |= 0x80
		}
		p.b = append(p.b, b)
	}
}

func parseInt(b []byte) (int64, bool) {
	n, err := strconv.ParseInt(string(b), 10, 64)
	return n, err == nil
}
