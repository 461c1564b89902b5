package script

import (
	"math"
	"math/bits"

	lua "github.com/yuin/gopher-lua"
)

// random is the generator of math.random: the 48-bit one of drand48. It begins anew with
// every script.
type random struct{ x uint64 }

func (r *random) seed(s int32) { r.x = uint64(uint32(s))<<16 | 0x330e }

// next returns a number of 31 bits.
func (r *random) next() int32 {
	r.x = (r.x*0x5deece66d + 0xb) & (1<<48 - 1)
	return int32(r.x >> 17)
}

// mathLibrary is the interpreter's, but for its randomness, and for what it takes for the
// largest of all numbers.
func mathLibrary(v *vm) *lua.LTable {
	v.L.Push(v.L.NewFunction(lua.OpenMath))
	v.L.Call(0, 1)
	t := v.L.CheckTable(-1)
	v.L.Pop(1)
	t.RawSetString("huge", lua.LNumber(math.Inf(1)))
	v.register(t, map[string]function{
		"random":     mathRandom,
		"randomseed": func(v *vm, L *lua.LState) int { v.rand.seed(int32(int64(num(L, 1)))); return 0 },
	})
	return t
}

func mathRandom(v *vm, L *lua.LState) int {
	r := float64(v.rand.next()&math.MaxInt32) / (1 << 31)
	low, high := 1, 0
	switch L.GetTop() {
	case 0:
		L.Push(lua.LNumber(r))
		return 1
	case 1:
		if high = whole(L, 1); high < 1 {
			L.ArgError(1, "interval is empty")
		}
	case 2:
		if low, high = whole(L, 1), whole(L, 2); low > high {
			L.ArgError(2, "interval is empty")
		}
	default:
		L.RaiseError("wrong number of arguments")
	}
	L.Push(lua.LNumber(math.Floor(r*(float64(high)-float64(low)+1)) + float64(low)))
	return 1
}

// bits is the library bit: operations on integers of 32 bits.
func bitFunctions() map[string]function {
	fold := func(f func(a, b uint32) uint32) function {
		return func(_ *vm, L *lua.LState) int {
			x := bitArg(L, 1)
			for i := 2; i <= L.GetTop(); i++ {
				x = f(x, bitArg(L, i))
			}
			return pushBits(L, x)
		}
	}
	shift := func(f func(x uint32, n int) uint32) function {
		return func(_ *vm, L *lua.LState) int { return pushBits(L, f(bitArg(L, 1), int(bitArg(L, 2)&31))) }
	}
	one := func(f func(x uint32) uint32) function {
		return func(_ *vm, L *lua.LState) int { return pushBits(L, f(bitArg(L, 1))) }
	}
	return map[string]function{
		"band":    fold(func(a, b uint32) uint32 { return a & b }),
		"bor":     fold(func(a, b uint32) uint32 { return a | b }),
		"bxor":    fold(func(a, b uint32) uint32 { return a ^ b }),
		"lshift":  shift(func(x uint32, n int) uint32 { return x << n }),
		"rshift":  shift(func(x uint32, n int) uint32 { return x >> n }),
		"arshift": shift(func(x uint32, n int) uint32 { return uint32(int32(x) >> n) }),
		"rol":     shift(func(x uint32, n int) uint32 { return bits.RotateLeft32(x, n) }),
		"ror":     shift(func(x uint32, n int) uint32 { return bits.RotateLeft32(x, -n) }),
		"bnot":    one(func(x uint32) uint32 { return ^x }),
		"tobit":   one(func(x uint32) uint32 { return x }),
		"bswap":   one(bits.ReverseBytes32),
		"tohex":   toHex,
	}
}

// bitArg returns argument n modulo 2^32.
func bitArg(L *lua.LState, n int) uint32 {
	f := math.RoundToEven(float64(num(L, n)))
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return 0
	}
	if math.Abs(f) >= 1<<62 {
		f = math.Mod(f, 1<<32)
	}
	return uint32(int64(f))
}

func pushBits(L *lua.LState, x uint32) int {
	L.Push(lua.LNumber(int32(x)))
	return 1
}

func toHex(_ *vm, L *lua.LState) int {
	x, n := bitArg(L, 1), 8
	digits := "0123456789abcdef"
	if L.GetTop() > 1 {
		n = int(int32(bitArg(L, 2)))
	}
	if n < 0 {
		n, digits = -n, "0123456789ABCDEF"
		if n < 0 {
			n = 8
		}
	}
	n = min(n, 8)
	out := make([]byte, n)
	for i := n - 1; i >= 0; i-- {
		out[i] = digits[x&15]
		x >>= 4
	}
	L.Push(lua.LString(out))
	return 1
}
