package script

import (
	"container/list"
	"crypto/sha1" //nolint:gosec // scripts are known by it, as in Redis
	"encoding/hex"
	"errors"
	"sync"

	lua "github.com/yuin/gopher-lua"
)

const (
	// programsMax bounds how many scripts an engine keeps compiled, and programBytesMax
	// the bytes of their texts.
	programsMax     = 1024
	programBytesMax = 16 << 20
	// idleMax is how many interpreters wait for the next run.
	idleMax = 16
)

// Program is a compiled script. It is immutable.
type Program struct {
	SHA    string // of its text, in hex
	Source string
	Header Header
	proto  *lua.FunctionProto
}

// SHA1 is what a script is known by.
func SHA1(source []byte) string {
	sum := sha1.Sum(source) //nolint:gosec // see above
	return hex.EncodeToString(sum[:])
}

// Engine keeps compiled scripts, and runs them. It is safe for concurrent use.
type Engine struct {
	mu        sync.Mutex // guards what follows
	programs  map[string]*list.Element
	texts     map[string]*list.Element // the same by text
	recent    *list.List               // of *Program, the one used last first
	kept      map[string]bool          // of the programs, those that every shard was told to keep
	bytes     int
	idle      []*vm
	running   map[*vm]struct{}
	functions Functions // of the state asked for last
	memory    int       // that a run may have
}

// NewEngine returns an engine that knows no scripts.
func NewEngine() *Engine {
	return &Engine{programs: make(map[string]*list.Element), texts: make(map[string]*list.Element), running: make(map[*vm]struct{}), kept: make(map[string]bool), recent: list.New(), memory: MemoryMax}
}

// Find returns the program of a hash in lower case, or nil.
func (e *Engine) Find(sha string) *Program {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.used(e.programs[sha])
}

// FindText returns the program of a text, or nil. It spares the hash of the text, which
// takes as long as a command.
func (e *Engine) FindText(source []byte) *Program {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.used(e.texts[string(source)])
}

func (e *Engine) used(x *list.Element) *Program {
	if x == nil {
		return nil
	}
	e.recent.MoveToFront(x)
	return x.Value.(*Program)
}

// Unkept returns the program of a hash in lower case if it is known, and SetKept has not
// noted that every shard keeps it; else nil.
func (e *Engine) Unkept(sha string) *Program {
	e.mu.Lock()
	defer e.mu.Unlock()
	if x := e.programs[sha]; x != nil && !e.kept[sha] {
		return x.Value.(*Program)
	}
	return nil
}

// SetKept notes whether every shard has been told to keep a program, as far as known.
func (e *Engine) SetKept(sha string, kept bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if kept && e.programs[sha] != nil {
		e.kept[sha] = true
	} else {
		delete(e.kept, sha)
	}
}

// CompileSteps is about what Compile takes for a text that is not known, in steps.
func CompileSteps(source []byte) int { return len(source)/16 + 20 }

// Compile returns the program of a text, and keeps it for Find. The error is what
// follows "Error compiling script", in the words of Redis.
func (e *Engine) Compile(source []byte) (*Program, error) {
	if p := e.FindText(source); p != nil {
		return p, nil
	}
	header, body, err := cutHeader(string(source))
	if err != nil {
		return nil, err
	}
	proto, err := compile(body, "user_script")
	if err != nil {
		return nil, &CompileError{err}
	}
	p := &Program{SHA: SHA1(source), Source: string(source), Header: header, proto: proto}
	e.keep(p)
	return p, nil
}

// CompileError says that a text is no Lua.
type CompileError struct{ Err error }

func (e *CompileError) Error() string {
	return "Error compiling script (new function): " + e.Err.Error()
}

// Unwrap returns what the compiler said.
func (e *CompileError) Unwrap() error { return e.Err }

// keep keeps a program, and forgets those that were not used for longest.
func (e *Engine) keep(p *Program) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.programs[p.SHA] != nil {
		return
	}
	x := e.recent.PushFront(p)
	e.programs[p.SHA], e.texts[p.Source] = x, x
	e.bytes += len(p.Source)
	for len(e.programs) > programsMax || e.bytes > programBytesMax && len(e.programs) > 1 {
		last := e.recent.Remove(e.recent.Back()).(*Program)
		delete(e.programs, last.SHA)
		delete(e.texts, last.Source)
		delete(e.kept, last.SHA)
		e.bytes -= len(last.Source)
	}
}

// Functions is the libraries there are in some state of them.
type Functions struct {
	ID        uint64 // of the state; 0: there are none
	Libraries []*Library
	ByName    map[string]*Function
}

// Functions returns those of a state, if the engine has them.
func (e *Engine) Functions(id uint64) (f Functions, ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.functions, e.functions.ID == id && id != 0
}

// SetFunctions keeps the functions of a state.
func (e *Engine) SetFunctions(f Functions) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.functions = f
}

// Known returns how many programs are kept, the bytes of their texts, and the functions
// that were kept last.
func (e *Engine) Known() (programs, bytes int, functions Functions) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.programs), e.bytes, e.functions
}

// Forget forgets all programs.
func (e *Engine) Forget() {
	e.mu.Lock()
	defer e.mu.Unlock()
	clear(e.programs)
	clear(e.texts)
	clear(e.kept)
	e.recent.Init()
	e.bytes = 0
}

// take returns an interpreter that nobody uses.
func (e *Engine) take() *vm {
	e.mu.Lock()
	defer e.mu.Unlock()
	v := (*vm)(nil)
	if n := len(e.idle); n > 0 {
		v = e.idle[n-1]
		e.idle = e.idle[:n-1]
	} else {
		v = newVM()
	}
	v.meter.killed.Store(false)
	e.running[v] = struct{}{}
	return v
}

// ErrKilled ends a script that somebody did not want to wait for.
var ErrKilled = errors.New("it was killed by SCRIPT KILL")

// Kill ends the scripts that have taken more than so many steps, and returns how many.
func (e *Engine) Kill(steps int64) (n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for v := range e.running {
		if v.meter.told.Load() > steps {
			v.meter.killed.Store(true)
			n++
		}
	}
	return n
}

// give takes an interpreter back, whole or spent.
func (e *Engine) give(v *vm, again bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.running, v)
	if again && len(e.idle) < idleMax {
		e.idle = append(e.idle, v)
	}
}
