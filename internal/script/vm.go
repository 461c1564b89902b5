package script

import (
	lua "github.com/yuin/gopher-lua"
)

const (
	callsMax        = 1000 // how deep functions call each other
	registersBegin  = 1 << 10
	registersMax    = 64 << 10
	registersGrowBy = 1 << 10
)

// globalsRemoved are functions of the interpreter's base library that scripts do not
// have: they read files, print, or change what outlives a run.
var globalsRemoved = []string{"dofile", "loadfile", "print", "_printregs", "getfenv", "setfenv", "module", "require", "newproxy", "_GOPHER_LUA_VERSION", "_G"}

// newVM returns an interpreter with frozen libraries.
func newVM() *vm {
	L := lua.NewState(lua.Options{SkipOpenLibs: true, CallStackSize: callsMax, RegistrySize: registersBegin, RegistryMaxSize: registersMax, RegistryGrowStep: registersGrowBy})
	v := &vm{L: L, meter: newMeter(), frozen: make(map[*lua.LTable]*lua.LTable), own: make(map[*lua.LFunction]bool)}
	v.meter.alive = v.live
	v.caught = L.NewFunction(v.catch)
	v.same = v.function(sameInWords)
	L.Push(L.NewFunction(lua.OpenBase))
	L.Call(0, 0)
	globals := L.G.Global
	for _, name := range globalsRemoved {
		globals.RawSetString(name, lua.LNil)
	}
	v.register(globals, baseFunctions())
	globals.RawSetString(nameConcat, v.function(concatAll))
	globals.RawSetString(nameTable, v.function(countedTable))
	globals.RawSetString(nameBound, v.function(loopBound))
	refuse := L.NewFunction(refuseWrite)
	str := v.library(stringFunctions())
	stringMeta := L.NewTable()
	stringMeta.RawSetString("__index", str)
	L.SetMetatable(lua.LString(""), stringMeta)
	for name, lib := range map[string]*lua.LTable{
		"string": str, "table": v.library(tableFunctions()), "math": mathLibrary(v), "os": v.library(osFunctions()),
		"redis": redisLibrary(v), "bit": v.library(bitFunctions()), "cjson": jsonLibrary(v), "cmsgpack": packLibrary(v), "struct": v.library(structFunctions()),
		"coroutine": v.library(coroutineFunctions(v)),
	} {
		globals.RawSetString(name, v.freeze(lib, refuse))
	}
	v.blank = v.freeze(L.NewTable(), refuse)
	missing := L.NewTable()
	missing.RawSetString("__index", L.NewFunction(refuseGlobal))
	globals.Metatable = missing
	v.env = v.freeze(globals, refuse)
	globals.RawSetString("_G", v.env)
	loading := L.NewTable()
	for _, name := range []string{nameConcat, nameTable, nameBound} {
		loading.RawSetString(name, globals.RawGetString(name))
	}
	loading.RawSetString("redis", v.freeze(registrar(v), refuse))
	loading.RawSetString("_G", v.env)
	loading.Metatable = missing
	v.frozen[missing], v.frozen[loading] = missing, loading
	v.globals, v.loadGlobals = globals, loading
	L.SetContext(v.meter)
	for frozen := range v.frozen {
		each(frozen, func(_, val lua.LValue) {
			if f, is := val.(*lua.LFunction); is {
				v.own[f] = true
			}
		})
	}
	return v
}

// function is a function of a library.
type function = func(v *vm, L *lua.LState) int

// function makes a function a value.
func (v *vm) function(f function) *lua.LFunction {
	return v.L.NewFunction(func(L *lua.LState) int { return f(v, L) })
}

// register adds functions to a table.
func (v *vm) register(t *lua.LTable, functions map[string]function) {
	for name, f := range functions {
		t.RawSetString(name, v.function(f))
	}
}

func (v *vm) library(functions map[string]function) *lua.LTable {
	t := v.L.NewTable()
	v.register(t, functions)
	return t
}

// freeze returns an empty table that reads as t does and can't be written to. The
// interpreter writes to what is in a table already without asking anybody.
func (v *vm) freeze(t *lua.LTable, refuse *lua.LFunction) *lua.LTable {
	meta, face := v.L.NewTable(), v.L.NewTable()
	meta.RawSetString("__index", t)
	meta.RawSetString("__newindex", refuse)
	face.Metatable = meta
	v.frozen[face], v.frozen[meta], v.frozen[t] = t, meta, t
	return face
}

// shows has the globals be those of a run, or those of a library that is loaded. They
// are one table for both: a function that a library registers is the run's later.
func (v *vm) shows(globals *lua.LTable) {
	v.env.Metatable.(*lua.LTable).RawSetString("__index", globals)
	v.frozen[v.env] = globals
}

// behind returns the table whose entries a script sees in t.
func (v *vm) behind(t *lua.LTable) *lua.LTable {
	if real := v.frozen[t]; real != nil {
		return real
	}
	return t
}

// writable returns argument n, a table that the script may change.
func (v *vm) writable(L *lua.LState, n int) *lua.LTable {
	t := L.CheckTable(n)
	if v.frozen[t] != nil {
		L.Error(lua.LString(textReadonly), 0)
	}
	return t
}

const textReadonly = "Attempt to modify a readonly table"

func refuseWrite(L *lua.LState) int {
	L.RaiseError(textReadonly)
	return 0
}

func refuseGlobal(L *lua.LState) int {
	L.RaiseError("Script attempted to access nonexistent global variable '%s'", text(L.Get(2)))
	return 0
}

// counted puts all that a call returned into a table, and counts it.
func countedTable(v *vm, L *lua.LState) int {
	t, first := L.CheckTable(1), whole(L, 2)
	v.grow(L, (L.GetTop()-2)*entryBytes)
	for i := 3; i <= L.GetTop(); i++ {
		if x := L.Get(i); x != lua.LNil {
			t.RawSetInt(first+i-3, x)
		}
	}
	L.SetTop(1)
	return 1
}

// clock is the library os: how long the script has worked, by what it has done.
func osFunctions() map[string]function {
	return map[string]function{"clock": func(v *vm, L *lua.LState) int {
		L.Push(lua.LNumber(float64(v.meter.told.Load()) * 250e-9))
		return 1
	}}
}
