package script

import lua "github.com/yuin/gopher-lua"

// coroutines is the interpreter's library. A thread has a context of its own there; here
// it is the meter too, so that what it does is counted.
func coroutineFunctions(v *vm) map[string]function {
	L := v.L
	L.Push(L.NewFunction(lua.OpenCoroutine))
	L.Call(0, 1)
	t := L.CheckTable(-1)
	L.Pop(1)
	create, wrap := t.RawGetString("create"), t.RawGetString("wrap")
	own := func(name string) function {
		f := t.RawGetString(name).(*lua.LFunction).GFunction
		return func(_ *vm, L *lua.LState) int { return f(L) }
	}
	return map[string]function{
		"resume": own("resume"), "running": own("running"), "status": own("status"), "yield": own("yield"),
		"create": func(v *vm, L *lua.LState) int {
			v.begun(L, create)
			L.Get(-1).(*lua.LState).SetContext(v.meter)
			return 1
		},
		"wrap": func(v *vm, L *lua.LState) int {
			v.begun(L, wrap)
			L.Get(-1).(*lua.LFunction).Upvalues[0].Value().(*lua.LState).SetContext(v.meter)
			return 1
		},
	}
}

// begun makes a thread of the function that is argument 1.
func (v *vm) begun(L *lua.LState, make lua.LValue) {
	f := L.CheckFunction(1)
	v.grow(L, threadBytes)
	L.Push(make)
	L.Push(f)
	L.Call(1, 1)
}
