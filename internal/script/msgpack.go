package script

import (
	"encoding/binary"
	"math"

	lua "github.com/yuin/gopher-lua"
)

// The library cmsgpack: MessagePack.

const packDepthMax = 16 // tables that lie deeper are packed as nil

var be = binary.BigEndian

func packLibrary(v *vm) *lua.LTable {
	t := v.library(map[string]function{"pack": packAll, "unpack": unpackAll, "unpack_one": unpackOne, "unpack_limit": unpackLimit})
	t.RawSetString("_NAME", lua.LString("cmsgpack"))
	t.RawSetString("_VERSION", lua.LString("lua-cmsgpack 0.4.0"))
	t.RawSetString("_COPYRIGHT", lua.LString(""))
	t.RawSetString("_DESCRIPTION", lua.LString("MessagePack C implementation for Lua"))
	return t
}

func packAll(v *vm, L *lua.LState) int {
	if L.GetTop() == 0 {
		L.ArgError(0, "MessagePack pack needs input.")
	}
	var out []byte
	for i := 1; i <= L.GetTop(); i++ {
		out = packed(v, L, out, L.Get(i), 0)
	}
	v.grow(L, len(out))
	L.Push(lua.LString(out))
	return 1
}

// packed appends a value.
func packed(v *vm, L *lua.LState, b []byte, x lua.LValue, depth int) []byte {
	v.meter.count(4, 0)
	v.check(L)
	if len(b) > StringMax {
		v.grow(L, len(b))
	}
	switch x := x.(type) {
	case lua.LString:
		switch n := len(x); {
		case n < 32:
			b = append(b, 0xa0|byte(n))
		case n < 1<<8:
			b = append(b, 0xd9, byte(n))
		case n < 1<<16:
			b = be.AppendUint16(append(b, 0xda), uint16(n))
		default:
			b = be.AppendUint32(append(b, 0xdb), uint32(n))
		}
		return append(b, x...)
	case lua.LNumber:
		return packedNumber(b, float64(x))
	case lua.LBool:
		return append(b, 0xc2|byte(boolIndex(bool(x))))
	case *lua.LTable:
		if depth < packDepthMax {
			return packedTable(v, L, b, v.behind(x), depth+1)
		}
	}
	return append(b, 0xc0)
}

func packedNumber(b []byte, f float64) []byte {
	if f != math.Trunc(f) || math.Abs(f) >= 1<<63 {
		if float64(float32(f)) == f {
			return be.AppendUint32(append(b, 0xca), math.Float32bits(float32(f)))
		}
		return be.AppendUint64(append(b, 0xcb), math.Float64bits(f))
	}
	n := int64(f)
	switch {
	case n >= 0 && n <= 127, n < 0 && n >= -32:
		return append(b, byte(n))
	case n >= 0 && n <= 0xff:
		return append(b, 0xcc, byte(n))
	case n >= 0 && n <= 0xffff:
		return be.AppendUint16(append(b, 0xcd), uint16(n))
	case n >= 0 && n <= 0xffffffff:
		return be.AppendUint32(append(b, 0xce), uint32(n))
	case n >= 0:
		return be.AppendUint64(append(b, 0xcf), uint64(n))
	case n >= math.MinInt8:
		return append(b, 0xd0, byte(n))
	case n >= math.MinInt16:
		return be.AppendUint16(append(b, 0xd1), uint16(n))
	case n >= math.MinInt32:
		return be.AppendUint32(append(b, 0xd2), uint32(n))
	}
	return be.AppendUint64(append(b, 0xd3), uint64(n))
}

// packedTable appends an array if the keys are 1 to n, else a map.
func packedTable(v *vm, L *lua.LState, b []byte, t *lua.LTable, depth int) []byte {
	n, most := 0, 0
	array := true
	each(t, func(key, _ lua.LValue) {
		n++
		f, ok := key.(lua.LNumber)
		i := int(f)
		array = array && ok && float64(i) == float64(f) && i >= 1
		most = max(most, i)
	})
	v.pay(L, 4*n)
	if array && most == n {
		b = packedHead(b, n, 0x90, 0xdc)
		for i := 1; i <= n; i++ {
			b = packed(v, L, b, t.RawGetInt(i), depth)
		}
		return b
	}
	b = packedHead(b, n, 0x80, 0xde)
	each(t, func(key, val lua.LValue) {
		b = packed(v, L, b, key, depth)
		b = packed(v, L, b, val, depth)
	})
	return b
}

// packedHead appends the head of n things: few has room for up to 15, many for 16 bits,
// and the one after it for 32.
func packedHead(b []byte, n int, few, many byte) []byte {
	switch {
	case n < 16:
		return append(b, few|byte(n))
	case n < 1<<16:
		return be.AppendUint16(append(b, many), uint16(n))
	}
	return be.AppendUint32(append(b, many+1), uint32(n))
}

// unpacker decodes.
type unpacker struct {
	v     *vm
	L     *lua.LState
	b     []byte
	depth int
}

func (u *unpacker) bad(text string) { u.L.RaiseError("%s", text) }

// take cuts n bytes off.
func (u *unpacker) take(n int) []byte {
	if n > len(u.b) {
		u.bad("Missing bytes in input.")
	}
	b := u.b[:n]
	u.b = u.b[n:]
	return b
}

func (u *unpacker) number(bytes int) uint64 {
	n := uint64(0)
	for _, c := range u.take(bytes) {
		n = n<<8 | uint64(c)
	}
	return n
}

func (u *unpacker) any() lua.LValue {
	u.v.meter.count(4, entryBytes)
	u.v.check(u.L)
	switch c := u.take(1)[0]; {
	case c < 0x80:
		return lua.LNumber(c)
	case c < 0x90:
		return u.pairs(int(c & 15))
	case c < 0xa0:
		return u.array(int(c & 15))
	case c < 0xc0:
		return u.text(int(c & 31))
	case c >= 0xe0:
		return lua.LNumber(int8(c))
	default:
		return u.tagged(c)
	}
}

func (u *unpacker) tagged(c byte) lua.LValue {
	switch c {
	case 0xc0:
		return lua.LNil
	case 0xc2, 0xc3:
		return lua.LBool(c == 0xc3)
	case 0xc4, 0xc5, 0xc6:
		return u.text(int(u.number(1 << (c - 0xc4))))
	case 0xca:
		return lua.LNumber(math.Float32frombits(uint32(u.number(4))))
	case 0xcb:
		return lua.LNumber(math.Float64frombits(u.number(8)))
	case 0xcc, 0xcd, 0xce:
		return lua.LNumber(u.number(1 << (c - 0xcc)))
	case 0xcf: // from 2^63 on it is taken for a negative one, as in Redis
		return lua.LNumber(int64(u.number(8)))
	case 0xd0:
		return lua.LNumber(int8(u.number(1)))
	case 0xd1:
		return lua.LNumber(int16(u.number(2)))
	case 0xd2:
		return lua.LNumber(int32(u.number(4)))
	case 0xd3:
		return lua.LNumber(int64(u.number(8)))
	case 0xd9, 0xda, 0xdb:
		return u.text(int(u.number(1 << (c - 0xd9))))
	case 0xdc, 0xdd:
		return u.array(int(u.number(2 << (c - 0xdc))))
	case 0xde, 0xdf:
		return u.pairs(int(u.number(2 << (c - 0xde))))
	}
	u.bad("Bad data format in input.")
	return nil
}

func (u *unpacker) text(n int) lua.LValue {
	s := u.take(n)
	u.v.grow(u.L, n)
	return lua.LString(s)
}

func (u *unpacker) enter() {
	if u.depth++; u.depth > jsonDepthMax {
		u.bad("Bad data format in input.")
	}
}

func (u *unpacker) array(n int) lua.LValue {
	u.enter()
	t := u.L.NewTable()
	for i := range n {
		t.RawSetInt(i+1, u.any())
	}
	u.depth--
	return t
}

func (u *unpacker) pairs(n int) lua.LValue {
	u.enter()
	t := u.L.NewTable()
	for range n {
		key := u.any()
		val := u.any()
		if f, is := key.(lua.LNumber); key == lua.LNil || is && math.IsNaN(float64(f)) {
			u.bad("Bad data format in input.")
		}
		t.RawSet(key, val)
	}
	u.depth--
	return t
}

func unpackAll(v *vm, L *lua.LState) int {
	n, _ := v.unpackFrom(L, 0, 0)
	return n
}

func unpackOne(v *vm, L *lua.LState) int { return v.unpackSome(L, 1, wholeOr(L, 2, 0)) }

func unpackLimit(v *vm, L *lua.LState) int { return v.unpackSome(L, whole(L, 2), wholeOr(L, 3, 0)) }

// unpackSome unpacks at most limit values, and returns the place behind them first, -1
// at the end.
func (v *vm) unpackSome(L *lua.LState, limit, offset int) int {
	if limit < 0 || offset < 0 {
		L.RaiseError("Invalid request to unpack with offset of %d and limit of %d.", offset, len(str(L, 1)))
	}
	L.SetTop(1)
	L.Push(lua.LNil)
	n, left := v.unpackFrom(L, offset, limit)
	at := -1
	if left > 0 {
		at = len(str(L, 1)) - left
	}
	L.Replace(2, lua.LNumber(at))
	return n + 1
}

// unpackFrom pushes the values from a place on; limit 0: all.
func (v *vm) unpackFrom(L *lua.LState, offset, limit int) (n, left int) {
	s := str(L, 1)
	if offset > len(s) {
		L.RaiseError("Start offset %d greater than input length %d.", offset, len(s))
	}
	v.grow(L, len(s))
	u := &unpacker{v: v, L: L, b: []byte(s[offset:])}
	for len(u.b) > 0 && (limit == 0 || n < limit) {
		if n >= unpackMax {
			L.RaiseError("too many values to unpack")
		}
		L.Push(u.any())
		n++
	}
	return n, len(u.b)
}
