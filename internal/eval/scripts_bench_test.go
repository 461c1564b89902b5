package eval

import (
	"strings"
	"testing"

	"tutti/internal/group"
)

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

// BenchmarkJob evaluates and applies batches of scripts as job frameworks send them: jobs
// with 4 KB of data are added, taken and finished. Each number is that of one job.
func BenchmarkJob(b *testing.B) {
	const (
		batch = 20
		add   = `local id = redis.call('INCR','q:id') local key = 'q:'..id
redis.call('HMSET',key,'name','test','data',ARGV[1],'opts','{"attempts":0}','timestamp','1700000000000','delay','0','priority','0')
redis.call('LPUSH','q:wait',id) redis.call('XADD','q:events','MAXLEN','~','10000','*','event','added','jobId',id) return id`
		take = `local id = redis.call('RPOPLPUSH','q:wait','q:active') local key = 'q:'..id
redis.call('HINCRBY',key,'ats',1) redis.call('HSET',key,'processedOn','1700000000001') redis.call('XADD','q:events','*','event','active','jobId',id)
return {redis.call('HGETALL',key),id}`
		finish = `local id = redis.call('LRANGE','q:active','-1','-1')[1] local key = 'q:'..id
redis.call('LREM','q:active','-1',id) redis.call('ZADD','q:completed',1700000000002,id)
redis.call('HMSET',key,'returnvalue',ARGV[1],'finishedOn','1700000000002') redis.call('XADD','q:events','*','event','completed','jobId',id) return 0`
	)
	c := newTestCore(b)
	data := strings.Repeat("d", 4096)
	b.ReportAllocs()
	for n := 0; n < b.N; n += batch {
		for _, source := range []string{add, take, finish} {
			groups := make([]*group.Group, batch)
			for i := range groups {
				groups[i] = c.script(source, data)
			}
			for _, reply := range c.run(groups...) {
				if strings.HasPrefix(reply, "-") {
					b.Fatal(reply)
				}
			}
		}
	}
}
