package server_test

import (
	"fmt"
	"strings"
	"testing"

	"tutti/internal/node/nodetest"
)

// large fills keys with 400 KiB each, of every type.
func large(t *testing.T, c *nodetest.Client) {
	t.Helper()
	kib := strings.Repeat("x", 4<<10)
	list, set, hash, zset := []string{"RPUSH", "l"}, []string{"SADD", "set"}, []string{"HSET", "h"}, []string{"ZADD", "z"}
	for i := range 100 {
		member := fmt.Sprint(i, kib)
		list, set, hash, zset = append(list, member), append(set, member), append(hash, member, "v"), append(zset, fmt.Sprint(i), member)
	}
	all := strings.Repeat("x", 400<<10)
	for _, cmd := range [][]string{{"FLUSHALL"}, {"SET", "s", all}, list, set, hash, zset, {"RPUSH", "big", all}, {"ZADD", "bigz", "1", all},
		{"XADD", "x", "*", "f", all}, {"XGROUP", "CREATE", "x", "g", "0"}} {
		if got := c.Text(cmd...); strings.HasPrefix(got, "(error)") {
			t.Fatal(got)
		}
	}
}

// state is what the commands of the table might change.
func state(c *nodetest.Client) string {
	return c.Text("STRLEN", "s") + c.Text("LLEN", "l") + c.Text("SCARD", "set") + c.Text("ZCARD", "z") + c.Text("LLEN", "big") + c.Text("ZCARD", "bigz") +
		c.Text("XPENDING", "x", "g") + c.Text("EXISTS", "other", "mark") + c.Text("TTL", "s") + c.Text("HLEN", "h")
}

// A reply that does not fit the memory for clients is refused before anything is applied,
// whatever command makes it, and the command is applied once there is memory.
func TestNothingIsLostForAReplyThatDoesNotFit(t *testing.T) {
	if testing.Short() {
		t.Skip("takes minutes under the race detector")
	}
	t.Parallel()
	cluster := nodetest.Start(t, nodetest.Options{})
	c, other := cluster.Dial(0), cluster.Dial(0)
	full := ""
	del := `local v = redis.call("GET", KEYS[1]) redis.call("DEL", KEYS[1]) redis.call("SET", KEYS[2], 1) return v`
	for _, line := range [][]string{
		{"GETDEL", "s"}, {"GETSET", "s", "v"}, {"SET", "s", "v", "GET"}, {"GETEX", "s", "EX", "100"},
		{"LPOP", "l", "100"}, {"RPOP", "l", "100"}, {"LMPOP", "1", "l", "LEFT", "COUNT", "100"}, {"LPOP", "big"}, {"RPOP", "big"},
		{"LMOVE", "big", "other", "LEFT", "LEFT"}, {"RPOPLPUSH", "big", "other"},
		{"SPOP", "set", "100"}, {"ZPOPMIN", "z", "100"}, {"ZPOPMAX", "z", "100"}, {"ZMPOP", "1", "z", "MIN", "COUNT", "100"}, {"ZPOPMAX", "bigz"},
		{"XREADGROUP", "GROUP", "g", "c", "STREAMS", "x", ">"},
		{"BLPOP", "big", "0"}, {"BRPOP", "big", "0"}, {"BLMOVE", "big", "other", "LEFT", "LEFT", "0"}, {"BZPOPMIN", "bigz", "0"},
		{"BLMPOP", "0", "1", "l", "LEFT", "COUNT", "100"}, {"XREADGROUP", "GROUP", "g", "c", "BLOCK", "0", "STREAMS", "x", ">"},
		{"EVAL", del, "2", "s", "other"}, {"SORT", "l", "ALPHA"},
		{"GET", "s"}, {"LRANGE", "l", "0", "-1"}, {"SMEMBERS", "set"}, {"HGETALL", "h"}, {"HKEYS", "h"}, {"ZRANGE", "z", "0", "-1"}, {"SUNION", "set", "none"},
		{"SINTER", "set", "set"}, {"SDIFF", "set", "none"}, {"ZUNION", "1", "z"}, {"ZINTER", "2", "z", "z"}, {"ZDIFF", "2", "z", "none"}, {"XRANGE", "x", "-", "+"},
		{"SORT_RO", "l", "ALPHA"}, {"DUMP", "s"}, {"GETRANGE", "s", "0", "-1"}, {"HRANDFIELD", "h", "100"}, {"SRANDMEMBER", "set", "100"}, {"MGET", "s"},
	} {
		t.Run(strings.ToLower(line[0]), func(t *testing.T) {
			for _, multi := range []bool{false, true} {
				execute := func() string {
					if !multi {
						return c.Text(line...)
					}
					c.Text("MULTI")
					c.Text("SET", "mark", "1")
					c.Text(line...)
					return c.Text("EXEC")
				}
				before := state(other)
				if before != full { // the last one has taken something
					large(t, other)
					before = state(other)
				}
				full = before
				other.Text("CONFIG", "SET", "maxmemory-clients", "200kb")
				got := execute()
				other.Text("CONFIG", "SET", "maxmemory-clients", "64mb")
				if !strings.Contains(got, "BUSY ") {
					t.Errorf("without memory, multi %t: %.100s, %d bytes", multi, got, len(got))
				}
				if now := state(other); now != before {
					t.Errorf("multi %t: without memory it changed\n%s to\n%s", multi, before, now)
				}
				if got := execute(); len(got) < 390<<10 {
					t.Errorf("with memory, multi %t: %.100s, %d bytes", multi, got, len(got))
				}
				for n := 0; holds(t, other) != 0; n++ {
					if n == 1000 {
						t.Fatalf("multi %t: %d bytes are held for nobody", multi, holds(t, other))
					}
				}
			}
		})
	}
}

// What a read keeps to make a small reply of much counts as its reply would.
func TestWhatAReadKeepsFitsTheBudget(t *testing.T) {
	c := nodetest.Start(t, nodetest.Options{}).Dial(0)
	large(t, c)
	for _, line := range []string{"SORT_RO l ALPHA LIMIT 0 1", "SORT_RO l BY nosort-* LIMIT 0 1", "ZDIFF 2 z z"} {
		c.Text("CONFIG", "SET", "maxmemory-clients", "200kb")
		if got := c.Text(strings.Fields(line)...); !strings.HasPrefix(got, "(error) BUSY ") {
			t.Errorf("%s without memory: %.100s", line, got)
		}
		c.Text("CONFIG", "SET", "maxmemory-clients", "64mb")
		if got := c.Text(strings.Fields(line)...); strings.HasPrefix(got, "(error)") {
			t.Errorf("%s with memory: %.100s", line, got)
		}
	}
	if got := c.Text("SINTERCARD", "2", "set", "set"); got != "(integer) 100" {
		t.Errorf("what keeps nothing: %s", got)
	}
}
