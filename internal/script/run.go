package script

import (
	"errors"
	"strings"

	lua "github.com/yuin/gopher-lua"

	"tutti/internal/resp"
)

// Run is one execution of a script, and what it reaches. The functions are called on
// the goroutine that runs it.
type Run struct {
	Keys, Args [][]byte
	// Do executes a command, and returns its reply in the version of the protocol. An
	// error ends the script: nothing of it counts.
	Do func(args [][]byte, proto int) (reply []byte, err error)
	// Spend counts steps of work. An error ends the script: nothing of it counts.
	Spend func(steps int) error
	// Permitted reports whether a command may be executed, ok whether there is one.
	Permitted func(args [][]byte) (may, ok bool)
	// Log takes what the script wants logged. Nil: it is dropped.
	Log func(level int, text string)
	// Seed is where math.random begins.
	Seed int32
	// Version is the version of Redis that scripts are told.
	Version string
}

// Error is how a script failed. What it has written stays, as in Redis.
type Error struct {
	Text   string // with the place where it failed, if that is known
	reason string // without
}

func (e *Error) Error() string { return e.Text }

// Run runs a program and answers with what it returns. The error is an *Error, which
// the client is to be answered with, or why the script was ended: nothing of it counts
// then.
func (e *Engine) Run(p *Program, r *Run, out *resp.Writer) error {
	v := e.take()
	v.meter.most = e.memory
	v.begin(r, p.proto)
	err := v.call(p.SHA, 0)
	if err == nil {
		err = v.answer(out)
	}
	return e.done(v, err)
}

// done gives an interpreter back after a run that ended with an error, or none.
func (e *Engine) done(v *vm, err error) error {
	if v.meter.over != nil {
		e.give(v, false) // it may hold much
		return v.meter.over
	}
	e.give(v, v.finish())
	return err
}

// vmBytesMax is how much a run may have taken for its interpreter to be used again:
// what its registers still refer to is held until they are overwritten.
const vmBytesMax = 4 << 20

// vm is an interpreter.
type vm struct {
	L     *lua.LState
	meter *meter
	run   *Run
	proto int         // version of the protocol that the script has chosen
	env   *lua.LTable // the globals, frozen
	// What env shows: to a run, and to a library that is loaded.
	globals, loadGlobals *lua.LTable
	rand                 random
	json                 jsonSettings
	null                 *lua.LUserData              // cjson.null
	frozen               map[*lua.LTable]*lua.LTable // what a script may not change -> what it stands for
	loading              bool                        // a library registers its functions
	registered           []registered
	blank                *lua.LTable               // stands for the metatables of what is frozen
	caught               *lua.LFunction            // see catch
	same                 *lua.LFunction            // hands an error on, in the words of Lua
	own                  map[*lua.LFunction]bool   // those of frozen tables
	kept                 map[*Library][]registered // see functionsOf
}

// prepare makes the interpreter ready for a run.
func prepare(v *vm, r *Run) {
	v.run, v.proto = r, 2
	v.rand, v.json = random{}, newJSONSettings()
	v.rand.seed(r.Seed)
	v.meter.begin(r.Spend)
}

// begin makes the interpreter ready for a run of a program.
func (v *vm) begin(r *Run, proto *lua.FunctionProto) {
	prepare(v, r)
	v.L.G.Global.RawSetString("KEYS", v.list(r.Keys))
	v.L.G.Global.RawSetString("ARGV", v.list(r.Args))
	fn := v.L.NewFunctionFromProto(proto)
	fn.Env = v.env
	v.L.Push(fn)
}

func (v *vm) list(args [][]byte) *lua.LTable {
	t := v.L.CreateTable(len(args), 0)
	for _, a := range args {
		t.Append(lua.LString(a))
		v.meter.count(1, len(a)+entryBytes)
	}
	return t
}

// call runs what was pushed, with so many arguments, and leaves its value on the stack.
// name is what the script is called in errors.
func (v *vm) call(name string, args int) error {
	err := v.L.PCall(args, 1, v.caught)
	if err == nil || v.meter.over != nil {
		return nil
	}
	a, ok := errors.AsType[*lua.ApiError](err)
	if !ok {
		return &Error{Text: "ERR " + err.Error()}
	}
	t, ok := a.Object.(*lua.LTable)
	if !ok { // there was no room to catch it
		text := inWordsOfLua(text(a.Object), noName)
		t = v.L.NewTable()
		t.RawSetString("err", lua.LString("ERR "+text))
		if _, rest, found := strings.Cut(text, "user_script:"); found {
			line, _, _ := strings.Cut(rest, ":")
			t.RawSetString("source", lua.LString("@user_script"))
			t.RawSetString("line", lua.LString(line))
		}
	}
	text := field(t, "err")
	if text == "" {
		text = "ERR unknown error"
	}
	reason := text
	if line, source := field(t, "line"), field(t, "source"); line != "" && source != "" {
		text += " script: " + name + ", on " + source + ":" + line + "."
	}
	return &Error{Text: oneLine(text), reason: oneLine(reason)}
}

// field returns a field of an error, "" if it has none.
func field(t *lua.LTable, name string) string {
	switch x := t.RawGetString(name).(type) {
	case lua.LString:
		return string(x)
	case lua.LNumber:
		return number(float64(x))
	}
	return ""
}

// oneLine makes a text fit an error.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\r' || r == '\n' {
			return ' '
		}
		return r
	}, s)
}

// catch is told of what a script failed with, where it failed: it notes the place.
func (v *vm) catch(L *lua.LState) int {
	t, ok := L.Get(1).(*lua.LTable)
	if !ok {
		t = L.NewTable()
		t.RawSetString("err", lua.LString("ERR "+inWordsOfLua(text(L.Get(1)), failed(v, L))))
	}
	for level := 1; ; level++ {
		frame, ok := L.GetStack(level)
		if !ok {
			break
		}
		if _, err := L.GetInfo("Sl", frame, lua.LNil); err == nil && frame.CurrentLine > 0 {
			t.RawSetString("source", lua.LString("@"+frame.Source))
			t.RawSetString("line", lua.LNumber(frame.CurrentLine))
			break
		}
	}
	L.Push(t)
	return 1
}

// finish lets go of a run, and reports whether the interpreter may be used again.
func (v *vm) finish() bool {
	v.L.SetTop(0)
	v.run, v.registered = nil, nil
	v.L.G.Global.RawSetString("KEYS", lua.LNil)
	v.L.G.Global.RawSetString("ARGV", lua.LNil)
	return v.meter.bytes < vmBytesMax
}
