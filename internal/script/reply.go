package script

import (
	"bytes"
	"math"
	"strconv"
	"strings"

	lua "github.com/yuin/gopher-lua"

	"tutti/internal/resp"
)

// Between replies of commands and values of Lua.

// value makes a value of the reply at the head of b, and returns what follows.
func (v *vm) value(b []byte) (lua.LValue, []byte) {
	line, rest, found := bytes.Cut(b, []byte("\r\n"))
	if !found || len(line) == 0 {
		return lua.LNil, nil
	}
	head := line[1:]
	switch line[0] {
	case '+':
		return v.single("ok", lua.LString(head)), rest
	case '-':
		return v.single("err", lua.LString(head)), rest
	case ':':
		n, _ := strconv.ParseInt(string(head), 10, 64)
		return lua.LNumber(n), rest
	case '_':
		return lua.LNil, rest
	case '#':
		return lua.LBool(string(head) == "t"), rest
	case ',':
		f, _ := strconv.ParseFloat(string(head), 64)
		return v.single("double", lua.LNumber(f)), rest
	case '(':
		return v.single("big_number", lua.LString(head)), rest
	}
	n, err := strconv.Atoi(string(head))
	if err != nil || n < 0 {
		return lua.LFalse, rest
	}
	switch line[0] {
	case '$', '=':
		if n+2 > len(rest) {
			return lua.LNil, nil
		}
		s := string(rest[:n])
		v.meter.count(1, n)
		if line[0] == '=' && n >= 4 {
			t := v.L.NewTable()
			t.RawSetString("format", lua.LString(s[:3]))
			t.RawSetString("string", lua.LString(s[4:]))
			return v.single("verbatim_string", t), rest[n+2:]
		}
		return lua.LString(s), rest[n+2:]
	case '*', '>':
		t := v.L.CreateTable(min(n, len(rest)), 0)
		for i := range n {
			var x lua.LValue
			x, rest = v.value(rest)
			t.RawSetInt(i+1, x)
			v.meter.count(1, entryBytes)
		}
		return t, rest
	case '~', '%':
		return v.pairsOf(n, line[0], rest)
	}
	return lua.LNil, nil
}

// pairsOf makes a value of the elements of a set, or the pairs of a map.
func (v *vm) pairsOf(n int, kind byte, rest []byte) (lua.LValue, []byte) {
	t := v.L.NewTable()
	for range n {
		key, after := v.value(rest)
		rest = after
		val := lua.LValue(lua.LTrue)
		if kind == '%' {
			val, rest = v.value(rest)
		}
		if key != lua.LNil {
			t.RawSet(key, val)
		}
		v.meter.count(1, entryBytes)
	}
	if kind == '%' {
		return v.single("map", t), rest
	}
	return v.single("set", t), rest
}

// single is a table of one field. A table of NewTable has room for 32 of them, and as
// many elements.
func (v *vm) single(name string, val lua.LValue) *lua.LTable {
	t := v.L.CreateTable(0, 1)
	t.RawSetString(name, val)
	return t
}

const (
	// answerDepthMax bounds how deep an answer's tables lie in each other.
	answerDepthMax = 1000
	textTooDeep    = "ERR reached lua stack limit"
)

// answerer makes a reply of values.
type answerer struct {
	v     *vm
	out   *resp.Writer
	depth int
	begin int // of the answer
}

// answer answers with the value on top of the stack.
func (v *vm) answer(out *resp.Writer) error {
	x := v.L.Get(-1)
	if t, ok := x.(*lua.LTable); ok {
		if text, is := t.RawGetString("err").(lua.LString); is {
			return &Error{Text: oneLine(string(text))}
		}
	}
	a := answerer{v: v, out: out, begin: len(out.Out)}
	a.any(x)
	return v.meter.over
}

func (a *answerer) any(x lua.LValue) {
	a.v.meter.count(2, 0)
	if len(a.out.Out)-a.begin > StringMax {
		a.v.meter.end(ErrMemory)
	}
	if a.v.meter.over != nil {
		return
	}
	switch x := x.(type) {
	case lua.LString:
		a.v.meter.count(1, len(x))
		a.out.BulkString(string(x))
	case lua.LNumber:
		a.out.Int(integer(float64(x)))
	case lua.LBool:
		switch {
		case a.v.proto == 3 && a.out.Proto == 3:
			a.out.Out = append(a.out.Out, '#', "ft"[boolIndex(bool(x))], '\r', '\n')
		case a.v.proto == 3:
			a.out.Bool(bool(x))
		case bool(x):
			a.out.Int(1)
		default:
			a.out.Null()
		}
	case *lua.LTable:
		if a.depth++; a.depth > answerDepthMax {
			a.out.Error(textTooDeep)
		} else {
			a.table(x)
		}
		a.depth--
	default:
		a.out.Null()
	}
}

func boolIndex(b bool) int {
	if b {
		return 1
	}
	return 0
}

// integer is a number without what follows the point.
func integer(f float64) int64 {
	switch {
	case math.IsNaN(f), f <= math.MinInt64:
		return math.MinInt64
	case f >= math.MaxInt64:
		return math.MinInt64 // as C has it on most machines
	}
	return int64(f)
}

func (a *answerer) table(t *lua.LTable) {
	if s, ok := t.RawGetString("err").(lua.LString); ok {
		a.out.Error(oneLine(string(s)))
		return
	}
	if s, ok := t.RawGetString("ok").(lua.LString); ok {
		a.out.Simple(oneLine(string(s)))
		return
	}
	if f, ok := t.RawGetString("double").(lua.LNumber); ok {
		a.out.Double(float64(f))
		return
	}
	if m, ok := t.RawGetString("map").(*lua.LTable); ok {
		a.out.Map(entries(m))
		each(m, func(key, val lua.LValue) { a.any(key); a.any(val) })
		return
	}
	if m, ok := t.RawGetString("set").(*lua.LTable); ok {
		a.out.Set(entries(m))
		each(m, func(key, _ lua.LValue) { a.any(key) })
		return
	}
	if s, ok := t.RawGetString("big_number").(lua.LString); ok {
		if a.out.Proto == 3 {
			a.out.Out = append(append(append(a.out.Out, '('), strings.Map(digitsOnly, string(s))...), "\r\n"...)
			return
		}
		a.out.BulkString(string(s))
		return
	}
	if m, ok := t.RawGetString("verbatim_string").(*lua.LTable); ok {
		s, is := m.RawGetString("string").(lua.LString)
		f, has := m.RawGetString("format").(lua.LString)
		if is && has {
			a.out.Out = resp.AppendVerbatim(a.out.Out, a.out.Proto, (string(f) + "   ")[:3], string(s))
			return
		}
	}
	n := 0
	for t.RawGetInt(n+1) != lua.LNil {
		n++
	}
	a.out.Array(n)
	for i := range n {
		a.any(t.RawGetInt(i + 1))
	}
}

// digitsOnly leaves out what would end the line of a number.
func digitsOnly(r rune) rune {
	if r == '\r' || r == '\n' {
		return ' '
	}
	return r
}

func entries(t *lua.LTable) (n int) {
	each(t, func(_, _ lua.LValue) { n++ })
	return n
}
