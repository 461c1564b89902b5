package script

import (
	"testing"
)

// FuzzScript runs any text: it ends, within its limits, and nothing panics.
func FuzzScript(f *testing.F) {
	for _, s := range []string{
		"return redis.call('get', KEYS[1])", "while true do end", "local t = {} for i = 1, 10 do t[i] = {...} end return t",
		"return string.gsub(ARGV[1], '(%w+)', '<%1>')", "return cjson.decode(ARGV[1])", "return cmsgpack.unpack(ARGV[1])",
		"return struct.unpack('>I2s', ARGV[1])", "return pcall(error, {err='x'})", "goto a ::a:: return 1", "local function f(...) return select('#', ...) end return f(unpack({1,2}))",
		"return table.concat({1, 2, 3}, ARGV[1])", "return ('%5.1f'):format(1) .. 'x' .. 2", "return setmetatable({}, {__index = function(t, k) return k end}).x",
		"local co = coroutine.create(function() coroutine.yield(1) end) return {coroutine.resume(co)}", "return {string.find(ARGV[1], '[%a-z]-(.)%1$')}",
		"#!lua flags=no-writes\nreturn bit.tohex(-1)", "return load('return 1')()", "return math.random(1, 2)",
	} {
		f.Add(s, "a=1, [2, {\"b\": null}] \x93\x01\xc1")
	}
	f.Fuzz(func(t *testing.T, source, arg string) {
		x := newTester()
		x.steps, x.engine.memory = 20_000, 1<<20
		_, _ = x.run(source, arg)
		left := 20_000
		_, _ = x.engine.Load(source, func(steps int) error {
			if left -= steps; left < 0 {
				return errSteps
			}
			return nil
		})
	})
}

// FuzzDecoders gives any bytes to what decodes them.
func FuzzDecoders(f *testing.F) {
	f.Add("[1,{\"a\":\"\\u00e9\\ud83d\\ude00\"},-1.5e3]", ">I2s!8i3c0")
	f.Add("\x93\x01\xa1x\xcb\x00\x00\x00\x00\x00\x00\x00\x00", "(%a+)%b()%f[%w][^%]]*$")
	f.Add("\xdd\xff\xff\xff\xff\x01", "%")
	f.Fuzz(func(t *testing.T, data, form string) {
		x := newTester()
		x.steps, x.engine.memory = 20_000, 1<<20
		_, _ = x.run(`
			for _, f in ipairs({cjson.decode, cmsgpack.unpack, cmsgpack.unpack_one}) do pcall(f, ARGV[1]) end
			for _, f in ipairs({string.find, string.match, string.gsub}) do pcall(f, ARGV[1], ARGV[2], '%1') end
			pcall(struct.unpack, ARGV[2], ARGV[1])
			pcall(struct.pack, ARGV[2], 1, 2, ARGV[1])
			pcall(string.format, ARGV[2], 1, ARGV[1])
			return 1`, data, form)
	})
}
