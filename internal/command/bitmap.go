package command

import (
	"encoding/binary"
	"math/bits"
	"slices"

	"tutti/internal/keyspace"
	"tutti/internal/resp"
)

// A bitmap is a string; bit 0 is the highest of its first byte.
var bitmapCommands = []Command{
	{Name: "setbit", Arity: 4, Flags: Write | DenyOOM, Keys: oneKey, Group: "bitmap", Since: "2.2.0",
		Syntax: "key offset value", Doc: "Sets or clears a bit of the string value of a key and returns what it was.", Run: setbit,
		Large: severalKeys},
	{Name: "getbit", Arity: 3, Flags: ReadOnly | Fast, Keys: oneKey, Group: "bitmap", Since: "2.2.0",
		Syntax: "key offset", Doc: "Returns a bit of the string value of a key.", Run: getbit},
	{Name: "bitcount", Arity: -2, Flags: ReadOnly, Keys: oneKey, Group: "bitmap", Since: "2.6.0",
		Syntax: "key [start end [BYTE | BIT]]", Doc: "Counts the bits set in a string.", Run: bitcount},
	{Name: "bitpos", Arity: -3, Flags: ReadOnly, Keys: oneKey, Group: "bitmap", Since: "2.8.7",
		Syntax: "key bit [start [end [BYTE | BIT]]]", Doc: "Finds the first set or clear bit in a string.", Run: bitpos},
	{Name: "bitop", Arity: -4, Flags: Write | DenyOOM, Keys: Keys{First: 2, Last: -1, Step: 1}, Group: "bitmap", Since: "2.6.0",
		Syntax: "<AND | OR | XOR | NOT> destkey key [key ...]", Doc: "Stores the bitwise combination of several strings.", Run: bitop,
		Large: severalKeys},
	{Name: "bitfield", Arity: -2, Flags: Write | DenyOOM, Keys: oneKey, Group: "bitmap", Since: "3.2.0",
		Syntax: "key [<GET encoding offset | [OVERFLOW <WRAP | SAT | FAIL>] <SET encoding offset value | INCRBY encoding offset increment>> ...]",
		Doc:    "Reads and changes integers of any width in a string.", Run: bitfield,
		Large: severalKeys},
	{Name: "bitfield_ro", Arity: -2, Flags: ReadOnly | Fast, Keys: oneKey, Group: "bitmap", Since: "6.0.0",
		Syntax: "key [GET encoding offset [GET encoding offset ...]]", Doc: "Reads integers of any width in a string.", Run: bitfieldRO},
}

const errBitOffset = "ERR bit offset is not an integer or out of range"

// bitOffset parses argument i as the position of a bit.
func (c *Ctx) bitOffset(i int) (offset int64, ok bool) {
	offset, ok = resp.ParseInt(c.Args[i])
	if !ok || offset < 0 || offset/8 >= stringLenMax {
		c.Error(errBitOffset)
		return 0, false
	}
	return offset, true
}

func setbit(c *Ctx) {
	offset, ok := c.bitOffset(2)
	if !ok {
		return
	}
	on, ok := resp.ParseInt(c.Args[3])
	if !ok || on != 0 && on != 1 {
		c.Error("ERR bit is not an integer or out of range")
		return
	}
	o, ok := c.open(c.Args[1], keyspace.TypeString)
	if !ok || !c.fits(offset/8, 1) {
		return
	}
	at := int(offset / 8)
	old := byteAt(o, at)
	was := bitAt(old, offset%8)
	if was != on || len(old) == 0 {
		now := append([]byte{}, old...)
		if len(now) == 0 {
			now = []byte{0}
		}
		now[0] = now[0]&^(0x80>>(offset%8)) | byte(on)<<(7-offset%8)
		keyspace.Overwrite(c.Tx, c.DB, c.Args[1], o, at, now)
	}
	c.Int(was)
}

// byteAt returns the byte at a position of a string, nothing behind its end.
func byteAt(o *keyspace.Object, at int) []byte {
	if o == nil || at >= o.Len() {
		return nil
	}
	return keyspace.Slice(o, at, at+1)
}

func getbit(c *Ctx) {
	offset, ok := c.bitOffset(2)
	if !ok {
		return
	}
	if o, ok := c.open(c.Args[1], keyspace.TypeString); ok {
		c.Int(bitAt(byteAt(o, int(offset/8)), offset%8))
	}
}

// bitAt returns a bit of val, which ends with infinitely many zeros.
func bitAt(val []byte, offset int64) int64 {
	if offset/8 >= int64(len(val)) {
		return 0
	}
	return int64(val[offset/8] >> (7 - offset%8) & 1)
}

// bitRange is a part of a string as BITCOUNT and BITPOS give it.
type bitRange struct {
	start, end int64 // inclusive; negative: from the end
	unit       int64 // of both in bits
}

// bitUnit parses argument i, BYTE or BIT.
func (c *Ctx) bitUnit(i int) (unit int64, ok bool) {
	switch {
	case c.is(i, "BYTE"):
		return 8, true
	case c.is(i, "BIT"):
		return 1, true
	}
	c.Error(TextSyntax)
	return 0, false
}

// within returns the range as positions of bits in a string of n bytes, from
// inclusive, to exclusive; it is empty if from >= to.
func (r bitRange) within(n int) (from, to int64) {
	total := int64(n) * 8 / r.unit
	start, end := r.start, r.end
	if start < 0 {
		start = max(start+total, 0)
	}
	if end < 0 {
		end = max(end+total, 0)
	}
	end = min(end, total-1)
	if start > end {
		return 0, 0
	}
	return start * r.unit, (end + 1) * r.unit
}

func bitcount(c *Ctx) {
	o, ok := c.open(c.Args[1], keyspace.TypeString)
	if !ok {
		return
	}
	if o == nil {
		c.Int(0) // even if the range is invalid
		return
	}
	r, ok := c.bitcountRange()
	if !ok {
		return
	}
	from, to := r.within(o.Len())
	c.Int(countBits(o.Bytes(), from, to))
}

// noBits is a range without bits in any string.
var noBits = bitRange{start: 1, end: 0, unit: 1}

// bitcountRange parses the range of BITCOUNT. What is wrong is found in the order in
// which Redis looks: the unit counts only where there are bits.
func (c *Ctx) bitcountRange() (r bitRange, ok bool) {
	r = bitRange{end: -1, unit: 8}
	switch len(c.Args) {
	case 2:
		return r, true
	case 4, 5:
	default:
		c.Error(TextSyntax)
		return r, false
	}
	if r.start, ok = c.int(2); !ok {
		return r, false
	}
	if r.end, ok = c.int(3); !ok {
		return r, false
	}
	if r.start < 0 && r.end < 0 && r.start > r.end { // both might be clamped to 0
		return noBits, true
	}
	if len(c.Args) == 5 {
		r.unit, ok = c.bitUnit(4)
	}
	return r, ok
}

// countBits counts the ones of val in [from, to).
func countBits(val []byte, from, to int64) (n int64) {
	if from >= to {
		return 0
	}
	first, last := from/8, (to-1)/8
	// The bits of the first and the last byte that lie outside.
	n -= int64(bits.OnesCount8(val[first] &^ (0xff >> (from % 8))))
	n -= int64(bits.OnesCount8(val[last] & (0x7f >> ((to - 1) % 8))))
	val = val[first : last+1]
	for ; len(val) >= 8; val = val[8:] {
		n += int64(bits.OnesCount64(binary.BigEndian.Uint64(val)))
	}
	for _, b := range val {
		n += int64(bits.OnesCount8(b))
	}
	return n
}

func bitpos(c *Ctx) {
	bit, ok := c.int(2)
	if !ok {
		return
	}
	if bit != 0 && bit != 1 {
		c.Error("ERR The bit argument must be 1 or 0.")
		return
	}
	o, ok := c.open(c.Args[1], keyspace.TypeString)
	if !ok {
		return
	}
	if o == nil {
		c.Int(-bit) // infinitely many zeros, even if the range is invalid
		return
	}
	r, ok := c.bitposRange()
	if !ok {
		return
	}
	from, to := r.within(o.Len())
	pos := findBit(o.Bytes(), from, to, bit)
	if pos < 0 && bit == 0 && from < to && len(c.Args) < 5 {
		pos = to // without an end, zeros follow the string
	}
	c.Int(pos)
}

func (c *Ctx) bitposRange() (r bitRange, ok bool) {
	r = bitRange{end: -1, unit: 8}
	if len(c.Args) > 6 {
		c.Error(TextSyntax)
		return r, false
	}
	if len(c.Args) > 3 {
		if r.start, ok = c.int(3); !ok {
			return r, false
		}
	}
	if len(c.Args) > 5 {
		if r.unit, ok = c.bitUnit(5); !ok {
			return r, false
		}
	}
	if len(c.Args) > 4 {
		if r.end, ok = c.int(4); !ok {
			return r, false
		}
	}
	return r, true
}

// findBit returns the position of the first bit in [from, to) that is as
// wanted, or -1.
func findBit(val []byte, from, to, bit int64) int64 {
	flip := uint64(bit) - 1 // look for ones in the flipped string
	for i := from; i < to; {
		rest, skip := val[i/8:], i%8
		var ahead int64 // bits before the first one
		var step int64
		if skip == 0 && len(rest) >= 8 {
			step, ahead = 64, int64(bits.LeadingZeros64(binary.BigEndian.Uint64(rest)^flip))
		} else {
			step, ahead = 8-skip, int64(bits.LeadingZeros8((rest[0]^byte(flip))<<skip))
		}
		if ahead < step {
			if i+ahead >= to {
				return -1
			}
			return i + ahead
		}
		i += step
	}
	return -1
}

func bitop(c *Ctx) {
	op := string(appendLower(nil, c.Args[1]))
	if !slices.Contains([]string{"and", "or", "xor", "not"}, op) {
		c.Error(TextSyntax)
		return
	}
	if op == "not" && len(c.Args) != 4 {
		c.Error("ERR BITOP NOT must be called with a single source key.")
		return
	}
	srcs := make([][]byte, 0, len(c.Args)-3)
	n := 0
	for _, key := range c.Args[3:] {
		val, ok := c.stringAt(key)
		if !ok {
			return
		}
		srcs, n = append(srcs, val), max(n, len(val))
	}
	dest := c.Tx.Open(c.DB, c.Args[2])
	switch {
	case n > 0:
		c.putString(c.Args[2], dest, combineBits(op, srcs, n), 0)
	case dest != nil:
		dest.Delete()
	}
	c.Int(int64(n))
}

// combineBits combines strings, all padded with zeros to n bytes.
func combineBits(op string, srcs [][]byte, n int) []byte {
	dst := make([]byte, n)
	copy(dst, srcs[0])
	if op == "not" {
		for i := range dst {
			dst[i] = ^dst[i]
		}
	}
	for _, src := range srcs[1:] {
		switch head := dst[:len(src)]; op {
		case "and":
			for i := range head {
				head[i] &= src[i]
			}
			clear(dst[len(src):])
		case "or":
			for i := range head {
				head[i] |= src[i]
			}
		case "xor":
			for i := range head {
				head[i] ^= src[i]
			}
		}
	}
	return dst
}
