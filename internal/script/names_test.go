package script

import (
	"strings"
	"testing"
)

// The errors are those of redis-server 7.0.15, but that the name of what is computed here
// and there is not known.
func TestErrorsNameTheVariable(t *testing.T) {
	x := newTester()
	for _, c := range []struct{ source, want string }{
		{"return redis.register_function('f')", "user_script:1: attempt to call field 'register_function' (a nil value)"},
		{"local a\na()", "user_script:2: attempt to call local 'a' (a nil value)"},
		{"local a local function f() return a() end f()", "attempt to call upvalue 'a' (a nil value)"},
		{"local a = {} a.b.c()", "attempt to index field 'b' (a nil value)"},
		{"local a = {} a:b()", "attempt to call method 'b' (a nil value)"},
		{"local a a:b()", "attempt to index local 'a' (a nil value)"},
		{"return ('x'):foo()", "attempt to call method 'foo' (a nil value)"},
		{"local a a.b = 1", "attempt to index local 'a' (a nil value)"},
		{"local t = {} t.x.y = 1", "attempt to index field 'x' (a nil value)"},
		{"local t = {} return t.a + 1", "attempt to perform arithmetic on field 'a' (a nil value)"},
		{"local t = {} return 1 - t.a", "attempt to perform arithmetic on field 'a' (a nil value)"},
		{"local t, u = 1 return t * u", "attempt to perform arithmetic on local 'u' (a nil value)"},
		{"local t = {} return -t.a", "attempt to perform arithmetic on field 'a' (a nil value)"},
		{"local t = {} return #t.a", "attempt to get length of field 'a' (a nil value)"},
		{"local t = {} return 'x' .. t.a .. 'y'", "attempt to concatenate field 'a' (a nil value)"},
		{"local a, b = 'x' return a .. b", "attempt to concatenate local 'b' (a nil value)"},
		{"return 1 .. {}", "attempt to concatenate a table value"},
		{"do local a = 1 local b = 2 end local c c()", "attempt to call local 'c' (a nil value)"},
		{"for i = 1, 2 do local a a() end", "attempt to call local 'a' (a nil value)"},
		{"for k, v in pairs({1}) do v() end", "attempt to call local 'v'"},
		{"local f = function(a, b) return b() end f(1)", "attempt to call local 'b' (a nil value)"},
		{"local t = {} t.a(t.b, 1, 'x', math.floor(1.5))", "attempt to call field 'a' (a nil value)"},
		{"local a = 1 local f = function() return a end local t = {} t.a()", "attempt to call field 'a' (a nil value)"},
		{"for i in 5 do end", "attempt to call a "},
		{"(nil)()", "attempt to call a nil value"},
		{"math.floor('x')", "bad argument #1 to 'floor' (number expected, got string)"},
		{"local m = math m.floor({})", "bad argument #1 to 'floor' (number expected, got table)"},
		{"return ('x'):rep({})", "to 'rep' (number expected, got table)"},
		{"bit.band()", "bad argument #1 to 'band' (number expected, got no value)"},
		{"pcall(string.rep)", ":nothing"},
		{"local ok, e = pcall(string.rep) return e", "bad argument #1 to '?' (string expected, got no value)"},
		{"local ok, e = pcall(function() local a a() end) return e", "attempt to call local 'a' (a nil value)"},
		{"local ok, e = xpcall(function() local a a() end, function(e) return 'H ' .. e end) return e", "H user_script:1: attempt to call local 'a' (a nil value)"},
	} {
		got := x.outcome(c.source)
		if c.want == ":nothing" {
			if got != "$-1" {
				t.Errorf("%s\n got %s", c.source, got)
			}
			continue
		}
		if !strings.Contains(got, c.want) {
			t.Errorf("%s\n got %s\nwant %s", c.source, got, c.want)
		}
	}
}

// Who fails again and again in a long function pays for the names that are looked at.
func TestNamesArePaidFor(t *testing.T) {
	x := newTester()
	long := "local ok = true local a local function f() if ok then a() end " + strings.Repeat("ok = a.b ", 20000) + "end "
	if got := x.outcome(long + "for i = 1, 10000 do pcall(f) end return 1"); !strings.Contains(got, "too many steps") {
		t.Errorf("10,000 failures: %.200s", got)
	}
	if got := x.outcome(long + "for i = 1, 10 do pcall(f) end return 1"); got != ":1" {
		t.Errorf("10 failures: %.200s", got)
	}
}
