package script

import (
	"fmt"
	"testing"

	"tutti/internal/resp"
)

// call loads a library, calls its function f so often, and returns the answers and
// whether the interpreter has kept its functions.
func callLibrary(t testing.TB, code string, times int) (answers []string, kept bool) {
	t.Helper()
	e := NewEngine()
	spend := func(int) error { return nil }
	lib, err := e.Load("#!lua name=lib\n"+code, spend)
	if err != nil {
		t.Fatalf("%s: %v", code, err)
	}
	for i := range times {
		var out resp.Writer
		r := &Run{Keys: [][]byte{fmt.Append(nil, "key", i)}, Args: [][]byte{fmt.Append(nil, i)}, Version: "7.2.4", Do: echo, Spend: spend}
		if err := e.Call(lib.Functions[0], r, &out); err != nil {
			out.Out = []byte(err.Error())
		}
		answers = append(answers, string(out.Out))
	}
	return answers, len(e.idle) > 0 && e.idle[0].kept[lib] != nil
}

// TestFunctionsHandNothingOn: what functions are answered is the same each time, and those
// that could hand something on are made anew each time.
func TestFunctionsHandNothingOn(t *testing.T) {
	for _, c := range []struct {
		code, want string
		kept       bool
	}{
		{"redis.register_function('f', function() return 7 end)", ":7\r\n", true},
		{"local n = 1 redis.register_function('f', function() return n end) n = 5", ":5\r\n", true},
		{"local function twice(n) return 2 * n end redis.register_function('f', function() return twice(4) end)", ":8\r\n", true},
		{"local function down(n) if n == 0 then return 3 end return down(n - 1) end redis.register_function('f', function() return down(9) end)", ":3\r\n", true},
		{"local n = 0 redis.register_function('f', function() n = n + 1 return n end)", ":1\r\n", false},
		{"local n = 0 local function up() n = n + 1 return n end redis.register_function('f', function() return up() end)", ":1\r\n", false},
		{"local n = 0 redis.register_function('f', function() local up = function() n = n + 1 end up() return n end)", ":1\r\n", false},
		{"local t = {} redis.register_function('f', function() t[#t + 1] = 1 return #t end)", ":1\r\n", false},
		{"local call = redis redis.register_function('f', function() return call.LOG_NOTICE end)", ":2\r\n", true},
	} {
		answers, kept := callLibrary(t, c.code, 3)
		for _, got := range answers {
			if got != c.want {
				t.Errorf("%s: answers %q, want %q each time", c.code, answers, c.want)
				break
			}
		}
		if kept != c.kept {
			t.Errorf("%s: kept: %v", c.code, kept)
		}
	}
}

// TestKeptFunctionsGetTheirOwn: a call that is spared its library has its keys, its
// arguments and its random numbers, and a later one those of its own.
func TestKeptFunctionsGetTheirOwn(t *testing.T) {
	answers, kept := callLibrary(t, "redis.register_function('f', function(keys, args) return {keys[1], args[1], redis.call('x', keys[1])[2], math.random(1000)} end)", 3)
	for i, got := range answers {
		key := fmt.Sprint("key", i)
		want := fmt.Sprintf("*4\r\n$4\r\n%s\r\n$1\r\n%d\r\n$4\r\n%s\r\n", key, i, key)
		if len(got) < len(want) || got[:len(want)] != want || got[len(want):] != answers[0][len(want):] {
			t.Errorf("call %d answers %q", i, got)
		}
	}
	if !kept {
		t.Error("not kept")
	}
}

// BenchmarkCall calls a function of a library of ten.
func BenchmarkCall(b *testing.B) {
	code := "#!lua name=lib\n"
	for i := range 10 {
		code += fmt.Sprintf("redis.register_function('f%d', function(keys, args) return redis.call('set', keys[1], args[1]) end)\n", i)
	}
	e, spend := NewEngine(), func(int) error { return nil }
	lib, err := e.Load(code, spend)
	if err != nil {
		b.Fatal(err)
	}
	r := &Run{Keys: [][]byte{[]byte("key")}, Args: [][]byte{[]byte("value")}, Version: "7.2.4",
		Do: func([][]byte, int) ([]byte, error) { return []byte("+OK\r\n"), nil }, Spend: spend}
	var out resp.Writer
	b.ReportAllocs()
	for b.Loop() {
		out.Out = out.Out[:0]
		if err := e.Call(lib.Functions[0], r, &out); err != nil {
			b.Fatal(err)
		}
	}
}
