package script

import (
	"math"
	"strconv"
	"strings"

	lua "github.com/yuin/gopher-lua"
)

// The library redis.

const (
	logDebug = iota
	logVerbose
	logNotice
	logWarning
)

const (
	replAOF = 1 << iota
	replSlave
	replNone = 0
	replAll  = replSlave | replAOF
)

func redisLibrary(v *vm) *lua.LTable {
	t := v.library(map[string]function{
		"call":          func(v *vm, L *lua.LState) int { return v.command(L, true) },
		"pcall":         func(v *vm, L *lua.LState) int { return v.command(L, false) },
		"log":           logText,
		"sha1hex":       sha1hex,
		"error_reply":   errorReply,
		"status_reply":  statusReply,
		"setresp":       setResp,
		"set_repl":      setRepl,
		"acl_check_cmd": mayCall,
		// Effects are replicated, whatever a script says.
		"replicate_commands": func(_ *vm, L *lua.LState) int { L.Push(lua.LTrue); return 1 },
		"breakpoint":         func(_ *vm, L *lua.LState) int { L.Push(lua.LFalse); return 1 },
		"debug":              func(*vm, *lua.LState) int { return 0 },
	})
	logLevels(t)
	for name, n := range map[string]int{
		"REPL_NONE": replNone, "REPL_SLAVE": replSlave, "REPL_REPLICA": replSlave, "REPL_AOF": replAOF, "REPL_ALL": replAll,
	} {
		t.RawSetString(name, lua.LNumber(n))
	}
	// They are the version's that the first run tells, and every run tells the same.
	meta := v.L.NewTable()
	meta.RawSetString("__index", v.function(func(v *vm, L *lua.LState) int {
		L.Push(v.version(L.Get(2)))
		return 1
	}))
	t.Metatable = meta
	return t
}

// registrar is the library redis of a library of functions while that is loaded: there
// is nothing in it to call but what registers them.
func registrar(v *vm) *lua.LTable {
	t := v.library(map[string]function{"register_function": registerFunction, "log": logText})
	logLevels(t)
	meta := v.L.NewTable()
	meta.RawSetString("__index", v.function(func(v *vm, L *lua.LState) int {
		x := v.version(L.Get(2))
		if x == lua.LNil {
			return refuseGlobal(L)
		}
		L.Push(x)
		return 1
	}))
	t.Metatable = meta
	return t
}

func logLevels(t *lua.LTable) {
	for name, n := range map[string]int{"LOG_DEBUG": logDebug, "LOG_VERBOSE": logVerbose, "LOG_NOTICE": logNotice, "LOG_WARNING": logWarning} {
		t.RawSetString(name, lua.LNumber(n))
	}
}

// version is the value of a field that tells the version, or nil.
func (v *vm) version(field lua.LValue) lua.LValue {
	switch field {
	case lua.LString("REDIS_VERSION"):
		return lua.LString(v.run.Version)
	case lua.LString("REDIS_VERSION_NUM"):
		n := 0
		for i, part := range strings.SplitN(v.run.Version, ".", 3) {
			x, _ := strconv.Atoi(part)
			n |= x << (16 - 8*i)
		}
		return lua.LNumber(n)
	}
	return lua.LNil
}

// failure is an error as commands have it.
func failure(L *lua.LState, text string) *lua.LTable {
	t := L.CreateTable(0, 1)
	t.RawSetString("err", lua.LString(text))
	return t
}

// fail raises an error as commands have it, or returns it.
func fail(L *lua.LState, raise bool, text string) int {
	t := failure(L, text)
	if raise {
		L.Error(t, 0)
	}
	L.Push(t)
	return 1
}

// command is redis.call and redis.pcall.
func (v *vm) command(L *lua.LState, raise bool) int {
	args, bad := v.commandArgs(L)
	if bad != "" {
		return fail(L, raise, bad)
	}
	reply, err := v.run.Do(args, v.proto)
	if err != nil {
		v.meter.end(err)
	}
	v.check(L)
	x, _ := v.value(reply)
	v.check(L)
	if raise && len(reply) > 0 && reply[0] == '-' {
		L.Error(x, 0)
	}
	L.Push(x)
	return 1
}

// commandArgs returns the arguments as those of a command, or the error.
func (v *vm) commandArgs(L *lua.LState) (args [][]byte, bad string) {
	n := L.GetTop()
	if n == 0 {
		return nil, "ERR Please specify at least one argument for this redis lib call"
	}
	size := 0
	for i := range n {
		switch x := L.Get(i + 1).(type) {
		case lua.LString:
			v.meter.count(1, len(x))
			size += len(x)
		case lua.LNumber:
			size += numberRoom
		default:
			return nil, "ERR Lua redis lib command arguments must be strings or integers"
		}
	}
	args, all := make([][]byte, n), make([]byte, 0, size)
	for i := range n {
		at := len(all)
		switch x := L.Get(i + 1).(type) {
		case lua.LString:
			all = append(all, x...)
		case lua.LNumber:
			all = appendNumber(all, float64(x))
		}
		args[i] = all[at:len(all):len(all)]
	}
	return args, ""
}

// numberRoom is what most numbers have room in.
const numberRoom = 20

// appendNumber spells a number for a command, so that it is read as the same.
func appendNumber(b []byte, f float64) []byte {
	switch {
	case math.IsInf(f, 0) || math.IsNaN(f):
		return append(b, number(f)...)
	case f == math.Trunc(f) && math.Abs(f) < 1e17:
		return strconv.AppendInt(b, int64(f), 10)
	}
	return strconv.AppendFloat(b, f, 'g', -1, 64)
}

// mayCall is redis.acl_check_cmd.
func mayCall(v *vm, L *lua.LState) int {
	args, bad := v.commandArgs(L)
	if bad != "" {
		return fail(L, true, bad)
	}
	may, ok := v.run.Permitted(args)
	if !ok {
		return fail(L, true, "ERR Invalid command passed to redis.acl_check_cmd()")
	}
	L.Push(lua.LBool(may))
	return 1
}

func logText(v *vm, L *lua.LState) int {
	if L.GetTop() < 2 {
		return fail(L, true, "ERR redis.log() requires two arguments or more.")
	}
	level, ok := L.Get(1).(lua.LNumber)
	if !ok {
		return fail(L, true, "ERR First argument must be a number (log level).")
	}
	if level < logDebug || level > logWarning {
		return fail(L, true, "ERR Invalid debug level.")
	}
	var parts []string
	for i := 2; i <= L.GetTop(); i++ {
		if isText(L.Get(i)) {
			parts = append(parts, text(L.Get(i)))
		}
	}
	if v.run.Log != nil {
		v.run.Log(int(level), strings.Join(parts, " "))
	}
	return 0
}

func sha1hex(v *vm, L *lua.LState) int {
	if L.GetTop() != 1 {
		return fail(L, true, "ERR wrong number of arguments")
	}
	s := str(L, 1)
	v.pay(L, len(s))
	L.Push(lua.LString(SHA1([]byte(s))))
	return 1
}

// errorReply returns an error: "-CODE text", or a text that is taken for one with a
// code as well. One word is a text without a code.
func errorReply(_ *vm, L *lua.LState) int {
	s, ok := onlyString(L)
	if !ok {
		return 1
	}
	s = strings.TrimRight(strings.TrimPrefix(s, "-"), "\r\n")
	if !strings.Contains(s, " ") {
		s = "ERR " + s
	}
	L.Push(failure(L, s))
	return 1
}

func statusReply(_ *vm, L *lua.LState) int {
	s, ok := onlyString(L)
	if ok {
		t := L.CreateTable(0, 1)
		t.RawSetString("ok", lua.LString(s))
		L.Push(t)
	}
	return 1
}

// onlyString returns the one argument, or pushes the error.
func onlyString(L *lua.LState) (string, bool) {
	s, ok := L.Get(1).(lua.LString)
	if !ok || L.GetTop() != 1 {
		L.Push(failure(L, "ERR wrong number or type of arguments"))
		return "", false
	}
	return string(s), true
}

func setResp(v *vm, L *lua.LState) int {
	if L.GetTop() != 1 {
		return fail(L, true, "ERR redis.setresp() requires one argument.")
	}
	n := L.ToNumber(1)
	if n != 2 && n != 3 {
		return fail(L, true, "ERR RESP version must be 2 or 3.")
	}
	v.proto = int(n)
	return 0
}

func setRepl(_ *vm, L *lua.LState) int {
	if L.GetTop() != 1 {
		return fail(L, true, "ERR redis.set_repl() requires two arguments.")
	}
	if n := whole(L, 1); n&^replAll != 0 {
		return fail(L, true, "ERR Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE.")
	}
	return 0
}
