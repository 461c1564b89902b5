package script

import (
	"reflect"

	lua "github.com/yuin/gopher-lua"
)

// What a script can reach, for when the estimate of its memory has become too large.

// About what values take, in bytes.
const (
	tableBytes    = 96
	entryBytes    = 48
	functionBytes = 96
	threadBytes   = callsMax*120 + registersBegin*valueBytes
	valueBytes    = 16
)

// walk counts the memory of all that it comes to.
type walk struct {
	seen  map[any]struct{}
	todo  []lua.LValue
	bytes int
	met   int // values, also those that it has come to before
}

// live counts what is reachable from the frames of a thread and from its globals: about
// how many bytes, and how many values it has looked at for that.
func (v *vm) live() (bytes, values int) {
	w := &walk{seen: make(map[any]struct{})}
	for frozen := range v.frozen { // what every run has is nobody's
		w.seen[frozen] = struct{}{}
	}
	w.add(v.L) // and the threads that it has values of
	w.add(v.env)
	for len(w.todo) > 0 && w.bytes <= v.meter.most {
		last := len(w.todo) - 1
		x := w.todo[last]
		w.todo = w.todo[:last]
		w.look(x)
	}
	return w.bytes, w.met
}

// add takes in a value. Strings count wherever they are: two may share their bytes,
// which only makes the count too large.
func (w *walk) add(x lua.LValue) {
	w.met++
	switch x := x.(type) {
	case lua.LString:
		w.bytes += len(x)
	case *lua.LTable, *lua.LFunction, *lua.LState:
		if _, is := w.seen[x]; !is {
			w.seen[x] = struct{}{}
			w.todo = append(w.todo, x)
		}
	}
}

func (w *walk) look(x lua.LValue) {
	switch x := x.(type) {
	case *lua.LTable:
		w.bytes += sizeOf(x)
		w.add(x.Metatable)
		each(x, func(key, val lua.LValue) {
			w.add(key)
			w.add(val)
		})
	case *lua.LFunction:
		w.bytes += functionBytes
		for _, u := range x.Upvalues {
			if u != nil {
				w.add(u.Value())
			}
		}
	case *lua.LState:
		w.bytes += threadBytes
		w.frames(x)
	}
}

// frames looks at the locals of a thread, and at what it was computing.
func (w *walk) frames(L *lua.LState) {
	for level := 0; ; level++ {
		frame, ok := L.GetStack(level)
		if !ok {
			return
		}
		if fn, err := L.GetInfo("f", frame, lua.LNil); err == nil {
			w.add(fn)
		}
		for i := 1; ; i++ {
			name, val := L.GetLocal(frame, i)
			if name == "" {
				break
			}
			w.bytes += valueBytes
			w.add(val)
		}
	}
}

// sizeOf is about what a table takes. It shows its entries only, not the places in its
// array that are empty, and those may be most.
func sizeOf(t *lua.LTable) (bytes int) {
	of := reflect.ValueOf(t).Elem()
	for i := range of.NumField() {
		switch f := of.Field(i); f.Kind() {
		case reflect.Slice:
			bytes += f.Cap() * valueBytes
		case reflect.Map:
			bytes += f.Len() * entryBytes
		default:
		}
	}
	return tableBytes + bytes
}
