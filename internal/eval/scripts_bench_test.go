package eval

import "testing"

// BenchmarkScript evaluates a script of five commands; a group takes its seal and its
// entry beside that, as any other.
func BenchmarkScript(b *testing.B) {
	c := newTestCore(b)
	const source = "redis.call('set','a',1) redis.call('incr','a') redis.call('hset','h','f','v') redis.call('expire','a',100) return redis.call('get','a')"
	b.ReportAllocs()
	for b.Loop() {
		c.evaluate(c.input(), c.script(source))
	}
}

// BenchmarkFiveCommands is the same without a script.
func BenchmarkFiveCommands(b *testing.B) {
	c := newTestCore(b)
	b.ReportAllocs()
	for b.Loop() {
		c.evaluate(c.input(), c.write("SET a 1", "INCR a", "HSET h f v", "EXPIRE a 100", "GET a"))
	}
}
