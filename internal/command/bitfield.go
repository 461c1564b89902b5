package command

import (
	"math"

	"tutti/internal/keyspace"
	"tutti/internal/resp"
)

// overflow says what happens to an integer that doesn't fit its width.
type overflow byte

const (
	overflowWrap overflow = iota
	overflowSat
	overflowFail
)

// bitInt is the type of an integer in a bitmap.
type bitInt struct {
	width  int64 // 1 to 64 bits, 63 if unsigned
	signed bool
}

func (t bitInt) min() int64 {
	if t.signed {
		return -1 << (t.width - 1)
	}
	return 0
}

func (t bitInt) max() int64 {
	if t.signed {
		return 1<<(t.width-1) - 1
	}
	return 1<<t.width - 1
}

// wrap keeps the lower bits of n.
func (t bitInt) wrap(n int64) int64 {
	unused := 64 - t.width
	if t.signed {
		return n << unused >> unused
	}
	return int64(uint64(n) << unused >> unused)
}

// get reads the integer at an offset in bits.
func (t bitInt) get(val []byte, offset int64) int64 {
	var n int64
	for i := range t.width {
		n = n<<1 | bitAt(val, offset+i)
	}
	return t.wrap(n)
}

func (t bitInt) put(val []byte, offset, n int64) {
	for i := range t.width {
		at := offset + i
		bit := byte(n >> (t.width - 1 - i) & 1)
		val[at/8] = val[at/8]&^(0x80>>(at%8)) | bit<<(7-at%8)
	}
}

// add returns n + by as an integer of the type; ok is false if that overflows
// and the mode is to fail. n may lie outside the type if by is 0; a negative
// n then counts as a large unsigned one.
func (t bitInt) add(n, by int64, mode overflow) (sum int64, ok bool) {
	over := n > t.max() || !t.signed && n < 0 || by > 0 && uint64(t.max())-uint64(n) < uint64(by)
	under := !over && (n < t.min() || by < 0 && uint64(n)-uint64(t.min()) < -uint64(by))
	switch {
	case !over && !under:
		return n + by, true
	case mode == overflowWrap:
		return t.wrap(n + by), true
	case mode == overflowFail:
		return 0, false
	case over:
		return t.max(), true
	}
	return t.min(), true
}

type bitfieldKind byte

const (
	bitfieldGet bitfieldKind = iota
	bitfieldSet
	bitfieldIncr
)

// bitfieldOp is one subcommand of BITFIELD.
type bitfieldOp struct {
	kind   bitfieldKind
	typ    bitInt
	offset int64 // in bits
	n      int64 // value or increment
	mode   overflow
}

func bitfield(c *Ctx) {
	if ops, ok := c.bitfieldOps(); ok {
		c.bitfield(ops)
	}
}

func bitfieldRO(c *Ctx) {
	ops, ok := c.bitfieldOps()
	if !ok {
		return
	}
	if bitsNeeded(ops) > 0 {
		c.Error("ERR BITFIELD_RO only supports the GET subcommand")
		return
	}
	c.bitfield(ops)
}

// bitsNeeded returns the length in bits that a string must have for the writes
// among ops, 0 if there are none.
func bitsNeeded(ops []bitfieldOp) (n int64) {
	for _, op := range ops {
		if op.kind != bitfieldGet {
			n = max(n, op.offset+op.typ.width)
		}
	}
	return n
}

func (c *Ctx) bitfieldOps() (ops []bitfieldOp, ok bool) {
	mode := overflowWrap
	for i := 2; i < len(c.Args); {
		rest := len(c.Args) - i - 1
		op := bitfieldOp{mode: mode}
		switch {
		case c.is(i, "GET") && rest >= 2:
		case c.is(i, "SET") && rest >= 3:
			op.kind = bitfieldSet
		case c.is(i, "INCRBY") && rest >= 3:
			op.kind = bitfieldIncr
		case c.is(i, "OVERFLOW") && rest >= 1:
			if mode, ok = c.overflow(i + 1); !ok {
				return nil, false
			}
			i += 2
			continue
		default:
			c.Error(TextSyntax)
			return nil, false
		}
		if op.typ, ok = c.bitInt(i + 1); !ok {
			return nil, false
		}
		if op.offset, ok = c.bitfieldOffset(i+2, op.typ.width); !ok {
			return nil, false
		}
		i += 3
		if op.kind != bitfieldGet {
			if op.n, ok = c.int(i); !ok {
				return nil, false
			}
			i++
		}
		ops = append(ops, op)
	}
	return ops, true
}

func (c *Ctx) overflow(i int) (mode overflow, ok bool) {
	switch {
	case c.is(i, "WRAP"):
		return overflowWrap, true
	case c.is(i, "SAT"):
		return overflowSat, true
	case c.is(i, "FAIL"):
		return overflowFail, true
	}
	c.Error("ERR Invalid OVERFLOW type specified")
	return 0, false
}

// bitInt parses argument i as a type: i1 to i64 or u1 to u63.
func (c *Ctx) bitInt(i int) (t bitInt, ok bool) {
	if arg := c.Args[i]; len(arg) > 0 && (arg[0] == 'i' || arg[0] == 'u') {
		t.signed = arg[0] == 'i'
		t.width, ok = resp.ParseInt(arg[1:])
		if ok && t.width >= 1 && (t.width <= 63 || t.signed && t.width == 64) {
			return t, true
		}
	}
	c.Error("ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.")
	return t, false
}

// bitfieldOffset parses argument i: a position in bits, or with a # before it
// in integers.
func (c *Ctx) bitfieldOffset(i int, width int64) (offset int64, ok bool) {
	arg := c.Args[i]
	if len(arg) == 0 || arg[0] != '#' {
		return c.bitOffset(i)
	}
	offset, ok = resp.ParseInt(arg[1:])
	if !ok || offset < 0 || offset > math.MaxInt64/width || offset*width/8 >= stringLenMax {
		c.Error(errBitOffset)
		return 0, false
	}
	return offset * width, true
}

func (c *Ctx) bitfield(ops []bitfieldOp) {
	o, ok := c.open(c.Args[1], keyspace.TypeString)
	if !ok {
		return
	}
	have := 0
	if o != nil {
		have = o.Len()
	}
	size := int((bitsNeeded(ops) + 7) / 8)
	if !c.fits(int64(min(size, stringLenMax)), 0) { // the last integer may stick out
		return
	}
	changed := size > have
	first, val := bitfieldWindow(o, ops)
	c.Array(len(ops))
	for _, op := range ops {
		offset := op.offset - int64(first)*8
		old := op.typ.get(val, offset)
		now, fits := old, true
		switch op.kind {
		case bitfieldSet:
			now, fits = op.typ.add(op.n, 0, op.mode)
		case bitfieldIncr:
			now, fits = op.typ.add(old, op.n, op.mode)
		}
		if !fits {
			c.Null()
			continue
		}
		if now != old {
			op.typ.put(val, offset, now)
			changed = true
		}
		if op.kind == bitfieldIncr {
			c.Int(now)
		} else {
			c.Int(old)
		}
	}
	if changed { // of what lies behind the end some was only read
		keyspace.Overwrite(c.Tx, c.DB, c.Args[1], o, first, val[:min(len(val), max(size, have)-first)])
	}
}

// bitfieldWindow returns a copy of the bytes of a string that operations look at, with zeros
// behind its end where they write, and where they begin.
func bitfieldWindow(o *keyspace.Object, ops []bitfieldOp) (first int, val []byte) {
	if len(ops) == 0 {
		return 0, nil
	}
	have := 0
	if o != nil {
		have = o.Len()
	}
	first, end := math.MaxInt, 0
	for _, op := range ops {
		first = min(first, int(op.offset/8))
		last := int((op.offset + op.typ.width + 7) / 8)
		if op.kind == bitfieldGet { // what is behind the end is zeros anyway
			last = min(last, have)
		}
		end = max(end, last)
	}
	val = make([]byte, max(0, end-first))
	if first < have {
		copy(val, keyspace.Slice(o, first, min(end, have)))
	}
	return first, val
}
