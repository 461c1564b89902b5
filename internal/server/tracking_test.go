package server_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tutti/internal/node/nodetest"
)

// pushed waits for the next thing that a client is sent unasked.
func pushed(t *testing.T, c *nodetest.Client, want string) {
	t.Helper()
	if got := flat(t, c); got != want {
		t.Fatalf("%s, not %s", got, want)
	}
}

const (
	flushedAll = `1) "invalidate" 2) (nil)`
)

func gone(keys ...string) string {
	text := `1) "invalidate" 2) `
	for i, k := range keys {
		text += fmt.Sprintf("%s%d) %q", map[bool]string{true: " "}[i > 0], i+1, k)
	}
	return text
}

// reader returns a client of RESP3 that tracks.
func reader(c *nodetest.Cluster, node int, options ...string) *nodetest.Client {
	r := c.Dial(node)
	r.Do("HELLO", "3")
	r.Do("GET", "all that was written before is here now")
	if got := r.Text(append([]string{"CLIENT", "TRACKING", "ON"}, options...)...); got != "OK" {
		panic(got)
	}
	return r
}

// What a client has read through any node is told to be old when it is changed through
// any, once, and in every way in which a key changes.
func TestTrackingTellsOfChanges(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, nodetest.Options{Nodes: 3})
	writer := [3]*nodetest.Client{c.Dial(0), c.Dial(1), c.Dial(2)}
	for node := range 3 {
		r := reader(c, node)
		for i, change := range []string{"SET k 1", "APPEND k 2", "PEXPIRE k 100000", "PERSIST k", "RENAME k other", "SET k 1", "DEL k", "HSET k f v", "HSET k f w", "HDEL k f", "XADD k * a b",
			"XTRIM k MAXLEN 0", "DEL k", "LPUSH k a", "LPOP k", "MSET k 1 k2 2", "SET k 1 PX 1000"} {
			r.Do("EXISTS", "k")
			writer[i%3].Do(strings.Fields(change)...)
			pushed(t, r, gone("k"))
			writer[i%3].Do("SET", "unrelated", "x")
			if strings.HasSuffix(change, "PX 1000") { // and when it expires, which must not be before it is read, however busy the machine
				r.Do("TYPE", "k")
				pushed(t, r, gone("k"))
			}
		}
		// What it has not read since is not told again.
		writer[0].Do("SET", "k", "1")
		r.Do("GET", "k")
		writer[0].Do("SET", "k", "2")
		pushed(t, r, gone("k"))
		writer[1].Do("SET", "k", "3")
		r.Do("GET", "last")
		writer[2].Do("SET", "last", "1")
		pushed(t, r, gone("last"))
		r.Do("GET", "k")
		writer[node].Do("FLUSHDB")
		pushed(t, r, flushedAll)
		if got := r.Text("PING"); got != "PONG" {
			t.Fatal(got)
		}
		r.Do("GET", "k")
		writer[node].Do("SWAPDB", "0", "3")
		pushed(t, r, flushedAll)
	}
}

// A change of one element of a large key is one of the key, though its rows are many.
func TestTrackingTellsOfLargeKeys(t *testing.T) {
	c := nodetest.Start(t, nodetest.Options{})
	w, r := c.Dial(0), reader(c, 0)
	for i := range 40 {
		hset, zadd, sadd, rpush := []string{"HSET", "h"}, []string{"ZADD", "z"}, []string{"SADD", "s"}, []string{"RPUSH", "l"}
		for j := range 100 {
			name := fmt.Sprint(i*100 + j)
			hset, zadd, sadd, rpush = append(hset, name, "v"), append(zadd, name, "m"+name), append(sadd, "m"+name), append(rpush, name)
			w.Do("XADD", "x", fmt.Sprint(1+i*100+j), "f", "v")
		}
		for _, cmd := range [][]string{hset, zadd, sadd, rpush} {
			w.Do(cmd...)
		}
	}
	w.Do("SET", "str", strings.Repeat("v", 1<<20))
	w.Do("XGROUP", "CREATE", "x", "g", "0")
	for _, change := range []string{"HSET h 7 w", "HINCRBY h n 1", "HINCRBY h n 1", "HDEL h 8", "ZADD z 5 m7", "ZINCRBY z 1 m7", "ZREM z m8", "SREM s m7", "SADD s m7", "LSET l 2000 w",
		"LREM l 1 77", "LINSERT l BEFORE 2100 w", "LTRIM l 1 -2", "SETRANGE str 500000 w", "SETBIT str 4000000 1", "APPEND str w",
		"XREADGROUP GROUP g me COUNT 1 STREAMS x >", "XACK x g 1-0", "XDEL x 5", "XTRIM x MAXLEN 10", "EXPIRE h 1000",
		"DEL h", "UNLINK z", "RENAME s s2", "COPY s2 l REPLACE"} {
		words := strings.Fields(change)
		key := words[1]
		switch words[0] {
		case "XREADGROUP":
			key = "x"
		case "COPY":
			key = "l"
		}
		r.Do("EXISTS", key)
		r.Do("EXISTS", "mark")
		if v := w.Do(words...); v.IsError() {
			t.Fatalf("%s: %s", change, v.Str)
		}
		w.Do("SET", "mark", change)
		got := flat(t, r)
		if got != gone(key) {
			t.Errorf("%s: %s", change, got)
		}
		for got != gone("mark") {
			got = flat(t, r)
		}
	}
}

// An answer never comes behind the word that it is old.
func TestTrackingTellsBehindTheReply(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, nodetest.Options{Nodes: 3})
	for node := range 3 {
		r, other := reader(c, node), c.Dial(0)
		other.Do("SET", "a", "1")
		r.Do("GET", "a")
		for _, cmd := range []string{"SET a 2", "GET a", "MULTI", "GET a", "INCR a", "EXEC", "MGET a b"} {
			r.Send(strings.Fields(cmd)...)
		}
		for _, want := range []string{"OK", `"2"`, "OK", "QUEUED", "QUEUED", `1) "2" 2) (integer) 3`} {
			got := flat(t, r)
			for got == gone("a") { // it was told of what it had read before
				got = flat(t, r)
			}
			if got != want {
				t.Fatalf("%s, not %s", got, want)
			}
		}
		got := flat(t, r)
		for got == gone("a") {
			got = flat(t, r)
		}
		if got != `1) "3" 2) (nil)` {
			t.Fatal(got)
		}
		other.Do("SET", "b", "1")
		for got = flat(t, r); got == gone("a"); got = flat(t, r) {
		}
		if got != gone("b") {
			t.Fatal(got)
		}
		other.Do("DEL", "a", "b")
	}
}

// With OPTIN and OPTOUT the client says what it keeps.
func TestTrackingByChoice(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, nodetest.Options{})
	w := c.Dial(0)
	in, out := reader(c, 0, "OPTIN"), reader(c, 0, "OPTOUT")
	in.Do("GET", "no")
	in.Do("CLIENT", "CACHING", "YES")
	in.Do("GET", "yes")
	in.Do("GET", "no")
	in.Do("CLIENT", "CACHING", "YES")
	for _, cmd := range []string{"MULTI", "GET x", "GET y", "EXEC"} {
		in.Do(strings.Fields(cmd)...)
	}
	in.Do("GET", "no")
	out.Do("GET", "yes")
	out.Do("CLIENT", "CACHING", "NO")
	out.Do("GET", "no")
	out.Do("GET", "y")
	for _, key := range []string{"no", "yes", "y", "x"} {
		w.Do("SET", key, "1")
	}
	pushed(t, in, gone("yes"))
	pushed(t, in, gone("y"))
	pushed(t, in, gone("x"))
	pushed(t, out, gone("yes"))
	pushed(t, out, gone("y"))
}

// With BCAST a client hears of every key with its prefixes, a message for each prefix
// and transaction.
func TestTrackingBroadcasts(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, nodetest.Options{Nodes: 3})
	w := c.Dial(0)
	for node := range 3 {
		r := reader(c, node, "BCAST", "PREFIX", "a:", "PREFIX", "b:")
		w.Do("MSET", "a:1", "1", "c:1", "1", "a:2", "1")
		if got := flat(t, r); got != gone("a:1", "a:2") && got != gone("a:2", "a:1") {
			t.Fatal(got)
		}
		w.Do("SET", "c:1", "2")
		w.Do("SET", "b:1", "2")
		pushed(t, r, gone("b:1"))
		if got := r.Text("CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", "c:"); got != "OK" {
			t.Fatal(got)
		}
		w.Do("SET", "c:1", "3")
		pushed(t, r, gone("c:1"))
		r.Do("RESET")
	}
}

// With NOLOOP a client is not told of what it has written itself, but of what others
// have, before and after.
func TestTrackingNotOfOnesOwn(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, nodetest.Options{Nodes: 3})
	for node := range 3 {
		for _, options := range [][]string{{"NOLOOP"}, {"NOLOOP", "BCAST"}} {
			r, w := reader(c, node, options...), c.Dial(1)
			for range 20 {
				r.Do("MGET", "k", "l")
				r.Do("SET", "k", "mine")
				r.Do("GET", "k")
				r.Do("INCR", "n")
				w.Do("SET", "l", "other")
				pushed(t, r, gone("l"))
				w.Do("SET", "k", "other")
				pushed(t, r, gone("k"))
			}
			r.Do("CLIENT", "TRACKING", "OFF")
		}
	}
}

// What a client of RESP2 has read is told on another connection; without that one it is
// told so.
func TestTrackingRedirects(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, nodetest.Options{})
	r, ear, w := c.Dial(0), c.Dial(0), c.Dial(0)
	id := fmt.Sprint(ear.Do("CLIENT", "ID").Int)
	ear.Do("SUBSCRIBE", "__redis__:invalidate")
	if got := r.Text("CLIENT", "TRACKING", "ON", "REDIRECT", id); got != "OK" {
		t.Fatal(got)
	}
	if got := r.Text("CLIENT", "GETREDIR"); got != "(integer) "+id {
		t.Fatal(got)
	}
	r.Do("MGET", "a", "b")
	w.Do("SET", "a", "1")
	expect(t, ear, `1) "message" 2) "__redis__:invalidate" 3) 1) "a"`)
	w.Do("FLUSHALL")
	expect(t, ear, `1) "message" 2) "__redis__:invalidate" 3) (nil)`)
	if got := w.Text("CLIENT", "LIST"); !strings.Contains(got, "flags=t ") || !strings.Contains(got, "redir="+id) {
		t.Fatal(got)
	}
	r.Do("HELLO", "3")
	r.Do("GET", "a")
	ear.Do("QUIT")
	if _, err := ear.Receive(); err == nil {
		t.Fatal("QUIT does not end the connection")
	}
	w.Do("SET", "a", "2")
	pushed(t, r, fmt.Sprintf(`1) "tracking-redir-broken" 2) (integer) %s`, id))
	if got := flatten(r.Text("CLIENT", "TRACKINGINFO")); got != `1# "flags" => 1~ "on" 2~ "broken_redirect" 2# "redirect" => (integer) `+id+` 3# "prefixes" => (empty array)` {
		t.Fatal(got)
	}
}

func flatten(s string) string { return strings.Join(strings.Fields(s), " ") }

// Beyond the bound some key is told to be old.
func TestTrackingIsBounded(t *testing.T) {
	c := nodetest.Start(t, nodetest.Options{})
	r, w := reader(c, 0), c.Dial(0)
	for i := range 10 {
		r.Do("GET", fmt.Sprint("k", i))
	}
	w.Do("CONFIG", "SET", "tracking-table-max-keys", "3")
	for range 7 {
		if got := flat(t, r); !strings.HasPrefix(got, `1) "invalidate" 2) 1) "k`) {
			t.Fatal(got)
		}
	}
	if got := w.Text("INFO", "stats"); !strings.Contains(got, "tracking_total_keys:3") || !strings.Contains(got, "tracking_total_items:3") {
		t.Fatal(got)
	}
	r.Do("CLIENT", "TRACKING", "OFF")
	if got := w.Text("INFO"); !strings.Contains(got, "tracking_total_keys:0") || !strings.Contains(got, "tracking_clients:0") {
		t.Fatal(got)
	}
}

func TestTrackingRefusesWhatRedisRefuses(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, nodetest.Options{})
	r := c.Dial(0)
	for _, step := range []struct{ cmd, want string }{
		{"CLIENT CACHING YES", "(error) ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled"},
		{"CLIENT TRACKING MAYBE", "(error) ERR syntax error"},
		{"CLIENT TRACKING ON FOO", "(error) ERR syntax error"},
		{"CLIENT TRACKING ON REDIRECT 999", "(error) ERR The client ID you want redirect to does not exist"},
		{"CLIENT TRACKING ON PREFIX a", "(error) ERR PREFIX option requires BCAST mode to be enabled"},
		{"CLIENT TRACKING ON BCAST OPTIN", "(error) ERR OPTIN and OPTOUT are not compatible with BCAST"},
		{"CLIENT TRACKING ON OPTOUT OPTIN", "(error) ERR You can't specify both OPTIN mode and OPTOUT mode"},
		{"CLIENT TRACKING ON BCAST PREFIX FOOBAR PREFIX FOO", "(error) ERR Prefix 'FOOBAR' overlaps with another provided prefix 'FOO'. Prefixes for a single client must not overlap."},
		{"CLIENT TRACKINGINFO", `1) "flags" 2) 1) "off" 3) "redirect" 4) (integer) -1 5) "prefixes" 6) (empty array)`},
		{"CLIENT TRACKING ON OPTIN", "OK"},
		{"CLIENT CACHING NO", "(error) ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode."},
		{"CLIENT TRACKING ON OPTOUT", "(error) ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then re-enabling it with a different mode."},
		{"CLIENT TRACKING ON BCAST", "(error) ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then re-enabling it with a different mode."},
		{"CLIENT CACHING YES", "OK"},
		{"CLIENT TRACKINGINFO", `1) "flags" 2) 1) "on" 2) "optin" 3) "caching-yes" 3) "redirect" 4) (integer) 0 5) "prefixes" 6) (empty array)`},
		{"PING", "PONG"},
		{"CLIENT TRACKINGINFO", `1) "flags" 2) 1) "on" 2) "optin" 3) "redirect" 4) (integer) 0 5) "prefixes" 6) (empty array)`},
		{"CLIENT TRACKING OFF", "OK"},
		{"CLIENT GETREDIR", "(integer) -1"},
		{"CLIENT TRACKING ON BCAST PREFIX FOO PREFIX BAR", "OK"},
		{"CLIENT TRACKING ON BCAST PREFIX BARB", "(error) ERR Prefix 'BARB' overlaps with an existing prefix 'BAR'. Prefixes for a single client must not overlap."},
		{"RESET", "RESET"},
		{"CLIENT GETREDIR", "(integer) -1"},
	} {
		if got := flatten(r.Text(strings.Fields(step.cmd)...)); got != step.want {
			t.Errorf("%s: %s, not %s", step.cmd, got, step.want)
		}
	}
}

// What a script reads of the keys that it names counts as read.
func TestTrackingOfScripts(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, nodetest.Options{Nodes: 3})
	w := c.Dial(0)
	for node := range 3 {
		r := reader(c, node)
		r.Do("EVAL", "return redis.call('get', KEYS[1])", "1", "k")
		w.Do("SET", "k", "1")
		pushed(t, r, gone("k"))
		r.Do("EVAL_RO", "return redis.call('get', KEYS[1])", "1", "k")
		w.Do("SET", "k", "2")
		pushed(t, r, gone("k"))
	}
	// With NOLOOP what it writes is the client's own.
	r := reader(c, 0, "NOLOOP")
	r.Do("MGET", "k", "l")
	r.Do("EVAL", "return redis.call('set', KEYS[1], 'mine')", "1", "k")
	w.Do("SET", "l", "1")
	pushed(t, r, gone("l"))
}

// A client whose command waits is told meanwhile what others change, and behind the reply
// what the command has changed once it was served, or with NOLOOP not, however long that
// took.
func TestTrackingOfWhatWaits(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, nodetest.Options{Nodes: 3})
	w, round := c.Dial(1), 0
	for node := range 3 {
		for _, x := range []struct {
			options []string
			told    func(from, to string) []string
		}{
			{[]string{"NOLOOP"}, func(_, _ string) []string { return nil }},
			{[]string{"NOLOOP", "BCAST"}, func(from, _ string) []string { return []string{gone(from)} }},
			{nil, func(_, to string) []string { return []string{gone(to)} }},
			{[]string{"BCAST"}, func(from, to string) []string { return []string{gone(from, to), gone(to, from)} }},
		} {
			r, other := reader(c, node, x.options...), c.Dial(node)
			for _, patience := range []time.Duration{0, 300 * time.Millisecond} { // it falls asleep
				round++
				from, to := fmt.Sprint("from", round), fmt.Sprint("to", round)
				r.Do("LRANGE", to, "0", "-1")
				r.Do("MGET", "k", "l")
				r.Send("BLMOVE", from, to, "LEFT", "LEFT", "0")
				for began := time.Now(); time.Since(began) < patience || !strings.Contains(other.Text("INFO", "clients"), "blocked_clients:1"); {
					w.Do("PING")
				}
				w.Do("SET", "k", "1")
				pushed(t, r, gone("k"))
				w.Do("RPUSH", from, "x")
				if got := flat(t, r); got != `"x"` {
					t.Fatalf("%s comes before the reply", got)
				}
				if told := x.told(from, to); told != nil {
					if got := flat(t, r); !slices.Contains(told, got) {
						t.Fatalf("%q: %s is told, and not %q", x.options, got, told)
					}
				}
				w.Do("SET", "l", "1")
				pushed(t, r, gone("l"))
			}
			// And if nothing comes.
			r.Do("GET", "k")
			if got := r.Text("BLPOP", "from", "0.01"); got != "(nil)" {
				t.Fatal(got)
			}
			w.Do("SET", "k", "2")
			pushed(t, r, gone("k"))
			r.Do("CLIENT", "TRACKING", "OFF")
		}
	}
}
