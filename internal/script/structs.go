package script

import (
	"bytes"
	"encoding/binary"
	"math"
	"strconv"

	lua "github.com/yuin/gopher-lua"
)

// The library struct: values as bytes, by a format.

func structFunctions() map[string]function {
	return map[string]function{"pack": structPack, "unpack": structUnpack, "size": structSize}
}

// layout is the format being read.
type layout struct {
	L     *lua.LState
	f     string
	order binary.ByteOrder
	align int
	at    int // bytes so far
}

func newLayout(L *lua.LState, f string) *layout {
	return &layout{L: L, f: f, order: binary.LittleEndian, align: 1}
}

// next returns the next option and its size; done at the end.
func (x *layout) next() (option byte, size int, done bool) {
	for x.f != "" {
		c := x.f[0]
		x.f = x.f[1:]
		switch c {
		case '<':
			x.order = binary.LittleEndian
		case '>':
			x.order = binary.BigEndian
		case '=':
			x.order = binary.LittleEndian
		case ' ':
		case '!':
			if x.align = x.number(8); x.align == 0 || x.align&(x.align-1) != 0 {
				x.L.RaiseError("alignment %d is not a power of 2", x.align)
			}
		default:
			return c, x.size(c), false
		}
	}
	return 0, 0, true
}

// number reads a number of the format.
func (x *layout) number(otherwise int) int {
	n := 0
	for n < len(x.f) && isDigit(x.f[n]) {
		n++
	}
	if n == 0 {
		return otherwise
	}
	i, err := strconv.Atoi(x.f[:n])
	if err != nil || i > math.MaxInt32 {
		x.L.RaiseError("integral size overflow")
	}
	x.f = x.f[n:]
	return i
}

func (x *layout) size(c byte) int {
	switch c {
	case 'b', 'B':
		return 1
	case 'h', 'H':
		return 2
	case 'l', 'L', 'T', 'd', 'n':
		return 8
	case 'f':
		return 4
	case 'x':
		return 1
	case 'c':
		return x.number(1)
	case 's':
		return 0
	case 'i', 'I':
		n := x.number(4)
		if n > 32 {
			x.L.RaiseError("integral size %d is larger than limit of %d", n, 32)
		}
		return n
	}
	x.L.ArgError(1, "invalid format option '"+string(rune(c))+"'")
	return 0
}

// padding is what stands before a value of a size.
func (x *layout) padding(c byte, size int) int {
	if size == 0 || c == 'c' || c == 's' || c == 'x' {
		return 0
	}
	a := min(x.align, size)
	if a <= 1 || a&(a-1) != 0 {
		return 0
	}
	return (a - x.at&(a-1)) & (a - 1)
}

func structPack(v *vm, L *lua.LState) int {
	x := newLayout(L, str(L, 1))
	var out []byte
	for arg := 2; ; {
		c, size, done := x.next()
		if done {
			break
		}
		x.at = len(out)
		pad := x.padding(c, size)
		v.meter.count(4, 0)
		v.check(L)
		if len(out)+size+pad > StringMax {
			v.grow(L, StringMax+1)
		}
		out = append(out, make([]byte, pad)...)
		switch c {
		case 'x':
			out = append(out, 0)
			continue
		case 'c':
			s := str(L, arg)
			if size == 0 {
				size = len(s)
			}
			if len(s) < size {
				L.ArgError(arg+1, "string too short") // as Redis counts here
			}
			out = append(out, s[:size]...)
		case 's':
			out = append(append(out, str(L, arg)...), 0)
		case 'f':
			out = x.integer(out, uint64(math.Float32bits(float32(num(L, arg)))), 4)
		case 'd', 'n':
			out = x.integer(out, math.Float64bits(float64(num(L, arg))), 8)
		default:
			f := float64(num(L, arg))
			n := uint64(int64(f))
			if f >= 1<<63 {
				n = uint64(f)
			}
			out = x.integer(out, n, size)
		}
		arg++
	}
	v.grow(L, len(out))
	L.Push(lua.LString(out))
	return 1
}

// integer appends the lowest bytes of a number; what is wider is its sign.
func (x *layout) integer(out []byte, n uint64, size int) []byte {
	at := len(out)
	for i := range size {
		c := byte(0)
		if i < 8 {
			c = byte(n >> (8 * i))
		}
		out = append(out, c)
	}
	if x.order == binary.BigEndian {
		for i, j := at, len(out)-1; i < j; i, j = i+1, j-1 {
			out[i], out[j] = out[j], out[i]
		}
	}
	return out
}

func structUnpack(v *vm, L *lua.LState) int {
	x, s := newLayout(L, str(L, 1)), []byte(str(L, 2))
	v.grow(L, len(s))
	x.at = wholeOr(L, 3, 1) - 1
	if x.at < 0 {
		L.ArgError(3, "offset must be 1 or greater")
	}
	n := 0
	L.SetTop(2)
	for {
		c, size, done := x.next()
		if done {
			break
		}
		x.at += x.padding(c, size)
		if c == 'c' && size == 0 {
			size = x.popLength(&n)
		}
		if size < 0 || x.at > len(s) || size > len(s)-x.at {
			L.ArgError(2, "data string too short")
		}
		v.meter.count(4, size)
		if n++; n > unpackMax {
			L.RaiseError("too many results to unpack")
		}
		data := s[x.at : x.at+size]
		switch c {
		case 'x':
			n--
		case 'c':
			L.Push(lua.LString(data))
		case 's':
			end := bytes.IndexByte(s[x.at:], 0)
			if end < 0 {
				L.RaiseError("unfinished string in data")
			}
			L.Push(lua.LString(s[x.at : x.at+end]))
			size = end + 1
		default:
			L.Push(lua.LNumber(x.value(c, data)))
		}
		x.at += size
	}
	L.Push(lua.LNumber(x.at + 1))
	return n + 1
}

// popLength takes the last value, which is the length of what follows.
func (x *layout) popLength(n *int) int {
	if *n == 0 || x.L.Get(-1).Type() != lua.LTNumber {
		x.L.RaiseError("format 'c0' needs a previous size")
	}
	size := whole(x.L, x.L.GetTop())
	x.L.Pop(1)
	*n--
	return size
}

func (x *layout) value(c byte, data []byte) float64 {
	n := uint64(0)
	for i := range data {
		b := data[i]
		if x.order == binary.LittleEndian {
			b = data[len(data)-1-i]
		}
		n = n<<8 | uint64(b)
	}
	switch c {
	case 'f':
		return float64(math.Float32frombits(uint32(n)))
	case 'd', 'n':
		return math.Float64frombits(n)
	case 'b', 'h', 'i', 'l':
		shift := 64 - 8*min(len(data), 8)
		return float64(int64(n<<shift) >> shift)
	}
	return float64(n)
}

func structSize(_ *vm, L *lua.LState) int {
	x := newLayout(L, str(L, 1))
	for {
		c, size, done := x.next()
		if done {
			break
		}
		x.at += x.padding(c, size)
		switch {
		case c == 's':
			L.ArgError(1, "option 's' has no fixed size")
		case c == 'c' && size == 0:
			L.ArgError(1, "option 'c0' has no fixed size")
		}
		x.at += size
	}
	L.Push(lua.LNumber(x.at))
	return 1
}
