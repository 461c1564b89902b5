package server_test

import (
	"strings"
	"testing"

	"tutti/internal/node/nodetest"
)

// infoField returns the value of a field of INFO.
func infoField(t *testing.T, c *nodetest.Client, section, name string) string {
	t.Helper()
	for _, line := range strings.Split(string(c.Do("INFO", section).Str), "\r\n") {
		if value, is := strings.CutPrefix(line, name+":"); is {
			return value
		}
	}
	t.Fatalf("INFO %s has no %s", section, name)
	return ""
}

// Keys that commands find, and those they don't, are counted wherever the commands
// are evaluated: over a view, where writes are, in a transaction.
func TestKeysThatAreFoundAreCounted(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, nodetest.Options{}).Dial(0)
	counted := func(what string, hits, misses string) {
		t.Helper()
		if h, m := infoField(t, c, "stats", "keyspace_hits"), infoField(t, c, "stats", "keyspace_misses"); h != hits || m != misses {
			t.Errorf("%s: %s hits and %s misses, want %s and %s", what, h, m, hits, misses)
		}
		c.Text("CONFIG", "RESETSTAT")
	}
	c.Text("MSET", "a", "1", "b", "2")
	c.Text("SET", "a", "2")
	c.Text("INCR", "absent")
	c.Text("DEL", "absent")
	counted("writes", "0", "0")
	c.Text("MGET", "a", "b", "absent")
	c.Text("EXISTS", "a", "a")
	counted("reads", "4", "1")
	for _, cmd := range [][]string{{"GET", "a"}, {"GET", "absent"}, {"SET", "b", "3"}, {"GET", "absent"}} {
		c.Send(cmd...)
	}
	for range 4 {
		if _, err := c.Receive(); err != nil {
			t.Fatal(err)
		}
	}
	counted("a pipeline with a write", "1", "2")
	c.Text("MULTI")
	c.Text("GET", "a")
	c.Text("GETDEL", "a")
	c.Text("GET", "a")
	c.Text("EXEC")
	counted("a transaction", "2", "1")
	counted("nothing", "0", "0")
}

// Keys whose deadline has passed are counted when they are removed.
func TestExpiredKeysAreCounted(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, nodetest.Options{}).Dial(0)
	for _, key := range []string{"a", "b", "c"} {
		c.Text("SET", key, "v", "PX", "1")
	}
	c.Text("SET", "stays", "v", "EX", "1000")
	for infoField(t, c, "stats", "expired_keys") != "3" { // the sweep takes a while, or for ever: then the test ends by its time
		c.Text("GET", "stays")
	}
	for c.Text("DBSIZE") != "(integer) 1" { // it may lag behind
	}
	c.Text("CONFIG", "RESETSTAT")
	if n := infoField(t, c, "stats", "expired_keys"); n != "0" {
		t.Error(n, "after they were reset")
	}
}

// The slow log has all that was slow, however much at a time, and no more than it may.
func TestSlowlogDropsNothing(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, nodetest.Options{}).Dial(0)
	for _, set := range [][]string{{"slowlog-max-len", "300"}, {"slowlog-log-slower-than", "0"}} {
		c.Text("CONFIG", "SET", set[0], set[1])
	}
	c.Text("SLOWLOG", "RESET")
	for range 250 {
		c.Text("ECHO", "x")
	}
	if n := c.Text("SLOWLOG", "LEN"); n != "(integer) 251" { // with the RESET
		t.Error(n, "entries of 251")
	}
	for range 700 {
		c.Text("ECHO", "y")
	}
	entries := c.Do("SLOWLOG", "GET", "-1").Elems
	if len(entries) != 300 {
		t.Fatalf("%d entries of at most 300", len(entries))
	}
	for i, e := range entries[:len(entries)-1] {
		if e.Elems[0].Int != entries[i+1].Elems[0].Int+1 {
			t.Fatalf("entry %d has the number %d, the one before it %d", i, e.Elems[0].Int, entries[i+1].Elems[0].Int)
		}
	}
	c.Text("CONFIG", "SET", "slowlog-max-len", "5")
	if n := c.Text("SLOWLOG", "LEN"); n != "(integer) 5" {
		t.Error(n, "entries of at most 5")
	}
}

// MEMORY STATS answers Redis's fields, those in use with what they are.
func TestMemoryStats(t *testing.T) {
	c := nodetest.Start(t, nodetest.Options{}).Dial(0)
	c.Text("MSET", "a", "1", "b", "2")
	c.Text("HELLO", "3")
	stats := c.Do("MEMORY", "STATS")
	values := map[string]float64{}
	for i := 0; i+1 < len(stats.Elems); i += 2 {
		values[string(stats.Elems[i].Str)] = float64(stats.Elems[i+1].Int) + stats.Elems[i+1].Float
	}
	for _, name := range []string{"peak.allocated", "total.allocated", "allocator.resident", "fragmentation", "peak.percentage"} {
		if values[name] <= 0 {
			t.Errorf("%s is %v", name, values[name])
		}
	}
	if last := stats.Elems[len(stats.Elems)-2:]; string(last[0].Str) != "db.0" || len(last[1].Elems) != 6 {
		t.Errorf("the only database is %v", last)
	}
	if values["keys.count"] != 2 {
		t.Errorf("%v keys of 2", values["keys.count"])
	}
	if values["peak.allocated"] < values["total.allocated"] {
		t.Errorf("at most %v bytes, now %v", values["peak.allocated"], values["total.allocated"])
	}
	if got := c.Text("MEMORY", "PURGE"); got != "OK" {
		t.Error(got)
	}
	if got := c.Text("MEMORY", "MALLOC-STATS"); !strings.Contains(got, "/memory/classes/heap/objects:bytes ") {
		t.Error(got)
	}
}
