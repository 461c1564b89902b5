package server_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"tutti/internal/node/nodetest"
	"tutti/internal/resp"
)

// receive returns the next replies of a client as redis-cli prints them.
func receive(t *testing.T, c *nodetest.Client, n int) string {
	t.Helper()
	var list []string
	for range n {
		v, err := c.Receive()
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, strings.TrimSpace(v.FormatCLI()))
	}
	return strings.Join(list, " ")
}

func pipeline(t *testing.T, c *nodetest.Client, cmds ...string) {
	t.Helper()
	var b []byte
	for _, cmd := range cmds {
		b = resp.AppendCommandStrings(b, strings.Fields(cmd)...)
	}
	if _, err := c.Write(b); err != nil {
		t.Fatal(err)
	}
}

func TestClientReply(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, nodetest.Options{})
	a := c.Dial(0)
	pipeline(t, a, "CLIENT REPLY OFF", "PING 1", "SET k v", "GET k", "NOSUCH", "GET", "MULTI", "SET k w", "EXEC", "CLIENT REPLY SKIP", "CLIENT REPLY ON", "GET k")
	if got := receive(t, a, 2); got != `OK "w"` {
		t.Errorf("after OFF and ON: %s", got)
	}
	pipeline(t, a, "CLIENT REPLY SKIP", "SET k x", "GET k", "CLIENT REPLY SKIP", "PING", "PING 2", "CLIENT REPLY SKIP", "NOSUCH", "PING 3",
		"CLIENT REPLY SKIP", "CLIENT REPLY ON", "PING 4", "CLIENT REPLY OFF", "RESET", "PING 5")
	if got := receive(t, a, 7); got != `"x" "2" "3" OK "4" RESET "5"` {
		t.Errorf("after SKIP: %s", got)
	}
}

func TestClientKill(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, nodetest.Options{})
	admin := c.Dial(0)
	ended := func(c *nodetest.Client) bool {
		_, err := c.Receive()
		return errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed)
	}
	victim := c.Dial(0)
	id := victim.Do("CLIENT", "ID").Int
	if got := admin.Text("CLIENT", "KILL", "ID", fmt.Sprint(id)); got != "(integer) 1\n" && got != "(integer) 1" {
		t.Errorf("killed by id: %q", got)
	}
	if !ended(victim) {
		t.Error("a killed connection lives")
	}
	victim = c.Dial(0)
	victim.Do("PING")
	if got := admin.Text("CLIENT", "KILL", victim.LocalAddr().String()); got != "OK" {
		t.Errorf("killed by address: %q", got)
	}
	if !ended(victim) {
		t.Error("a killed connection lives")
	}
	other := c.Dial(0)
	other.Do("PING")
	if n := admin.Do("CLIENT", "KILL", "TYPE", "normal", "USER", "default", "LADDR", c.Addr(0)).Int; n < 1 {
		t.Errorf("killed %d of the others", n)
	}
	if !ended(other) {
		t.Error("a killed connection lives")
	}
	if n := admin.Do("CLIENT", "KILL", "SKIPME", "no").Int; n != 1 {
		t.Errorf("killed %d, itself", n)
	}
	if !ended(admin) {
		t.Error("a connection that killed itself lives")
	}
}

// silent reports that nothing arrives for a while.
func silent(t *testing.T, c *nodetest.Client) bool {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(30 * time.Millisecond))
	var b [1]byte
	_, err := c.Read(b[:])
	return errors.Is(err, os.ErrDeadlineExceeded)
}

func TestClientPause(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, nodetest.Options{})
	admin, a, b := c.Dial(0), c.Dial(0), c.Dial(0)
	admin.Do("SET", "k", "0")
	admin.Do("CLIENT", "PAUSE", "60000", "WRITE")
	if got := a.Text("GET", "k"); got != `"0"` {
		t.Errorf("a read while writes are paused: %s", got)
	}
	pipeline(t, a, "PING", "INCR k", "GET k")
	if got := receive(t, a, 1); got != "PONG" {
		t.Errorf("what came before the held write: %s", got)
	}
	b.Do("MULTI")
	if !silent(t, a) {
		t.Error("a write was answered during the pause")
	}
	if got := admin.Do("INFO", "clients").Str; !strings.Contains(string(got), "blocked_clients:1") {
		t.Errorf("one client is held: %s", got)
	}
	if got := admin.Text("GET", "k"); got != `"0"` {
		t.Errorf("the held write happened: %s", got)
	}
	admin.Do("CLIENT", "UNPAUSE")
	if got := receive(t, a, 2); got != `(integer) 1 "1"` {
		t.Errorf("after the pause: %s", got)
	}
	// An EXEC waits if what it executes writes.
	b.Do("INCR", "k")
	admin.Do("CLIENT", "PAUSE", "60000", "WRITE")
	b.Send("EXEC")
	if !silent(t, b) {
		t.Error("EXEC was answered during the pause")
	}
	admin.Do("CLIENT", "UNPAUSE")
	if got := receive(t, b, 1); got != "1) (integer) 2" {
		t.Errorf("EXEC after the pause: %s", got)
	}
	// A pause of all ends by itself; killed clients do not wait for it.
	began := time.Now()
	admin.Do("CLIENT", "PAUSE", "60", "ALL")
	if a.Do("PING"); time.Since(began) < 60*time.Millisecond {
		t.Error("PING was answered during a pause of all")
	}
	admin.Do("CLIENT", "PAUSE", "60000", "WRITE")
	a.Send("SET", "k", "9")
	if !silent(t, a) {
		t.Error("a write was answered during the pause")
	}
	if n := admin.Do("CLIENT", "KILL", "ADDR", a.LocalAddr().String()).Int; n != 1 {
		t.Errorf("killed %d", n)
	}
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		if strings.Contains(string(admin.Do("INFO", "clients").Str), "blocked_clients:0") {
			break
		}
		if time.Now().After(end) {
			t.Fatal("a killed client is still held")
		}
	}
	b.Send("SET", "k", "9") // closing the server must not wait for it either
}

// Scripts that say that they only read go on while writes are paused, wherever they are
// known from.
func TestPausedScripts(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, nodetest.Options{Nodes: 3})
	admin, a, b := c.Dial(0), c.Dial(0), c.Dial(0)
	const reads, writes = "#!lua flags=no-writes\nreturn 1", "#!lua\nreturn 2"
	admin.Do("FUNCTION", "LOAD", "#!lua name=l\nredis.register_function{function_name='look',callback=function() return 3 end,flags={'no-writes'}} redis.register_function('put',function() return 4 end)")
	sha := string(c.Dial(1).Do("SCRIPT", "LOAD", reads).Str)
	for i := range 3 { // one of them leads
		admin, a := c.Dial(i), c.Dial(i)
		admin.Do("CLIENT", "PAUSE", "60000", "WRITE")
		a.Do("MULTI")
		a.Do("EVAL", reads, "0")
		for _, x := range []struct{ want, got string }{
			{"1) (integer) 1", a.Text("EXEC")},
			{"(integer) 1", a.Text("EVAL", reads, "0")},
			{"(integer) 1", a.Text("EVALSHA", sha, "0")},
			{"(integer) 3", a.Text("FCALL", "Look", "0")},
		} {
			if x.got != x.want {
				t.Errorf("node %d: %s, want %s", i, x.got, x.want)
			}
		}
		admin.Do("CLIENT", "UNPAUSE")
	}
	admin.Do("CLIENT", "PAUSE", "60000", "WRITE")
	a.Send("EVAL", writes, "0")
	b.Send("FCALL", "put", "0")
	if !silent(t, a) || !silent(t, b) {
		t.Error("a script that may write was answered during the pause")
	}
	admin.Do("CLIENT", "UNPAUSE")
	if got := receive(t, a, 1) + receive(t, b, 1); got != "(integer) 2(integer) 4" {
		t.Errorf("after the pause: %s", got)
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, nodetest.Options{})
	admin, a := c.Dial(0), c.Dial(0)
	big := strings.Repeat("x", 2<<20)
	if got := a.Text("SET", "k", big); got != "OK" {
		t.Fatal(got)
	}
	admin.Do("CONFIG", "SET", "proto-max-bulk-len", "1mb")
	a.Do("PING")
	if got := a.Text("SET", "k", big); got != "(error) ERR Protocol error: invalid bulk length" {
		t.Errorf("over proto-max-bulk-len: %s", got)
	}
	admin.Do("CONFIG", "SET", "proto-max-bulk-len", "512mb", "client-query-buffer-limit", "1mb")
	b := c.Dial(0)
	if got := b.Text("SET", "k", big); got != "(error) ERR Protocol error: too big command" {
		t.Errorf("over client-query-buffer-limit: %s", got)
	}
	admin.Do("CONFIG", "SET", "maxclients", "1")
	surplus := c.Dial(0)
	if got := surplus.Text("PING"); got != "(error) ERR max number of clients reached" {
		t.Errorf("over maxclients: %s", got)
	}
	if v, err := surplus.Receive(); !errors.Is(err, io.EOF) {
		t.Errorf("over maxclients it is not closed: %v, %v", v, err)
	}
	admin.Do("CONFIG", "SET", "maxclients", "100", "timeout", "1")
	idle := c.Dial(0)
	if _, err := idle.Receive(); !errors.Is(err, io.EOF) {
		t.Errorf("an idle client after its timeout: %v", err)
	}
}

// A client that waits for a leader that is not there, and gives up, does not hold
// its place until the command has failed.
func TestClientThatWaitsForALeaderMayGo(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, nodetest.Options{Nodes: 3, Shards: 2})
	admin := c.Dial(0)
	admin.Do("CLIENT", "ID")
	c.Stop(1)
	c.Stop(2)
	for _, cmds := range [][]string{
		{"SET k v"}, {"GET k"}, {"MULTI", "INCR k", "EXEC"}, {"WATCH k"},
		{"SET k v", "SET {other}k v"}, // of several shards
		{"SET k v", "SET k w", "GET k"},
	} {
		a := c.Dial(0)
		a.Do("CLIENT", "SETNAME", "waits")
		pipeline(t, a, cmds...)
		listed := func() bool { return strings.Contains(string(admin.Do("CLIENT", "LIST").Str), "name=waits") }
		if !silent(t, a) && len(cmds) == 1 {
			t.Errorf("%q was answered without a majority", cmds)
		}
		if !listed() {
			t.Fatalf("%q: the client is gone already", cmds)
		}
		began := time.Now()
		a.Close()
		for listed() && time.Since(began) < 4*time.Second { // commands are given up after 5 s
		}
		if took := time.Since(began); took > 3*time.Second { // 80 ms, on a machine that has time
			t.Errorf("%q: the client was listed for %v after it had gone", cmds, took)
		}
	}
	if n := admin.Do("CLIENT", "LIST"); strings.Count(string(n.Str), "\n") != 1 {
		t.Errorf("left: %s", n.Str)
	}
}

// An error that is no reply of a shard is hushed, too.
func TestClientReplyOffHushesErrors(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, nodetest.Options{Shards: 4})
	a := c.Dial(0)
	pipeline(t, a, "CLIENT REPLY OFF", "MSET a 1 b 2 c 3 d 4 e 5", "CLIENT REPLY ON", "PING")
	if got := receive(t, a, 2); got != "OK PONG" {
		t.Errorf("after a command over several shards: %s", got)
	}
}

// What has waited stands in the slow log when it is answered.
func TestWhatHasWaitedIsLogged(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, nodetest.Options{})
	a, b := c.Dial(0), c.Dial(0)
	a.Do("CONFIG", "SET", "slowlog-log-slower-than", "0")
	b.Send("BLPOP", "l", "0")
	a.Do("RPUSH", "l", "x")
	receive(t, b, 1)
	if got := a.Text("SLOWLOG", "GET"); !strings.Contains(got, `"BLPOP"`) {
		t.Error(got)
	}
}
