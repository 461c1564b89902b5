package script

import (
	"errors"
	"strings"
	"testing"

	"tutti/internal/resp"
)

// tester runs scripts whose commands answer what they are called with.
type tester struct {
	engine *Engine
	steps  int // that a run may take
	proto  int
}

func newTester() *tester { return &tester{engine: NewEngine(), steps: 1_000_000, proto: 2} }

var errSteps = errors.New("too many steps")

// echo executes the commands of tests.
func echo(args [][]byte, _ int) ([]byte, error) {
	switch string(args[0]) {
	case "fail":
		return []byte("-ERR as you wish\r\n"), nil
	case "raw":
		return args[1], nil
	}
	out := resp.AppendArray(nil, len(args))
	for _, a := range args {
		out = resp.AppendBulk(out, a)
	}
	return out, nil
}

func (x *tester) run(source string, args ...string) (string, error) {
	p, err := x.engine.Compile([]byte(source))
	if err != nil {
		return "", err
	}
	left := x.steps
	r := &Run{Version: "7.2.4", Do: echo, Spend: func(steps int) error {
		if left -= steps; left < 0 {
			return errSteps
		}
		return nil
	}}
	for _, a := range args {
		r.Args = append(r.Args, []byte(a))
	}
	out := &resp.Writer{Proto: x.proto}
	if err := x.engine.Run(p, r, out); err != nil {
		return "", err
	}
	return string(out.Out), nil
}

// outcome is the reply, or the error, in one line.
func (x *tester) outcome(source string, args ...string) string {
	reply, err := x.run(source, args...)
	if err != nil {
		return "error: " + err.Error()
	}
	return strings.ReplaceAll(strings.TrimSuffix(reply, "\r\n"), "\r\n", " ")
}

func TestScripts(t *testing.T) {
	x := newTester()
	for _, c := range []struct{ source, want string }{
		{"return 1", ":1"},
		{"return 'a' .. 1 .. 'b' .. 2.5", "$6 a1b2.5"},
		{"return {1,2,{3,'x'},nil,5}", "*3 :1 :2 *2 :3 $1 x"},
		{"return 3.99", ":3"},
		{"return true", ":1"},
		{"return false", "$-1"},
		{"return nil", "$-1"},
		{"return {ok='fine'}", "+fine"},
		{"return redis.status_reply('fine')", "+fine"},
		{"return redis.error_reply('MY bad')", "error: MY bad"},
		{"return {err='MY bad'}", "error: MY bad"},
		{"return redis.call('get', 'x', 1, 1.5)", "*4 $3 get $1 x $1 1 $3 1.5"},
		{"return redis.pcall('fail').err", "$15 ERR as you wish"},
		{"local ok, e = pcall(redis.call, 'fail') return {tostring(ok), e}", "*2 $5 false $15 ERR as you wish"},
		{"return tostring(1/3) .. ' ' .. tostring(1e15) .. ' ' .. 10", "$25 0.33333333333333 1e+15 10"},
		{"return #ARGV .. ARGV[1]", "$2 1a"},
		{"return string.format('%5.2f|%d|%s|%q|%x|%05d|%-4s|', 1.234, 7, 'x', 'y', 255, 42, 'ab')", `$28  1.23|7|x|"y"|ff|00042|ab  |`},
		{"return {string.find('hello world', 'o w')}", "*2 :5 :7"},
		{"return {string.match('key=val', '(%w+)=(%w+)')}", "*2 $3 key $3 val"},
		{"return (string.gsub('hello', 'l', {l='L'}))", "$5 heLLo"},
		{"return {string.gsub('abc', '', '-')}", "*2 $7 -a-b-c- :4"},
		{"local r = {} for k, v in string.gmatch('a=1, b=2', '(%w+)=(%w+)') do r[#r+1] = k .. v end return r", "*2 $2 a1 $2 b2"},
		{"local n = 0 for i = '1', ' 3 ', '0x1' do n = n + i end return n", ":6"},
		{"local n, b = 0, {'2', 6} for i = b[1], b[2], tostring(2) do n = n + i end return n", ":12"},
		{"local n = 0 for i = 1e-15 + 0, 1/3, 1/3 do n = n + 1 end for i = 4, -math.huge, -1 do if i < 0 then return n end end", ":1"},
		{"for i = {}, 2 do end", "error: ERR user_script:1: 'for' initial value must be a number script: 4a4bdc38d0a0dd89310b90f72408480ed1352d55, on @user_script:1."},
		{"for i = 1, 'x' do end", "error: ERR user_script:1: 'for' limit must be a number script: d8bd80086cdb91c430b99e2009d520ef8213df01, on @user_script:1."},
		{"local x for i = 1, 2, x do end", "error: ERR user_script:1: 'for' step must be a number script: 8354a497b58ff0c1511a2442d817d4f3ebd76cf6, on @user_script:1."},
		{"return table.concat({1,2,3}, ',')", "$5 1,2,3"},
		{"local t = {3,1,2} table.sort(t) return t", "*3 :1 :2 :3"},
		{"local t = {1,2,3} table.insert(t, 2, 9) table.remove(t, 1) return t", "*3 :9 :2 :3"},
		{"return cjson.encode({a={1,2,'x'}})", `$15 {"a":[1,2,"x"]}`},
		{`return cjson.decode('{"a":[1,{"b":null}],"c":"\\u00e9"}').c`, "$2 é"},
		{`return cjson.encode(cjson.decode('[1,null,2.5,true,"x"]'))`, `$21 [1,null,2.5,true,"x"]`},
		{"return cmsgpack.unpack(cmsgpack.pack({1,'a',{b=true}}))[2]", "$1 a"},
		{"return {struct.unpack('>I2h', struct.pack('>I2h', 258, -2))}", "*3 :258 :-2 :5"},
		{"return {bit.band(12, 10), bit.bor(12, 10), bit.bxor(12,10), bit.lshift(1, 31), bit.tohex(255, 4)}", "*5 :8 :14 :6 :-2147483648 $4 00ff"},
		{"return redis.sha1hex('')", "$40 da39a3ee5e6b4b0d3255bfef95601890afd80709"},
		{"return redis.REDIS_VERSION_NUM", ":459268"},
		{"local co = coroutine.wrap(function(a) local b = coroutine.yield(a+1) return b*2 end) return {co(1), co(5)}", "*2 :2 :10"},
		{"local n = 0 local f = function() n = n + 1 end pcall(error, 'x') f() return n", ":1"},
		{"return {pcall(error, 'x')}", "*2 $-1 $1 x"},
		{"return tostring(type(redis.log)) .. redis.LOG_WARNING", "$9 function3"},
		{"return select('#', unpack({1,2,3}))", ":3"},
		{"local s = 0 for k, v in pairs({a=1,b=2}) do s = s + v end return s", ":3"},
		{"local t = setmetatable({}, {__concat = function(a, b) return 'c' end}) return t .. 'x' .. 1", "$1 c"},
		{"return getmetatable('').__index == nil", ":1"},
		{"return ('x'):rep(3)", "$3 xxx"},
		{"return {1, select(2, 'a', 'b', 'c')}", "*3 :1 $1 b $1 c"},
		{"return math.floor(3.7) + math.max(1, 2)", ":5"},
		{"return tostring(math.huge) .. tostring(-math.huge) .. tostring(1e308 < math.huge)", "$11 inf-inftrue"},
		{"return {redis.REPL_NONE, redis.REPL_AOF, redis.REPL_SLAVE, redis.REPL_REPLICA, redis.REPL_ALL}", "*5 :0 :1 :2 :2 :3"},
		{"return redis.error_reply('bad')", "error: ERR bad"},
		{"return {pcall(function() error('x', 2) end)}", "*2 $-1 $1 x"},
		{"return {pcall(function() error(5) end)}", "*2 $-1 $16 user_script:1: 5"},
		{"return {pcall(function() error() end)}", "*1 $-1"},
		{"return {xpcall(function() nosuch() end, function(e) return 'H' .. e end)}", "*2 $-1 $79 Huser_script:1: Script attempted to access nonexistent global variable 'nosuch'"},
		{"local ok, e = xpcall(function() nosuch() end, function(e) return {err = 'H'} end) return type(e)", "$5 table"},
		{`return cjson.decode('"\\ud83d\\ude00"')`, "$4 😀"},
		{`return cjson.decode('"\\ud83d"')`, "found invalid unicode escape code at character 2"},
		{"return cjson.decode('-')", "found invalid number at character 1"},
		{"return tostring(cjson.decode('nan')) .. tostring(cjson.decode('[-inf]')[1])", "$7 nan-inf"},
		{"return cmsgpack.unpack('\\207' .. ('\\255'):rep(8))", ":-1"},
		{"redis.nosuch()", "attempt to call field 'nosuch' (a nil value)"},
		{"foo = 1", "error: ERR user_script:1: Attempt to modify a readonly table script: e1934c7d679df0a682fa283afb2bdeec6495d463, on @user_script:1."},
		{"return foo", "error: ERR user_script:1: Script attempted to access nonexistent global variable 'foo' script: 47e30a5d10d5694f99208f9adc4fe3bf2450edbd, on @user_script:1."},
		{"redis.call('fail')", "error: ERR as you wish script: 2b1468e9f9862ac566b91791948a0c90d4ba9318, on @user_script:1."},
		{"return {", "error: Error compiling script (new function): user_script:1: unexpected symbol near '<eof>'"},
		{"redis.call = 1", "Attempt to modify a readonly table"},
		{"string.len = 1", "Attempt to modify a readonly table"},
		{"rawset(string, 'len', 1)", "Attempt to modify a readonly table"},
		{"table.insert(redis, 1)", "Attempt to modify a readonly table"},
		{"setmetatable(_G, {})", "Attempt to modify a readonly table"},
		{"getmetatable('').__index = 1", "Attempt to modify a readonly table"},
		{"getmetatable(_G).__index = 1", "Attempt to modify a readonly table"},
		{"getmetatable(redis).__index.call = 1", "attempt to index"},
		{"loadfile('x')", "nonexistent global variable 'loadfile'"},
		{"dofile('x')", "nonexistent global variable 'dofile'"},
		{"os.execute('x')", "attempt to call"},
		{"local n = 0 return load(function() n = n + 1 return ({'return ', 1, '+2'})[n] end)()", ":3"},
		{"return select(2, load(function() error('x') end))", "$16 user_script:1: x"},
		{"return select(2, load(function() return {} end))", "$36 reader function must return a string"},
		{"local n = 0 load(function() n = n + 1 return ({'error(1 ..', '2)'})[n] end, '@nm')()", "nm:1: 12"},
		{"load('return 1')", "function expected, got string"},
		{"load(function() return ('x'):rep(1e6) end)", ErrMemory.Error()},
	} {
		got := x.outcome(c.source, "a")
		if got != c.want && !(strings.HasPrefix(got, "error") && strings.Contains(got, c.want)) {
			t.Errorf("%s\n got %s\nwant %s", c.source, got, c.want)
		}
	}
}

func TestLimits(t *testing.T) {
	x := newTester()
	x.engine.memory = 4 << 20
	for _, c := range []struct{ source, want string }{
		{"while true do end", "too many steps"},
		{"while true do pcall(function() while true do end end) end", "too many steps"},
		{"local co = coroutine.wrap(function() while true do end end) co()", "too many steps"},
		{"return string.find(string.rep('a', 100000), string.rep('a-', 30) .. 'b')", "too many steps"},
		{"local s = 'x' while true do s = s .. s end", "64 MiB"},
		{"return ('x'):rep(1e10)", "64 MiB"},
		{"return string.gsub(('x'):rep(1e5), '.', ('y'):rep(1e5))", "64 MiB"},
		{"local function f() return f() + 1 end f()", "stack overflow"},
		{"local t = {} local function f(...) for i = 1, 1e6 do t[i] = {...} end end local a = {} for i = 1, 7000 do a[i] = i end f(unpack(a))", "64 MiB"},
		{"local t = {} for i = 1, 1e8 do t[i] = nil end", "64 MiB"},
		{"return #{1, 2, unpack({1, nil, 3})}", ":5"},
		{"return {unpack({}, 1, 1e9)}", "too many results to unpack"},
		{"local t = {} for i = 1, 50000 do t[i % 100] = ('x'):rep(1000) .. i end return #t", ":99"},
		{"local t = {} t[1] = t t[2] = t return t", "64 MiB"},
	} {
		if got := x.outcome(c.source); !strings.Contains(got, c.want) {
			t.Errorf("%s\n got %.200s\nwant %s", c.source, got, c.want)
		}
	}
}

// What a script holds is not found out so often that it takes longer than what it does.
func TestMemoryIsNotLookedForAllTheTime(t *testing.T) {
	x := newTester()
	x.engine.memory = 1 << 20
	looks := 0
	v := x.engine.take()
	alive := v.meter.alive
	v.meter.alive = func() (bytes, values int) {
		looks++
		return alive()
	}
	x.engine.give(v, true)
	got := x.outcome("local t = {} for i = 1, 7000 do t[i] = {} end for i = 1, 100000 do local u = {} end return #t")
	if got != ":7000" {
		t.Error(got)
	}
	if looks == 0 || looks > 70 {
		t.Errorf("looked %d times", looks)
	}
}

// A script is killed by whoever runs beside it, once it takes long.
func TestKill(t *testing.T) {
	x := newTester()
	p, err := x.engine.Compile([]byte("while true do pcall(function() while true do end end) end"))
	if err != nil {
		t.Fatal(err)
	}
	steps, killed := 0, 0
	err = x.engine.Run(p, &Run{Do: echo, Spend: func(n int) error {
		if steps += n; steps > 2000 {
			killed += x.engine.Kill(1000)
		} else if x.engine.Kill(2000) != 0 {
			t.Error("killed early")
		}
		return nil
	}}, &resp.Writer{Proto: 2})
	if !errors.Is(err, ErrKilled) || killed == 0 {
		t.Errorf("%v, killed %d", err, killed)
	}
	if n := x.engine.Kill(0); n != 0 {
		t.Errorf("%d scripts were killed that do not run", n)
	}
}
