package script

import (
	"strings"

	lua "github.com/yuin/gopher-lua"
)

// The library string. It is not the interpreter's: what strings cost is counted here.

func stringFunctions() map[string]function {
	return map[string]function{
		"byte": strByte, "char": strChar, "find": findString, "format": formatString, "gmatch": gmatch, "gfind": gmatch, "gsub": gsub,
		"len": strLen, "lower": mapped(strings.ToLower), "match": matchString, "rep": repeatString, "reverse": mapped(reversed), "sub": subString, "upper": mapped(strings.ToUpper),
	}
}

// span returns the bytes that a pair of positions means, as string.sub has it.
func span(n, first, last int) (from, to int) {
	if first < 0 {
		first = max(n+first+1, 1)
	}
	if last < 0 {
		last = n + last + 1
	}
	first, last = max(first, 1), min(last, n)
	if first > last {
		return 0, 0
	}
	return first - 1, last
}

func strByte(v *vm, L *lua.LState) int {
	s := str(L, 1)
	first := wholeOr(L, 2, 1)
	from, to := span(len(s), first, wholeOr(L, 3, first))
	if to-from > unpackMax {
		L.RaiseError("string slice too long")
	}
	v.pay(L, 16*(to-from))
	for i := from; i < to; i++ {
		L.Push(lua.LNumber(s[i]))
	}
	return to - from
}

func strChar(_ *vm, L *lua.LState) int {
	out := make([]byte, L.GetTop())
	for i := range out {
		c := whole(L, i+1)
		if c < 0 || c > 255 {
			L.ArgError(i+1, "invalid value")
		}
		out[i] = byte(c)
	}
	L.Push(lua.LString(out))
	return 1
}

func strLen(_ *vm, L *lua.LState) int {
	L.Push(lua.LNumber(len(str(L, 1))))
	return 1
}

// mapped makes a function of one that returns as many bytes.
func mapped(f func(string) string) function {
	return func(v *vm, L *lua.LState) int {
		s := str(L, 1)
		v.grow(L, len(s))
		L.Push(lua.LString(f(s)))
		return 1
	}
}

func reversed(s string) string {
	out := make([]byte, len(s))
	for i := range len(s) {
		out[len(s)-1-i] = s[i]
	}
	return string(out)
}

func repeatString(v *vm, L *lua.LState) int {
	s, n := str(L, 1), whole(L, 2)
	if n <= 0 || s == "" {
		L.Push(lua.LString(""))
		return 1
	}
	if n > StringMax {
		n = StringMax + 1 // it need not be multiplied
	}
	v.grow(L, len(s)*n)
	L.Push(lua.LString(strings.Repeat(s, n)))
	return 1
}

func subString(v *vm, L *lua.LState) int {
	s := str(L, 1)
	from, to := span(len(s), whole(L, 2), wholeOr(L, 3, -1))
	v.grow(L, to-from)
	L.Push(lua.LString(strings.Clone(s[from:to]))) // it must not keep all of s
	return 1
}

// matcher returns an attempt to match in s, which counts its work.
func (v *vm) matcher(L *lua.LState, s, p string) *match {
	return &match{s: s, p: p, count: func(work int) {
		v.meter.count(work/4, 0)
		v.check(L)
	}}
}

// attempt matches the pattern at byte s, or returns -1.
func (m *match) attempt(L *lua.LState, s, p int) (end int) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case error:
			if _, ended := r.(*lua.ApiError); ended { //nolint:errorlint // it is never wrapped
				panic(r)
			}
			L.RaiseError("%s", r.Error())
		default:
			panic(r)
		}
	}()
	m.captures, m.depth = m.captures[:0], 0
	return m.at(s, p)
}

// pushCapture pushes capture i of a match of s[from:to]; without any the whole is the
// first one.
func (m *match) pushCapture(L *lua.LState, i, from, to int) {
	L.Push(m.capture(L, i, from, to))
}

func (m *match) capture(L *lua.LState, i, from, to int) lua.LValue {
	if i >= len(m.captures) {
		if i != 0 {
			L.RaiseError("invalid capture index")
		}
		return lua.LString(strings.Clone(m.s[from:to]))
	}
	switch c := m.captures[i]; c.length {
	case captureOpen:
		L.RaiseError("unfinished capture")
		return lua.LNil
	case capturePosition:
		return lua.LNumber(c.start + 1)
	default:
		return lua.LString(strings.Clone(m.s[c.start : c.start+c.length]))
	}
}

// pushCaptures pushes all captures, the whole if there are none and whole says so.
func (m *match) pushCaptures(L *lua.LState, from, to int, whole bool) int {
	n := len(m.captures)
	if n == 0 && whole {
		n = 1
	}
	for i := range n {
		m.pushCapture(L, i, from, to)
	}
	return n
}

func findString(v *vm, L *lua.LState) int  { return v.search(L, true) }
func matchString(v *vm, L *lua.LState) int { return v.search(L, false) }

func (v *vm) search(L *lua.LState, find bool) int {
	s, p := str(L, 1), str(L, 2)
	from := wholeOr(L, 3, 1)
	if from < 0 {
		from = max(len(s)+from, 0)
	} else {
		from = max(from-1, 0)
	}
	from = min(from, len(s))
	v.pay(L, 1)
	if find && (lua.LVAsBool(L.Get(4)) || !strings.ContainsAny(p, "^$*+?.([%-")) {
		v.pay(L, len(s)-from)
		i := strings.Index(s[from:], p)
		if i < 0 {
			L.Push(lua.LNil)
			return 1
		}
		L.Push(lua.LNumber(from + i + 1))
		L.Push(lua.LNumber(from + i + len(p)))
		return 2
	}
	m := v.matcher(L, s, p)
	at, anchored := 0, strings.HasPrefix(p, "^")
	if anchored {
		at = 1
	}
	for ; from <= len(s); from++ {
		if end := m.attempt(L, from, at); end >= 0 {
			v.grow(L, end-from)
			if !find {
				return m.pushCaptures(L, from, end, true)
			}
			L.Push(lua.LNumber(from + 1))
			L.Push(lua.LNumber(end))
			return 2 + m.pushCaptures(L, from, end, false)
		}
		if anchored {
			break
		}
	}
	L.Push(lua.LNil)
	return 1
}

func gmatch(v *vm, L *lua.LState) int {
	s, p := str(L, 1), str(L, 2)
	from := 0
	L.Push(L.NewFunction(func(L *lua.LState) int {
		m := v.matcher(L, s, p)
		for ; from <= len(s); from++ {
			end := m.attempt(L, from, 0)
			if end < 0 {
				continue
			}
			v.grow(L, end-from)
			n := m.pushCaptures(L, from, end, true)
			if end == from {
				end++ // or it would be found for ever
			}
			from = end
			return n
		}
		L.Push(lua.LNil)
		return 1
	}))
	return 1
}

func gsub(v *vm, L *lua.LState) int {
	s, p := str(L, 1), str(L, 2)
	repl := L.Get(3)
	switch repl.Type() {
	case lua.LTString, lua.LTNumber, lua.LTTable, lua.LTFunction:
	default:
		L.ArgError(3, "string/function/table expected")
	}
	most := wholeOr(L, 4, len(s)+1)
	m := v.matcher(L, s, p)
	at, anchored := 0, strings.HasPrefix(p, "^")
	if anchored {
		at = 1
	}
	var out []byte
	n, from := 0, 0
	for n < most {
		end := m.attempt(L, from, at)
		if end >= 0 {
			n++
			with := replacement(v, L, m, repl, from, end)
			if len(out)+len(with) > StringMax {
				v.grow(L, StringMax+1)
			}
			v.grow(L, len(with))
			out = append(out, with...)
		}
		switch {
		case end > from:
			from = end
		case from < len(s):
			out = append(out, s[from])
			from++
		default:
			from++
		}
		if from > len(s) || anchored {
			break
		}
	}
	if from < len(s) {
		out = append(out, s[from:]...)
	}
	v.grow(L, len(out))
	L.Push(lua.LString(out))
	L.Push(lua.LNumber(n))
	return 2
}

// replacement returns what stands for a match.
func replacement(v *vm, L *lua.LState, m *match, repl lua.LValue, from, end int) string {
	var val lua.LValue
	switch r := repl.(type) {
	case *lua.LTable:
		val = L.GetTable(r, m.capture(L, 0, from, end))
	case *lua.LFunction:
		L.Push(r)
		n := m.pushCaptures(L, from, end, true)
		own := m.captures // the function may match, but not with this matcher
		L.Call(n, 1)
		m.captures = own
		val = L.Get(-1)
		L.Pop(1)
	default:
		return expanded(v, L, m, text(repl), from, end)
	}
	switch {
	case !lua.LVAsBool(val):
		return m.s[from:end]
	case !isText(val):
		L.RaiseError("invalid replacement value (a %s)", val.Type().String())
	}
	return text(val)
}

// expanded puts captures into a replacement.
func expanded(v *vm, L *lua.LState, m *match, repl string, from, end int) string {
	if strings.IndexByte(repl, '%') < 0 {
		return repl
	}
	var out []byte
	for i := 0; i < len(repl); i++ {
		if repl[i] != '%' || i+1 == len(repl) {
			out = append(out, repl[i])
			continue
		}
		i++
		switch c := repl[i]; {
		case c == '0':
			out = append(out, m.s[from:end]...)
		case isDigit(c):
			out = append(out, text(m.capture(L, int(c-'1'), from, end))...)
		default:
			out = append(out, c)
		}
		if len(out) > StringMax {
			v.grow(L, StringMax+1)
		}
	}
	return string(out)
}
