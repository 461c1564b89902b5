package rdb

import (
	"math"
	"strconv"
)

// inflatedLenMax bounds what compressed strings of one payload become.
const inflatedLenMax = 64 << 20

// Decode decodes a payload. It returns ErrVersionOrChecksum or ErrFormat. A
// collection is never empty, and a set, a hash or a sorted set has no element
// twice.
func Decode(payload []byte) (Value, error) {
	if len(payload) < footerLen {
		return Value{}, ErrVersionOrChecksum
	}
	body := payload[:len(payload)-footerLen]
	footer := payload[len(body):]
	if le.Uint16(footer) > versionReadMax || checksum(payload[:len(payload)-8]) != le.Uint64(footer[2:]) {
		return Value{}, ErrVersionOrChecksum
	}
	r := reader{b: body}
	v := r.value()
	if r.bad || len(r.b) > 0 || !v.valid() {
		return Value{}, ErrFormat
	}
	return v, nil
}

// valid checks what the bytes of a value don't assure.
func (v *Value) valid() bool {
	step := 1
	switch v.Kind {
	case String, Stream:
		return true
	case List:
		return len(v.Elems) > 0
	case Hash:
		step = 2
	}
	if len(v.Elems)%step != 0 {
		return false
	}
	seen := make(map[string]bool, len(v.Elems)/step+len(v.Members))
	n := 0
	for ; n*step < len(v.Elems); n++ {
		seen[string(v.Elems[n*step])] = true
	}
	for _, m := range v.Members {
		if math.IsNaN(m.Score) {
			return false
		}
		seen[string(m.Name)] = true
		n++
	}
	return n > 0 && len(seen) == n
}

// reader cuts values off b. After something impossible bad is set and all
// methods return nothing.
type reader struct {
	b        []byte
	bad      bool
	inflated int // bytes that came out of compressed strings
}

func (r *reader) fail() { r.bad, r.b = true, nil }

func (r *reader) take(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.fail()
		return nil
	}
	head := r.b[:n:n]
	r.b = r.b[n:]
	return head
}

func (r *reader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) value() (v Value) {
	switch typ := r.byte(); typ {
	case typeString:
		v.Kind, v.Str = String, r.string()
	case typeList, typeSet:
		v.Kind = List
		if typ == typeSet {
			v.Kind = Set
		}
		v.Elems = r.strings(r.count())
	case typeHash:
		v.Kind, v.Elems = Hash, r.strings(2*r.count())
	case typeZSet, typeZSetText:
		v.Kind, v.Members = ZSet, r.members(typ == typeZSetText)
	case typeListZiplist:
		v.Kind, v.Elems = List, r.ziplist(nil)
	case typeHashZiplist:
		v.Kind, v.Elems = Hash, r.ziplist(nil)
	case typeZSetZiplist:
		v.Kind, v.Members = ZSet, r.scored(r.ziplist(nil))
	case typeSetIntset:
		v.Kind, v.Elems = Set, r.intset()
	case typeHashListpack:
		v.Kind, v.Elems = Hash, r.listpack(nil)
	case typeZSetListpack:
		v.Kind, v.Members = ZSet, r.scored(r.listpack(nil))
	case typeSetListpack:
		v.Kind, v.Elems = Set, r.listpack(nil)
	case typeListQuick:
		v.Kind = List
		for n := r.count(); n > 0 && !r.bad; n-- {
			v.Elems = r.ziplist(v.Elems)
		}
	case typeHashTimed:
		v.Kind = Hash
		v.Elems, v.Deadlines = r.timedHash()
	case typeHashTimedListpack:
		v.Kind = Hash
		v.Elems, v.Deadlines = r.timedListpack()
	case typeStream, typeStream2, typeStream3:
		v.Kind, v.Stream = Stream, r.stream(typ)
	case typeListQuick2:
		v.Kind, v.Elems = List, r.quicklist()
	default:
		r.fail()
	}
	return v
}

// length reads a length, or if encoded is set the encoding of a string.
func (r *reader) length() (n uint64, encoded bool) {
	switch b := r.byte(); {
	case b>>6 == length6:
		return uint64(b), false
	case b>>6 == length14:
		return uint64(b&0x3f)<<8 | uint64(r.byte()), false
	case b>>6 == 3:
		return uint64(b & 0x3f), true
	case b == length32:
		if b := r.take(4); b != nil {
			return uint64(be.Uint32(b)), false
		}
	case b == length64:
		if b := r.take(8); b != nil {
			return be.Uint64(b), false
		}
	}
	r.fail()
	return 0, false
}

// count reads a number of elements, each of which takes a byte at least.
func (r *reader) count() int {
	n, encoded := r.length()
	if encoded || n > uint64(len(r.b)) {
		r.fail()
		return 0
	}
	return int(n)
}

func (r *reader) string() []byte {
	n, encoded := r.length()
	if !encoded {
		return r.take(n)
	}
	switch n {
	case encodedInt8:
		return intText(r.take(1))
	case encodedInt16:
		return intText(r.take(2))
	case encodedInt32:
		return intText(r.take(4))
	case encodedLZF:
		packed, _ := r.length()
		full, _ := r.length()
		if full > uint64(inflatedLenMax-r.inflated) {
			r.fail()
			return nil
		}
		r.inflated += int(full)
		val, ok := inflate(r.take(packed), int(full))
		if !ok {
			r.fail()
		}
		return val
	}
	r.fail()
	return nil
}

// intText returns a little-endian integer of up to 8 bytes as text.
func intText(b []byte) []byte {
	var n uint64
	for i, c := range b {
		n |= uint64(c) << (8 * i)
	}
	unused := 64 - 8*len(b)
	return strconv.AppendInt(nil, int64(n<<unused)>>unused, 10)
}

func (r *reader) strings(n int) (list [][]byte) {
	for ; n > 0 && !r.bad; n-- {
		list = append(list, r.string())
	}
	return list
}

func (r *reader) members(text bool) (list []Member) {
	for n := r.count(); n > 0 && !r.bad; n-- {
		m := Member{Name: r.string()}
		if text {
			m.Score = r.textScore()
		} else if b := r.take(8); b != nil {
			m.Score = math.Float64frombits(le.Uint64(b))
		}
		list = append(list, m)
	}
	return list
}

// textScore reads a score of the old form: a length and digits, or 253 for NaN,
// 254 for +inf, 255 for -inf.
func (r *reader) textScore() float64 {
	switch n := r.byte(); n {
	case 253:
		return math.NaN()
	case 254:
		return math.Inf(1)
	case 255:
		return math.Inf(-1)
	default:
		return r.score(r.take(uint64(n)))
	}
}

func (r *reader) score(text []byte) float64 {
	f, err := strconv.ParseFloat(string(text), 64)
	if err != nil {
		r.fail()
	}
	return f
}

// scored makes members of a list of names, each before its score.
func (r *reader) scored(list [][]byte) (members []Member) {
	if len(list)%2 != 0 {
		r.fail()
		return nil
	}
	for i := 0; i < len(list); i += 2 {
		members = append(members, Member{list[i], r.score(list[i+1])})
	}
	return members
}

func (r *reader) quicklist() (list [][]byte) {
	for n := r.count(); n > 0 && !r.bad; n-- {
		switch container, _ := r.length(); container {
		case quicklistPlain:
			list = append(list, r.string())
		case quicklistPacked:
			list = r.listpack(list)
		default:
			r.fail()
		}
	}
	return list
}

// inflate expands what LZF packed into n bytes: literals of up to 32 bytes, and
// references to bytes that came out before.
func inflate(b []byte, n int) (out []byte, ok bool) {
	for len(b) > 0 {
		c := int(b[0])
		b = b[1:]
		if c < 32 {
			c++
			if c > len(b) || len(out)+c > n {
				return nil, false
			}
			out, b = append(out, b[:c]...), b[c:]
			continue
		}
		count := c >> 5
		if count == 7 {
			if len(b) == 0 {
				return nil, false
			}
			count, b = count+int(b[0]), b[1:]
		}
		if len(b) == 0 {
			return nil, false
		}
		back := (c&0x1f)<<8 + int(b[0]) + 1
		b = b[1:]
		count += 2
		if back > len(out) || len(out)+count > n {
			return nil, false
		}
		for range count { // byte by byte: the reference may reach into itself
			out = append(out, out[len(out)-back])
		}
	}
	return out, len(out) == n
}
