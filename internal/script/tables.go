package script

import (
	"sort"

	lua "github.com/yuin/gopher-lua"
)

// The library table.

func tableFunctions() map[string]function {
	return map[string]function{
		"concat": tableConcat, "insert": tableInsert, "remove": tableRemove, "sort": tableSort,
		"maxn": maxN, "getn": getN, "foreach": forEach, "foreachi": forEachI,
	}
}

func getN(v *vm, L *lua.LState) int {
	L.Push(lua.LNumber(v.behind(L.CheckTable(1)).Len()))
	return 1
}

func maxN(v *vm, L *lua.LState) int {
	most := 0.0
	t := v.behind(L.CheckTable(1))
	n := 0
	each(t, func(key, _ lua.LValue) {
		n++
		if f, ok := key.(lua.LNumber); ok {
			most = max(most, float64(f))
		}
	})
	v.pay(L, 16*n)
	L.Push(lua.LNumber(most))
	return 1
}

func tableConcat(v *vm, L *lua.LState) int {
	t := v.behind(L.CheckTable(1))
	sep := ""
	if L.Get(2) != lua.LNil {
		sep = str(L, 2)
	}
	first, last := wholeOr(L, 3, 1), 0
	if L.Get(4) == lua.LNil {
		last = t.Len()
	} else {
		last = whole(L, 4)
	}
	size, out := 0, []byte(nil)
	for i := first; i <= last; i++ {
		x := t.RawGetInt(i)
		if !isText(x) {
			L.RaiseError("invalid value (%s) at index %d in table for 'concat'", x.Type().String(), i)
		}
		s := text(x)
		if size += len(s) + len(sep); size > StringMax {
			v.grow(L, size)
		}
		v.meter.count(1, 0)
		v.check(L)
		out = append(out, s...)
		if i < last {
			out = append(out, sep...)
		}
		if i == last {
			break // or it would run over
		}
	}
	v.grow(L, len(out))
	L.Push(lua.LString(out))
	return 1
}

func tableInsert(v *vm, L *lua.LState) int {
	t := v.writable(L, 1)
	n := t.Len()
	switch L.GetTop() {
	case 2:
		t.RawSetInt(n+1, L.Get(2))
	case 3:
		at := whole(L, 2)
		if at <= 0 || at > n {
			L.RawSetInt(t, at, L.Get(3))
			return 0
		}
		v.pay(L, 2*(n-at))
		for i := n; i >= at; i-- {
			t.RawSetInt(i+1, t.RawGetInt(i))
		}
		t.RawSetInt(at, L.Get(3))
	default:
		L.RaiseError("wrong number of arguments to 'insert'")
	}
	return 0
}

func tableRemove(v *vm, L *lua.LState) int {
	t := v.writable(L, 1)
	n := t.Len()
	at := wholeOr(L, 2, n)
	if at < 1 || at > n {
		return 0
	}
	v.pay(L, 2*(n-at))
	old := t.RawGetInt(at)
	for i := at; i < n; i++ {
		t.RawSetInt(i, t.RawGetInt(i+1))
	}
	t.Remove(n)
	L.Push(old)
	return 1
}

// sorting is a table being sorted, in place.
type sorting struct {
	v    *vm
	L    *lua.LState
	t    *lua.LTable
	n    int
	less *lua.LFunction // nil: the operator
}

func (s *sorting) Len() int { return s.n }
func (s *sorting) Swap(i, j int) {
	x, y := s.t.RawGetInt(i+1), s.t.RawGetInt(j+1)
	s.t.RawSetInt(i+1, y)
	s.t.RawSetInt(j+1, x)
}

func (s *sorting) Less(i, j int) bool {
	x, y := s.t.RawGetInt(i+1), s.t.RawGetInt(j+1)
	s.v.meter.count(4, 0)
	s.v.check(s.L)
	if s.less == nil {
		return s.L.LessThan(x, y)
	}
	s.L.Push(s.less)
	s.L.Push(x)
	s.L.Push(y)
	s.L.Call(2, 1)
	is := lua.LVAsBool(s.L.Get(-1))
	s.L.Pop(1)
	return is
}

func tableSort(v *vm, L *lua.LState) int {
	s := &sorting{v: v, L: L, t: v.writable(L, 1)}
	if L.Get(2) != lua.LNil {
		s.less = L.CheckFunction(2)
	}
	s.n = s.t.Len()
	sort.Sort(s)
	return 0
}

func forEach(v *vm, L *lua.LState) int {
	t, f := v.behind(L.CheckTable(1)), L.CheckFunction(2)
	for key, val := t.Next(lua.LNil); key != lua.LNil; key, val = t.Next(key) {
		if n := visit(v, L, f, key, val); n > 0 {
			return n
		}
	}
	return 0
}

func forEachI(v *vm, L *lua.LState) int {
	t, f := v.behind(L.CheckTable(1)), L.CheckFunction(2)
	for i, n := 1, t.Len(); i <= n; i++ {
		if n := visit(v, L, f, lua.LNumber(i), t.RawGetInt(i)); n > 0 {
			return n
		}
	}
	return 0
}

// visit calls f, and leaves what it returns if that is not nil.
func visit(v *vm, L *lua.LState, f *lua.LFunction, key, val lua.LValue) int {
	v.meter.count(4, 0)
	v.check(L)
	L.Push(f)
	L.Push(key)
	L.Push(val)
	L.Call(2, 1)
	if L.Get(-1) != lua.LNil {
		return 1
	}
	L.Pop(1)
	return 0
}
