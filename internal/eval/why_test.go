package eval

import (
	"strings"
	"testing"
	"time"
)

// inspect asks the leader what it knows of a key or a task.
func (c *testCore) inspect(name string, says ...string) {
	c.t.Helper()
	in := c.input()
	in.Mono = 90 * time.Second
	b := c.evaluate(in, c.write("TUTTI.INSPECT "+name))
	got := text(b.Replies[0])
	for _, s := range append(says, `"term":`, `"led":90000`) {
		if !strings.Contains(got, s) {
			c.t.Errorf("%s: no %s in %s", name, s, got)
		}
	}
	if b.Data != nil {
		c.t.Errorf("%s: to ask has effects", name)
	}
}

// A leader knows of what a key or a task waits for, and who waits for it.
func TestInspect(t *testing.T) {
	c := newTestCore(t)
	c.inspect("none", `"key":{"type":"none","waiters":0}`)
	c.parked(c.waits("BLPOP list 0"))
	c.parked(c.waits("BLPOP list 0"))
	c.inspect("list", `"key":{"type":"none","waiters":2}`)
	c.run(c.write("SET k v PXAT 1800000000000"))
	c.inspect("k", `"key":{"type":"string","expires":1800000000000,"waiters":0}`)
	c.parked(c.waits("TASK.CLAIM w BLOCK 0 FROM q"))
	c.inspect("q", `"key":{"type":"none","waiters":0}`)
	c.run(c.write("TASK.QUEUE q PAUSE"))
	added := strings.Fields(c.run(c.write("TASK.ADD q p"))[0])
	c.inspect("q", `"queue":{"paused":true,"open":1,"running":0,"dead":0,"workers":1,"reasons":[{"for":"pause"`)
	c.inspect(added[1], `"task":{"queue":"q","state":"ready"`, `"pending":true`, `"for":"pause"`, `and 1 worker waits`)
	c.inspect("{4ZB}q:none", `"key":{"type":"none","waiters":0}`)
}
