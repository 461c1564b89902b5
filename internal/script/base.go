package script

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	lua "github.com/yuin/gopher-lua"
)

// The base library, as far as it is not the interpreter's own.

func baseFunctions() map[string]function {
	return map[string]function{
		"assert": assert, "error": raise, "pcall": pcall, "xpcall": xpcall, "tostring": toString, "getmetatable": getMetatable, "setmetatable": setMetatable,
		"rawget": rawGet, "rawset": rawSet, "next": nextEntry, "pairs": allPairs, "unpack": unpackTable,
		"collectgarbage": garbage, "gcinfo": garbage, "tonumber": toNumber, "loadstring": loadString, "load": load,
	}
}

// number spells a number as Lua does.
func number(f float64) string {
	switch {
	case math.IsInf(f, 1):
		return "inf"
	case math.IsInf(f, -1):
		return "-inf"
	case math.IsNaN(f) && math.Signbit(f):
		return "-nan"
	case math.IsNaN(f):
		return "nan"
	case f == math.Trunc(f) && math.Abs(f) < 1e14 && !(f == 0 && math.Signbit(f)):
		return strconv.FormatInt(int64(f), 10)
	}
	return strconv.FormatFloat(f, 'g', 14, 64)
}

// text returns what tostring says of a value without a metatable.
func text(x lua.LValue) string {
	switch x := x.(type) {
	case lua.LString:
		return string(x)
	case lua.LNumber:
		return number(float64(x))
	}
	return x.String()
}

// str returns argument n as a string; numbers are spelled.
func str(L *lua.LState, n int) string {
	switch x := L.Get(n).(type) {
	case lua.LString:
		return string(x)
	case lua.LNumber:
		return number(float64(x))
	}
	wrongType(L, n, "string")
	return ""
}

// num returns argument n as a number; strings are read.
func num(L *lua.LState, n int) lua.LNumber {
	switch x := L.Get(n).(type) {
	case lua.LNumber:
		return x
	case lua.LString:
		if f, ok := parseNumber(strings.TrimSpace(string(x)), 10); ok {
			return lua.LNumber(f)
		}
	}
	wrongType(L, n, "number")
	return 0
}

// wrongType raises the error for an argument of another type.
func wrongType(L *lua.LState, n int, expected string) {
	got := "no value"
	if n <= L.GetTop() {
		got = L.Get(n).Type().String()
	}
	L.ArgError(n, expected+" expected, got "+got)
}

// whole returns argument n as an integer, numbers that are too large as the nearest.
func whole(L *lua.LState, n int) int {
	f := float64(num(L, n))
	switch {
	case f >= math.MaxInt64:
		return math.MaxInt64
	case f <= math.MinInt64:
		return math.MinInt64
	case math.IsNaN(f):
		return math.MinInt64
	}
	return int(f)
}

// wholeOr is whole with a value for an argument that is not there.
func wholeOr(L *lua.LState, n, otherwise int) int {
	if L.Get(n) == lua.LNil {
		return otherwise
	}
	return whole(L, n)
}

func assert(_ *vm, L *lua.LState) int {
	if lua.LVAsBool(L.CheckAny(1)) {
		return L.GetTop()
	}
	message := "assertion failed!"
	if L.Get(2) != lua.LNil {
		message = str(L, 2)
	}
	L.RaiseError("%s", message)
	return 0
}

// plain is what pcall shows of an error: of one as commands have it, only its text.
func plain(x lua.LValue) lua.LValue {
	if t, ok := x.(*lua.LTable); ok {
		if s, ok := t.RawGetString("err").(lua.LString); ok {
			return s
		}
	}
	return x
}

// raise is error. Where it was called, or who called that, stands before a text.
func raise(_ *vm, L *lua.LState) int {
	x, level := L.Get(1), wholeOr(L, 2, 1)
	if isText(x) && level > 0 {
		x = lua.LString(where(L, level) + text(x))
	}
	L.SetTop(1)
	L.Error(x, 0)
	return 0
}

// where says which line runs at a level of the stack, as errors begin; "" if that is no
// function of a script.
func where(L *lua.LState, level int) string {
	frame, ok := L.GetStack(level)
	if !ok {
		return ""
	}
	if _, err := L.GetInfo("Sl", frame, lua.LNil); err != nil || frame.CurrentLine <= 0 {
		return ""
	}
	return fmt.Sprintf("%s:%d: ", frame.Source, frame.CurrentLine)
}

// xpcall tells the handler of an error in the words of Lua.
func xpcall(v *vm, L *lua.LState) int {
	f, handler := L.CheckAny(1), L.CheckFunction(2)
	L.SetTop(0)
	L.Push(f)
	err := L.PCall(0, lua.MultRet, L.NewFunction(func(L *lua.LState) int {
		sameInWords(v, L)
		L.Insert(handler, 1)
		L.Call(1, 1)
		return 1
	}))
	if err == nil {
		L.Insert(lua.LTrue, 1)
		return L.GetTop()
	}
	return notDone(v, L, err)
}

// notDone returns what is returned in place of what a function that was called would
// have returned.
func notDone(v *vm, L *lua.LState, err error) int {
	v.check(L)
	L.SetTop(0)
	L.Push(lua.LFalse)
	if a, ok := err.(*lua.ApiError); ok { //nolint:errorlint // it is never wrapped
		L.Push(a.Object)
	} else {
		L.Push(lua.LString(err.Error()))
	}
	return 2
}

// sameInWords hands an error on, in the words of Lua.
func sameInWords(v *vm, L *lua.LState) int {
	L.SetTop(1)
	if s, ok := L.Get(1).(lua.LString); ok {
		L.Replace(1, lua.LString(inWordsOfLua(string(s), failed(v, L))))
	}
	return 1
}

// pcall has a handler hand the error on: without one the interpreter spells out where the
// error came from each time, however deep that is.
func pcall(v *vm, L *lua.LState) int {
	L.CheckAny(1)
	top := L.GetTop()
	err := L.PCall(top-1, lua.MultRet, v.same)
	if err == nil {
		L.Insert(lua.LTrue, 1)
		return L.GetTop()
	}
	n := notDone(v, L, err)
	L.Replace(n, plain(L.Get(n)))
	return n
}

func toString(_ *vm, L *lua.LState) int {
	x := L.CheckAny(1)
	if f, ok := L.GetMetaField(x, "__tostring").(*lua.LFunction); ok {
		L.Push(f)
		L.Push(x)
		L.Call(1, 1)
		return 1
	}
	L.Push(lua.LString(text(x)))
	return 1
}

// getMetatable shows nothing of the metatables by which things are frozen.
func getMetatable(v *vm, L *lua.LState) int {
	x := L.CheckAny(1)
	if t, ok := x.(*lua.LTable); x.Type() == lua.LTString || ok && v.frozen[t] != nil {
		L.Push(v.blank)
		return 1
	}
	if protected := L.GetMetaField(x, "__metatable"); protected != lua.LNil {
		L.Push(protected)
		return 1
	}
	L.Push(L.GetMetatable(x))
	return 1
}

func setMetatable(v *vm, L *lua.LState) int {
	t := v.writable(L, 1)
	meta := L.Get(2)
	if meta.Type() != lua.LTNil && meta.Type() != lua.LTTable || L.GetTop() < 2 {
		L.ArgError(2, "nil or table expected")
	}
	if L.GetMetaField(t, "__metatable") != lua.LNil {
		L.RaiseError("cannot change a protected metatable")
	}
	L.SetMetatable(t, meta)
	L.SetTop(1)
	return 1
}

func rawGet(v *vm, L *lua.LState) int {
	L.Push(v.behind(L.CheckTable(1)).RawGet(L.CheckAny(2)))
	return 1
}

func rawSet(v *vm, L *lua.LState) int {
	t := v.writable(L, 1)
	L.RawSet(t, checkKey(L, 2), L.CheckAny(3))
	L.SetTop(1)
	return 1
}

// checkKey returns argument n, which can be a key.
func checkKey(L *lua.LState, n int) lua.LValue {
	switch x := L.CheckAny(n).(type) {
	case *lua.LNilType:
		L.RaiseError("table index is nil")
	case lua.LNumber:
		if math.IsNaN(float64(x)) {
			L.RaiseError("table index is NaN")
		}
	}
	return L.Get(n)
}

func nextEntry(v *vm, L *lua.LState) int {
	t := v.behind(L.CheckTable(1))
	v.meter.count(1, 0)
	key, val := t.Next(L.Get(2))
	L.Push(key)
	if key == lua.LNil {
		return 1
	}
	L.Push(val)
	return 2
}

func allPairs(v *vm, L *lua.LState) int {
	t := L.CheckTable(1)
	L.Push(L.G.Global.RawGetString("next"))
	L.Push(t)
	L.Push(lua.LNil)
	return 3
}

// unpackMax is how many values unpack returns at most.
const unpackMax = 8000

func unpackTable(v *vm, L *lua.LState) int {
	t := v.behind(L.CheckTable(1))
	first := wholeOr(L, 2, 1)
	last := 0
	if L.Get(3) == lua.LNil {
		last = t.Len()
	} else {
		last = whole(L, 3)
	}
	if first > last {
		return 0
	}
	if last-first >= unpackMax || last-first < 0 {
		L.RaiseError("too many results to unpack")
	}
	v.pay(L, 16*(last-first+1))
	for i := first; ; i++ {
		L.Push(t.RawGetInt(i))
		if i == last {
			return last - first + 1
		}
	}
}

// each calls f with the entries of a table, in the order in which they came in. The
// interpreter's own way goes by Go's, which differs from run to run.
func each(t *lua.LTable, f func(key, val lua.LValue)) {
	for key, val := t.Next(lua.LNil); key != lua.LNil; key, val = t.Next(key) {
		f(key, val)
	}
}

// garbage says how much memory the script takes, in KiB; there is nothing to collect.
func garbage(v *vm, L *lua.LState) int {
	L.Push(lua.LNumber(v.meter.bytes>>10 + 1))
	return 1
}

// toNumber is tonumber.
func toNumber(_ *vm, L *lua.LState) int {
	x := L.CheckAny(1)
	base := wholeOr(L, 2, 10)
	if base < 2 || base > 36 {
		L.ArgError(2, "base out of range")
	}
	val := lua.LNil
	switch {
	case x.Type() == lua.LTNumber && base == 10:
		val = x
	case isText(x):
		if f, ok := parseNumber(strings.Trim(text(x), " \t\n\v\f\r"), base); ok {
			val = lua.LNumber(f)
		}
	}
	L.Push(val)
	return 1
}

// loopBound is what stands in the place of a bound of a loop. What is no number stays, and
// the loop refuses it.
func loopBound(_ *vm, L *lua.LState) int {
	x := L.Get(1)
	if s, is := x.(lua.LString); is {
		if f, ok := parseNumber(strings.Trim(string(s), " \t\n\v\f\r"), 10); ok {
			x = lua.LNumber(f)
		}
	}
	L.Push(x)
	return 1
}

// parseNumber reads a number as C does.
func parseNumber(s string, base int) (float64, bool) {
	if base != 10 {
		if base == 16 {
			s = strings.TrimPrefix(strings.TrimPrefix(s, "0x"), "0X")
		}
		n, err := strconv.ParseUint(s, base, 64)
		return float64(n), err == nil
	}
	if strings.Contains(s, "_") || s == "" {
		return 0, false
	}
	hex := strings.HasPrefix(strings.ToLower(strings.TrimLeft(s, "+-")), "0x")
	if hex && !strings.ContainsAny(s, "pP") {
		s += "p0" // Go wants an exponent
	}
	f, err := strconv.ParseFloat(s, 64)
	return f, err == nil || errors.Is(err, strconv.ErrRange)
}

// loadString is loadstring: what it returns is guarded as the script is.
func loadString(v *vm, L *lua.LState) int {
	s := str(L, 1)
	return loadText(v, L, s, "[string \""+firstLine(s)+"\"]")
}

// load is loadstring of what a function returns piece by piece, until that is nothing.
func load(v *vm, L *lua.LState) int {
	piece := L.CheckFunction(1)
	var text strings.Builder
	for {
		L.Push(piece)
		if err := L.PCall(0, 1, v.same); err != nil {
			n := notDone(v, L, err)
			L.Replace(n, plain(L.Get(n)))
			L.Replace(n-1, lua.LNil)
			return n
		}
		x := L.Get(-1)
		L.Pop(1)
		s := ""
		switch x := x.(type) {
		case *lua.LNilType:
		case lua.LString, lua.LNumber:
			s = x.String()
		default:
			L.Push(lua.LNil)
			L.Push(lua.LString("reader function must return a string"))
			return 2
		}
		if s == "" {
			return loadText(v, L, text.String(), "(load)")
		}
		v.grow(L, text.Len()+len(s))
		text.WriteString(s)
	}
}

// loadText compiles a text; the second argument of whoever loads it may name it.
func loadText(v *vm, L *lua.LState, s, name string) int {
	if L.Get(2).Type() == lua.LTString {
		name = strings.TrimLeft(str(L, 2), "@=")
	}
	v.pay(L, 16*len(s))
	v.grow(L, 16*len(s))
	if strings.HasPrefix(s, "\x1b") {
		L.Push(lua.LNil)
		L.Push(lua.LString("bytecode is not loaded"))
		return 2
	}
	proto, err := compile(s, name)
	if err != nil {
		L.Push(lua.LNil)
		L.Push(lua.LString(err.Error()))
		return 2
	}
	fn := L.NewFunctionFromProto(proto)
	fn.Env = v.env
	L.Push(fn)
	return 1
}

func firstLine(s string) string {
	line, _, more := strings.Cut(s, "\n")
	if len(line) > 60 || more {
		return line[:min(len(line), 60)] + "..."
	}
	return line
}

// concat is the operator "..", of all its operands at once.
func concatAll(v *vm, L *lua.LState) int {
	n, size := L.GetTop(), 0
	for i := 1; i <= n; i++ {
		switch x := L.Get(i).(type) {
		case lua.LString:
			size += len(x)
		case lua.LNumber:
			size += 8
		default:
			return v.concatPairs(L, n)
		}
	}
	v.grow(L, size)
	out := make([]byte, 0, size)
	for i := 1; i <= n; i++ {
		switch x := L.Get(i).(type) {
		case lua.LString:
			out = append(out, x...)
		case lua.LNumber:
			out = append(out, number(float64(x))...)
		}
	}
	L.Push(lua.LString(out))
	return 1
}

// concatPairs is concat where some operand is neither string nor number: from right to
// left, by what metatables say.
func (v *vm) concatPairs(L *lua.LState, n int) int {
	right := L.Get(n)
	for i := n - 1; i >= 1; i-- {
		left := L.Get(i)
		if isText(left) && isText(right) {
			l, r := text(left), text(right)
			v.grow(L, len(l)+len(r))
			right = lua.LString(l + r)
			continue
		}
		f := L.GetMetaField(left, "__concat")
		if f == lua.LNil {
			f = L.GetMetaField(right, "__concat")
		}
		if f == lua.LNil {
			bad, at := left, i
			if isText(left) {
				bad, at = right, i+1
			}
			name := failed(v, L)(at - 1)
			if at == i+1 && at < n {
				name = "" // what came of others
			}
			L.RaiseError("%s", attempt("concatenate", name, bad.Type().String()))
		}
		L.Push(f)
		L.Push(left)
		L.Push(right)
		L.Call(2, 1)
		right = L.Get(-1)
		L.Pop(1)
	}
	L.Push(right)
	return 1
}

func isText(x lua.LValue) bool { return x.Type() == lua.LTString || x.Type() == lua.LTNumber }
