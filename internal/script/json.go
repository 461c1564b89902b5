package script

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"

	lua "github.com/yuin/gopher-lua"
)

// The library cjson.

const (
	jsonDepthMax    = 1000
	jsonSparseMin   = 10 // an array with more places is no array if less than half are taken
	jsonSparseRatio = 2
)

// jsonSettings are what a script has chosen for itself.
type jsonSettings struct {
	encodeDepth, decodeDepth int
	sparseConvert            bool
	sparseRatio, sparseSafe  int
	digits                   int
	invalidEncode            bool
}

func newJSONSettings() jsonSettings {
	return jsonSettings{encodeDepth: jsonDepthMax, decodeDepth: jsonDepthMax, sparseRatio: jsonSparseRatio, sparseSafe: jsonSparseMin, digits: 14}
}

func jsonLibrary(v *vm) *lua.LTable {
	t := v.library(map[string]function{
		"encode": jsonEncode, "decode": jsonDecode,
		"encode_max_depth":           jsonSetting(func(s *jsonSettings) *int { return &s.encodeDepth }, 1, math.MaxInt32),
		"decode_max_depth":           jsonSetting(func(s *jsonSettings) *int { return &s.decodeDepth }, 1, math.MaxInt32),
		"encode_number_precision":    jsonSetting(func(s *jsonSettings) *int { return &s.digits }, 1, 16),
		"encode_sparse_array":        jsonSparse,
		"encode_keep_buffer":         func(_ *vm, L *lua.LState) int { L.Push(lua.LTrue); return 1 },
		"encode_invalid_numbers":     jsonInvalid,
		"decode_invalid_numbers":     func(_ *vm, L *lua.LState) int { L.Push(lua.LTrue); return 1 },
		"decode_array_with_array_mt": func(_ *vm, L *lua.LState) int { L.Push(lua.LFalse); return 1 },
	})
	v.null = &lua.LUserData{Env: v.L.Env, Metatable: lua.LNil}
	t.RawSetString("null", v.null)
	t.RawSetString("_NAME", lua.LString("cjson"))
	t.RawSetString("_VERSION", lua.LString("2.1.0"))
	return t
}

func jsonSetting(of func(*jsonSettings) *int, low, high int) function {
	return func(v *vm, L *lua.LState) int {
		field := of(&v.json)
		if L.Get(1) != lua.LNil {
			n := whole(L, 1)
			if n < low || n > high {
				L.ArgError(1, fmt.Sprintf("expected integer between %d and %d", low, high))
			}
			*field = min(n, max(jsonDepthMax, 16))
		}
		L.Push(lua.LNumber(*field))
		return 1
	}
}

func jsonSparse(v *vm, L *lua.LState) int {
	s := &v.json
	if L.Get(1) != lua.LNil {
		s.sparseConvert = lua.LVAsBool(L.Get(1))
	}
	s.sparseRatio, s.sparseSafe = wholeOr(L, 2, s.sparseRatio), wholeOr(L, 3, s.sparseSafe)
	L.Push(lua.LBool(s.sparseConvert))
	L.Push(lua.LNumber(s.sparseRatio))
	L.Push(lua.LNumber(s.sparseSafe))
	return 3
}

func jsonInvalid(v *vm, L *lua.LState) int {
	if L.Get(1) != lua.LNil {
		v.json.invalidEncode = lua.LVAsBool(L.Get(1)) || L.Get(1) == lua.LString("on")
	}
	L.Push(lua.LBool(v.json.invalidEncode))
	return 1
}

// jsonWriter encodes.
type jsonWriter struct {
	v   *vm
	L   *lua.LState
	out []byte
}

func jsonEncode(v *vm, L *lua.LState) int {
	if L.GetTop() != 1 {
		L.ArgError(1, "expected 1 argument")
	}
	w := &jsonWriter{v: v, L: L}
	w.any(L.Get(1), 0)
	v.grow(L, len(w.out))
	L.Push(lua.LString(w.out))
	return 1
}

func (w *jsonWriter) any(x lua.LValue, depth int) {
	w.v.meter.count(4, 0)
	w.v.check(w.L)
	if len(w.out) > StringMax {
		w.v.grow(w.L, len(w.out))
	}
	switch x := x.(type) {
	case lua.LString:
		w.text(string(x))
	case lua.LNumber:
		w.number(float64(x))
	case lua.LBool:
		w.out = strconv.AppendBool(w.out, bool(x))
	case *lua.LNilType:
		w.out = append(w.out, "null"...)
	case *lua.LTable:
		if depth++; depth > w.v.json.encodeDepth {
			w.L.RaiseError("Cannot serialise, excessive nesting (%d)", depth)
		}
		w.table(w.v.behind(x), depth)
	default:
		if x == w.v.null {
			w.out = append(w.out, "null"...)
			return
		}
		w.L.RaiseError("Cannot serialise %s: type not supported", x.Type().String())
	}
}

func (w *jsonWriter) number(f float64) {
	if math.IsInf(f, 0) || math.IsNaN(f) {
		if !w.v.json.invalidEncode {
			w.L.RaiseError("Cannot serialise number: must not be NaN or Inf")
		}
		w.out = append(w.out, number(f)...)
		return
	}
	w.out = strconv.AppendFloat(w.out, f, 'g', w.v.json.digits, 64)
}

// arrayLen returns how long the array is that a table stands for, or -1 if it stands
// for an object.
func (w *jsonWriter) arrayLen(t *lua.LTable) int {
	most, n := 0, 0
	array := true
	each(t, func(key, _ lua.LValue) {
		f, ok := key.(lua.LNumber)
		i := int(f)
		if !ok || float64(i) != float64(f) || i < 1 {
			array = false
			return
		}
		most = max(most, i)
		n++
	})
	w.v.pay(w.L, 4*n)
	if !array {
		return -1
	}
	s := &w.v.json
	if s.sparseRatio > 0 && most > n*s.sparseRatio && most > s.sparseSafe {
		if !s.sparseConvert {
			w.L.RaiseError("Cannot serialise table: excessively sparse array")
		}
		return -1
	}
	return most
}

func (w *jsonWriter) table(t *lua.LTable, depth int) {
	n := w.arrayLen(t)
	if n > 0 {
		w.out = append(w.out, '[')
		for i := 1; i <= n; i++ {
			if i > 1 {
				w.out = append(w.out, ',')
			}
			w.any(t.RawGetInt(i), depth)
		}
		w.out = append(w.out, ']')
		return
	}
	w.out = append(w.out, '{')
	first := true
	each(t, func(key, val lua.LValue) {
		if !first {
			w.out = append(w.out, ',')
		}
		first = false
		switch k := key.(type) {
		case lua.LNumber:
			w.out = append(w.out, '"')
			w.number(float64(k))
			w.out = append(w.out, '"')
		case lua.LString:
			w.text(string(k))
		default:
			w.L.RaiseError("Cannot serialise %s: table key must be a number or string", key.Type().String())
		}
		w.out = append(w.out, ':')
		w.any(val, depth)
	})
	w.out = append(w.out, '}')
}

func (w *jsonWriter) text(s string) {
	const hex = "0123456789abcdef"
	if len(w.out)+len(s) > StringMax {
		w.v.grow(w.L, StringMax+1)
	}
	w.out = append(w.out, '"')
	from := 0
	for i := range len(s) {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' && c != '/' && c != 0x7f {
			continue
		}
		w.out = append(w.out, s[from:i]...)
		from = i + 1
		switch c {
		case '"', '\\', '/':
			w.out = append(w.out, '\\', c)
		case '\b':
			w.out = append(w.out, `\b`...)
		case '\f':
			w.out = append(w.out, `\f`...)
		case '\n':
			w.out = append(w.out, `\n`...)
		case '\r':
			w.out = append(w.out, `\r`...)
		case '\t':
			w.out = append(w.out, `\t`...)
		default:
			w.out = append(w.out, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
	}
	w.out = append(append(w.out, s[from:]...), '"')
	w.v.meter.count(len(s)/16, 0)
}

// jsonReader decodes.
type jsonReader struct {
	v  *vm
	L  *lua.LState
	s  []byte
	at int
}

var errJSONString = errors.New("unexpected end of string")

func jsonDecode(v *vm, L *lua.LState) int {
	if L.GetTop() != 1 {
		L.ArgError(1, "expected 1 argument")
	}
	s := str(L, 1)
	v.grow(L, len(s))
	r := &jsonReader{v: v, L: L, s: []byte(s)}
	r.blanks()
	x := r.any(0)
	r.blanks()
	if r.at < len(r.s) {
		r.expected("the end")
	}
	L.Push(x)
	return 1
}

func (r *jsonReader) blanks() {
	for r.at < len(r.s) && bytes.IndexByte([]byte(" \t\r\n"), r.s[r.at]) >= 0 {
		r.at++
	}
}

// expected raises the error for what stands at the place instead.
func (r *jsonReader) expected(what string) {
	token := "invalid token"
	switch {
	case r.at >= len(r.s):
		token = "T_END"
	case r.s[r.at] == '}':
		token = "T_OBJ_END"
	case r.s[r.at] == ']':
		token = "T_ARR_END"
	case r.s[r.at] == ',':
		token = "T_COMMA"
	case r.s[r.at] == ':':
		token = "T_COLON"
	case r.s[r.at] == '"':
		token = "T_STRING"
	case isDigit(r.s[r.at]) || r.s[r.at] == '-':
		token = "T_NUMBER"
		if what == "value" { // it would have been one
			token = "invalid number"
		}
	}
	r.L.RaiseError("Expected %s but found %s at character %d", what, token, r.at+1)
}

func (r *jsonReader) any(depth int) lua.LValue {
	r.v.meter.count(4, entryBytes)
	r.v.check(r.L)
	if r.at >= len(r.s) {
		r.expected("value")
	}
	switch c := r.s[r.at]; c {
	case '{', '[':
		if depth++; depth > r.v.json.decodeDepth {
			r.L.RaiseError("Found too many nested data structures (%d) at character %d", depth, r.at+1)
		}
		r.at++
		if c == '{' {
			return r.object(depth)
		}
		return r.array(depth)
	case '"':
		return lua.LString(r.text())
	case 't':
		return r.word("true", lua.LTrue)
	case 'f':
		return r.word("false", lua.LFalse)
	case 'n':
		if r.at+1 < len(r.s) && r.s[r.at+1] == 'u' {
			return r.word("null", r.v.null)
		}
	}
	return r.number()
}

func (r *jsonReader) word(word string, val lua.LValue) lua.LValue {
	if !bytes.HasPrefix(r.s[r.at:], []byte(word)) {
		r.expected("value")
	}
	r.at += len(word)
	return val
}

func (r *jsonReader) number() lua.LValue {
	end := r.at
	for end < len(r.s) && bytes.IndexByte([]byte("+-.0123456789eEaAbBcCdDfFxXiInNtTyY"), r.s[end]) >= 0 {
		end++
	}
	f, err := strconv.ParseFloat(string(r.s[r.at:end]), 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) || end == r.at {
		if n, err := strconv.ParseInt(string(r.s[r.at:end]), 0, 64); err == nil {
			f = float64(n)
		} else {
			r.expected("value")
		}
	}
	r.at = end
	return lua.LNumber(f)
}

func (r *jsonReader) object(depth int) lua.LValue {
	t := r.L.NewTable()
	if r.blanks(); r.at < len(r.s) && r.s[r.at] == '}' {
		r.at++
		return t
	}
	for {
		if r.blanks(); r.at >= len(r.s) || r.s[r.at] != '"' {
			r.expected("object key string")
		}
		key := r.text()
		if r.blanks(); r.at >= len(r.s) || r.s[r.at] != ':' {
			r.expected("colon")
		}
		r.at++
		r.blanks()
		t.RawSetString(key, r.any(depth))
		if r.blanks(); r.at >= len(r.s) || r.s[r.at] != ',' && r.s[r.at] != '}' {
			r.expected("comma or object end")
		}
		r.at++
		if r.s[r.at-1] == '}' {
			return t
		}
	}
}

func (r *jsonReader) array(depth int) lua.LValue {
	t := r.L.NewTable()
	if r.blanks(); r.at < len(r.s) && r.s[r.at] == ']' {
		r.at++
		return t
	}
	for i := 1; ; i++ {
		r.blanks()
		t.RawSetInt(i, r.any(depth))
		if r.blanks(); r.at >= len(r.s) || r.s[r.at] != ',' && r.s[r.at] != ']' {
			r.expected("comma or array end")
		}
		r.at++
		if r.s[r.at-1] == ']' {
			return t
		}
	}
}

// text reads a string at whose quotation mark the reader stands.
func (r *jsonReader) text() string {
	r.at++
	var out []byte
	for {
		end := bytes.IndexAny(r.s[r.at:], "\"\\")
		if i := bytes.IndexByte(r.s[r.at:], '"'); i >= 0 && bytes.IndexByte(r.s[r.at:r.at+i], '\\') < 0 {
			end = i
		}
		if end < 0 {
			r.L.RaiseError("Expected value but found %s at character %d", errJSONString, len(r.s))
		}
		out = append(out, r.s[r.at:r.at+end]...)
		r.at += end + 1
		if r.s[r.at-1] == '"' {
			return string(out)
		}
		out = r.escape(out)
	}
}

// escape reads what follows a backslash.
func (r *jsonReader) escape(out []byte) []byte {
	if r.at >= len(r.s) {
		r.L.RaiseError("Expected value but found %s at character %d", errJSONString, len(r.s))
	}
	c := r.s[r.at]
	r.at++
	switch c {
	case '"', '\\', '/':
		return append(out, c)
	case 'b':
		return append(out, '\b')
	case 'f':
		return append(out, '\f')
	case 'n':
		return append(out, '\n')
	case 'r':
		return append(out, '\r')
	case 't':
		return append(out, '\t')
	case 'u':
		return utf8.AppendRune(out, r.codePoint())
	}
	r.L.RaiseError("Expected value but found invalid escape code at character %d", r.at-1)
	return nil
}

// codePoint reads what follows "\u": a code point, or the first half of one and the second.
func (r *jsonReader) codePoint() rune {
	escape := r.at - 2
	n, ok := r.hex4()
	if ok && utf16.IsSurrogate(n) {
		second := rune(0)
		if bytes.HasPrefix(r.s[r.at:], []byte(`\u`)) {
			r.at += 2
			second, ok = r.hex4()
		}
		n = utf16.DecodeRune(n, second)
		ok = ok && n != utf8.RuneError
	}
	if !ok {
		r.L.RaiseError("Expected value but found invalid unicode escape code at character %d", escape+1)
	}
	return n
}

func (r *jsonReader) hex4() (n rune, ok bool) {
	if r.at+4 > len(r.s) {
		return 0, false
	}
	x, err := strconv.ParseUint(string(r.s[r.at:r.at+4]), 16, 32)
	r.at += 4
	return rune(x), err == nil
}
