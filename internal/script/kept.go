package script

import (
	lua "github.com/yuin/gopher-lua"
)

// Functions that an interpreter keeps from one call to the next, so that their library
// need not be run before each: those that have nothing to hand on.

// librariesKeptMax is of how many libraries an interpreter keeps the functions.
const librariesKeptMax = 16

// functionsOf returns what a library registers: what the interpreter has kept, or what comes
// of running the library.
func functionsOf(v *vm, lib *Library, r *Run) ([]registered, error) {
	if kept := v.kept[lib]; kept != nil {
		prepare(v, r)
		return kept, nil
	}
	if err := v.load(lib, r); err != nil || v.meter.over != nil {
		return nil, err
	}
	if stateless(v, v.registered) {
		if v.kept == nil || len(v.kept) >= librariesKeptMax {
			v.kept = make(map[*Library][]registered)
		}
		v.kept[lib] = v.registered
	}
	return v.registered, nil
}

// stateless reports whether no call of functions can leave anything to a later one: no
// code of theirs assigns to a variable around it, and what they refer to can't change.
func stateless(v *vm, list []registered) bool {
	seen := make(map[*lua.LFunction]bool)
	for _, f := range list {
		if !unchanging(v, f.fn, seen) {
			return false
		}
	}
	return true
}

// unchanging reports whether a value is the same whatever is done with it. seen are the
// functions that have been looked at.
func unchanging(v *vm, x lua.LValue, seen map[*lua.LFunction]bool) bool {
	switch x := x.(type) {
	case lua.LString, lua.LNumber, lua.LBool, *lua.LNilType:
		return true
	case *lua.LTable:
		return v.frozen[x] != nil
	case *lua.LFunction:
		switch {
		case seen[x] || v.own[x]:
			return true
		case x.IsG || assignsAround(x.Proto): // an iterator knows how far it is
			return false
		}
		seen[x] = true
		for _, u := range x.Upvalues {
			if u != nil && !unchanging(v, u.Value(), seen) {
				return false
			}
		}
		return true
	}
	return false
}

// assignsAround reports whether code assigns to a variable of a function around it.
func assignsAround(p *lua.FunctionProto) bool {
	for _, inst := range p.Code {
		if inst>>26 == uint32(lua.OP_SETUPVAL) {
			return true
		}
	}
	for _, inner := range p.FunctionPrototypes {
		if assignsAround(inner) {
			return true
		}
	}
	return false
}
