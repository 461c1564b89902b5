package rdb

// The packed forms of small collections, each inside one string. They repeat
// lengths for walking backwards; those are skipped.

// listpack reads a string with a listpack and appends its elements to list:
//
//	bytes:4 count:2 { element back }* FF       little-endian
//
// An element is one of
//
//	0nnnnnnn                 an integer from 0 to 127
//	10nnnnnn bytes           a string
//	110nnnnn n:1             a signed integer of 13 bits
//	1110nnnn n:1 bytes       a string
//	F0 n:4 bytes             a string, n little-endian
//	F1 F2 F3 F4              a little-endian integer of 2, 3, 4, 8 bytes
//
// and back its length, in seven bits a byte.
func (r *reader) listpack(list [][]byte) [][]byte {
	p := r.packed(6)
	for !p.bad && len(p.b) > 0 {
		before := len(p.b)
		list = append(list, p.listpackElement())
		p.take(backLen(before - len(p.b)))
	}
	r.bad = r.bad || p.bad
	return list
}

func (r *reader) listpackElement() []byte {
	switch c := r.byte(); {
	case c < 0x80:
		return intText([]byte{c})
	case c < 0xc0:
		return r.take(uint64(c & 0x3f))
	case c < 0xe0:
		n := int16(c&0x1f)<<8 | int16(r.byte())
		n = n << 3 >> 3
		return intText([]byte{byte(n), byte(n >> 8)})
	case c < 0xf0:
		return r.take(uint64(c&0x0f)<<8 | uint64(r.byte()))
	case c == 0xf0:
		if b := r.take(4); b != nil {
			return r.take(uint64(le.Uint32(b)))
		}
	case c <= 0xf4:
		return intText(r.take([]uint64{2, 3, 4, 8}[c-0xf1]))
	}
	r.fail()
	return nil
}

// backLen returns the length of the field that tells the length n backwards.
func backLen(n int) uint64 {
	switch {
	case n < 1<<7:
		return 1
	case n < 1<<14-1:
		return 2
	case n < 1<<21-1:
		return 3
	case n < 1<<28-1:
		return 4
	}
	return 5
}

// packed reads a string with a header of headLen bytes, which begins with its
// length, and an end mark; it returns a reader of what is between them.
func (r *reader) packed(headLen int) *reader {
	s := r.string()
	if len(s) < headLen+1 || uint64(le.Uint32(s)) != uint64(len(s)) || s[len(s)-1] != 0xff {
		r.fail()
		return &reader{bad: true}
	}
	return &reader{b: s[headLen : len(s)-1]}
}

// ziplist reads a string with a ziplist, the older form:
//
//	bytes:4 tail:4 count:2 { previous element }* FF       little-endian
//
// previous is one byte, or FE and four. An element is one of
//
//	00nnnnnn bytes           a string
//	01nnnnnn n:1 bytes       a string
//	80 n:4 bytes             a string, n big-endian as above
//	C0 D0 E0 F0 FE           a little-endian integer of 2, 4, 8, 3, 1 bytes
//	F1 to FD                 an integer from 0 to 12
func (r *reader) ziplist(list [][]byte) [][]byte {
	p := r.packed(10)
	for !p.bad && len(p.b) > 0 {
		if p.byte() == 0xfe {
			p.take(4)
		}
		list = append(list, p.ziplistElement())
	}
	r.bad = r.bad || p.bad
	return list
}

func (r *reader) ziplistElement() []byte {
	switch c := r.byte(); {
	case c < 0x40:
		return r.take(uint64(c))
	case c < 0x80:
		return r.take(uint64(c&0x3f)<<8 | uint64(r.byte()))
	case c == 0x80:
		if b := r.take(4); b != nil {
			return r.take(uint64(be.Uint32(b)))
		}
	case c == 0xc0:
		return intText(r.take(2))
	case c == 0xd0:
		return intText(r.take(4))
	case c == 0xe0:
		return intText(r.take(8))
	case c == 0xf0:
		return intText(r.take(3))
	case c == 0xfe:
		return intText(r.take(1))
	case c > 0xf0 && c < 0xfe:
		return intText([]byte{c - 0xf1})
	}
	r.fail()
	return nil
}

// intset reads a string with a set of integers: width:4 count:4 integers,
// little-endian.
func (r *reader) intset() (list [][]byte) {
	p := &reader{b: r.string()}
	head := p.take(8)
	if p.bad {
		r.fail()
		return nil
	}
	width, n := le.Uint32(head), le.Uint32(head[4:])
	if width != 2 && width != 4 && width != 8 || uint64(n)*uint64(width) != uint64(len(p.b)) {
		r.fail()
		return nil
	}
	for range n {
		list = append(list, intText(p.take(uint64(width))))
	}
	return list
}
