package script

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	lua "github.com/yuin/gopher-lua"

	"tutti/internal/resp"
)

// A library of functions is run before each call of one of them, with nothing but
// redis.register_function to call: so its functions can't hand on anything from one call
// to the next, which would be another thing on every node. Only functions that could not
// anyway are kept instead.

// Function is a function of a library.
type Function struct {
	Name, Description string
	Flags             []string // as they were given
	NoWrites          bool
	AllowOOM          bool
	Library           *Library
}

// Library is functions that were loaded together.
type Library struct {
	Name, Code string
	Functions  []*Function
	proto      *lua.FunctionProto
}

// ErrNotFound says that there is no such function.
var ErrNotFound = errors.New("Function not found")

var libraryName = regexp.MustCompile(`^[A-Za-z0-9_]+$`)

const badLibraryName = "Library names can only contain letters, numbers, or underscores(_) and must be at least one character long"

// functionsMax bounds the functions of a library.
const functionsMax = 1000

// Load compiles a library, and finds out which functions it has. The error is in the
// words of Redis; spend is as in Run.
func (e *Engine) Load(code string, spend func(steps int) error) (*Library, error) {
	name, body, err := libraryHeader(code)
	if err != nil {
		return nil, err
	}
	proto, err := compile(body, "user_function")
	if err != nil {
		return nil, fmt.Errorf("Error compiling function: %w", err)
	}
	lib := &Library{Name: name, Code: code, proto: proto}
	v := e.take()
	v.meter.most = e.memory
	err = v.load(lib, &Run{Spend: spend, Version: versionUnknown})
	if err == nil {
		for _, f := range v.registered {
			f.Library = lib
			lib.Functions = append(lib.Functions, f.Function)
		}
	}
	if err = e.done(v, err); err != nil {
		if failed, ok := errors.AsType[*Error](err); ok {
			return nil, fmt.Errorf("Error registering functions: %s", cmp.Or(failed.reason, failed.Text))
		}
		return nil, err
	}
	if len(lib.Functions) == 0 {
		return nil, errors.New("No functions registered") //nolint:staticcheck // Redis's words
	}
	return lib, nil
}

// versionUnknown is what a library is told of the version while it is loaded.
const versionUnknown = "7.2.4"

// libraryHeader reads the first line of a library, "#!lua name=…".
func libraryHeader(code string) (name, body string, err error) {
	line, rest, found := strings.Cut(code, "\n")
	if !strings.HasPrefix(line, "#!") {
		return "", "", errors.New("Missing library metadata") //nolint:staticcheck // Redis's words
	}
	if !found {
		return "", "", errors.New("Invalid library metadata") //nolint:staticcheck // Redis's words
	}
	words, ok := words(line[2:])
	if !ok || len(words) == 0 {
		return "", "", errors.New("Invalid library metadata") //nolint:staticcheck // Redis's words
	}
	engine := words[0]
	if strings.HasPrefix(line, "#! ") { // there is no word right behind it
		engine, words = "", append([]string{""}, words...)
	}
	if !strings.EqualFold(engine, "lua") {
		return "", "", fmt.Errorf("Engine '%s' not found", engine)
	}
	for _, w := range words[1:] {
		key, value, _ := strings.Cut(w, "=")
		switch {
		case !strings.EqualFold(key, "name"):
			return "", "", fmt.Errorf("Invalid metadata value given: %s", w) //nolint:staticcheck // Redis's words
		case name != "":
			return "", "", errors.New("Invalid metadata value, name argument was given multiple times") //nolint:staticcheck // Redis's words
		}
		name = value
	}
	switch {
	case name == "" && len(words) == 1:
		return "", "", errors.New("Library name was not given")
	case !libraryName.MatchString(name):
		return "", "", errors.New(badLibraryName)
	}
	return name, "\n" + rest, nil
}

// words cuts a line into words. In quotes, which may stand anywhere in a word, a word has
// spaces. It reports false if a quote does not end, or more follows right behind it.
func words(line string) (list []string, ok bool) {
	for {
		line = strings.TrimLeft(line, " \t\r\v\f")
		if line == "" {
			return list, true
		}
		word := ""
		for line != "" && !strings.ContainsAny(line[:1], " \t\r\v\f") {
			quote := line[0]
			if quote != '"' && quote != '\'' {
				word, line = word+line[:1], line[1:]
				continue
			}
			text, rest, closed := strings.Cut(line[1:], string(quote))
			if !closed || rest != "" && !strings.ContainsAny(rest[:1], " \t\r\v\f") {
				return nil, false
			}
			word, line = word+text, rest
		}
		list = append(list, word)
	}
}

// registered is a function with what it runs.
type registered struct {
	*Function
	fn *lua.LFunction
}

// load runs a library, which registers its functions.
func (v *vm) load(lib *Library, r *Run) error {
	v.begin(r, lib.proto)
	v.L.G.Global.RawSetString("KEYS", lua.LNil)
	v.L.G.Global.RawSetString("ARGV", lua.LNil)
	v.loading, v.registered = true, nil
	v.shows(v.loadGlobals)
	err := v.call(lib.Name, 0)
	v.loading = false
	v.shows(v.globals)
	return err
}

// Call calls a function, as Run runs a script.
func (e *Engine) Call(f *Function, r *Run, out *resp.Writer) error {
	v := e.take()
	v.meter.most = e.memory
	functions, err := functionsOf(v, f.Library, r)
	if err == nil && v.meter.over == nil {
		i := slices.IndexFunc(functions, func(x registered) bool { return x.Name == f.Name })
		if i < 0 {
			return e.done(v, &Error{Text: "ERR " + ErrNotFound.Error()})
		}
		v.L.SetTop(0)
		v.L.Push(functions[i].fn)
		v.L.Push(v.list(r.Keys))
		v.L.Push(v.list(r.Args))
		if err = v.call(f.Name, 2); err == nil {
			err = v.answer(out)
		}
	}
	return e.done(v, err)
}

// registerFunction is redis.register_function.
func registerFunction(v *vm, L *lua.LState) int {
	if !v.loading {
		return fail(L, true, "ERR redis.register_function can only be called on FUNCTION LOAD command")
	}
	f, bad := registration(L)
	switch {
	case bad != "":
	case !libraryName.MatchString(f.Name):
		bad = "ERR " + badLibraryName
	case slices.ContainsFunc(v.registered, func(x registered) bool { return strings.EqualFold(x.Name, f.Name) }):
		bad = "ERR Function already exists in the library"
	case len(v.registered) >= functionsMax:
		bad = "ERR a library has at most 1000 functions"
	}
	if bad != "" {
		return fail(L, true, bad)
	}
	v.registered = append(v.registered, f)
	return 0
}

// registration reads the arguments of redis.register_function.
func registration(L *lua.LState) (f registered, bad string) {
	f.Function = &Function{}
	switch L.GetTop() {
	case 1:
		t, ok := L.Get(1).(*lua.LTable)
		if !ok {
			return f, "ERR calling redis.register_function with a single argument is only applicable to Lua table (representing named arguments)."
		}
		return namedRegistration(t)
	case 2:
	case 0:
		return f, "ERR wrong number of arguments to redis.register_function"
	default:
		return f, "ERR wrong number of arguments to redis.register_function"
	}
	if !isText(L.Get(1)) {
		return f, "ERR first argument to redis.register_function must be a string"
	}
	fn, ok := L.Get(2).(*lua.LFunction)
	if !ok {
		return f, "ERR second argument to redis.register_function must be a function"
	}
	f.Name, f.fn = text(L.Get(1)), fn
	return f, ""
}

// namedRegistration reads the fields of the one argument that is a table.
func namedRegistration(t *lua.LTable) (f registered, bad string) {
	f.Function = &Function{}
	each(t, func(key, val lua.LValue) {
		switch name, _ := key.(lua.LString); {
		case bad != "":
		case name == "function_name":
			if f.Name = text(val); !isText(val) {
				bad = "ERR function_name argument given to redis.register_function must be a string"
			}
		case name == "description":
			if f.Description = text(val); !isText(val) {
				bad = "ERR description argument given to redis.register_function must be a string"
			}
		case name == "callback":
			var ok bool
			if f.fn, ok = val.(*lua.LFunction); !ok {
				bad = "ERR callback argument given to redis.register_function must be a function"
			}
		case name == "flags":
			bad = f.flags(val)
		default:
			bad = "ERR unknown argument given to redis.register_function"
		}
	})
	switch {
	case bad != "":
	case f.Name == "":
		bad = "ERR redis.register_function must get a function name argument"
	case f.fn == nil:
		bad = "ERR redis.register_function must get a callback argument"
	}
	return f, bad
}

// flags reads the flags of a function, or returns the error.
func (f *Function) flags(x lua.LValue) (bad string) {
	t, ok := x.(*lua.LTable)
	if !ok {
		return "ERR flags argument to redis.register_function must be a table representing function flags"
	}
	h := &Header{}
	for i := 1; t.RawGetInt(i) != lua.LNil; i++ {
		s, ok := t.RawGetInt(i).(lua.LString)
		if !ok || !h.flag(string(s)) {
			return "ERR unknown flag given"
		}
		f.Flags = append(f.Flags, string(s))
	}
	f.NoWrites, f.AllowOOM = h.NoWrites, h.AllowOOM
	return ""
}
