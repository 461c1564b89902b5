package server_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"tutti/internal/group"
	"tutti/internal/node/nodetest"
	"tutti/internal/resp"
)

// TestRepliesStayUntilTheyAreTaken has clients ask for large values, of which the first one
// takes its own only when the others have theirs: what it is sent then is still its own.
func TestRepliesStayUntilTheyAreTaken(t *testing.T) {
	t.Parallel()
	const size, arrays = 1 << 20, 6
	c := nodetest.Start(t, nodetest.Options{Shards: 1})
	first := c.Dial(0)
	value := func(key string) string { return strings.Repeat(key, size) }
	row := strings.Repeat("r", size/16) // large, but not so large that it lies in parts
	for _, set := range [][]string{{"SET", "a", value("a")}, {"SET", "b", value("b")}, {"SET", "row", row}} {
		if got := first.Text(set...); got != "OK" {
			t.Fatal(got)
		}
	}
	for round := range 16 {
		late := c.Dial(0)
		if err := late.Conn.Conn.(*net.TCPConn).SetReadBuffer(256 << 10); err != nil {
			t.Fatal(err)
		}
		// There is an error before it, arrays that hold large values, a number, and a row: more
		// than what the two sockets take.
		pipeline := [][]string{{"HGET", "a", "f"}, {"GET", "a"}}
		for range arrays {
			pipeline = append(pipeline, []string{"MGET", "a", "none", "a"})
		}
		sendAll(t, late, append(pipeline, []string{"STRLEN", "b"}, []string{"GET", "row"}))
		bulk := func(key string) string { return fmt.Sprintf("$%d\r\n%s\r\n", size, value(key)) }
		want := "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n" + bulk("a") +
			strings.Repeat("*3\r\n"+bulk("a")+"$-1\r\n"+bulk("a"), arrays) + fmt.Sprintf(":%d\r\n$%d\r\n%s\r\n", size, len(row), row)
		got := make([]byte, len(want))
		if _, err := io.ReadFull(late.Conn.Conn, got[:1]); err != nil {
			t.Fatal(err)
		}
		var others sync.WaitGroup
		for range 4 {
			other := c.Dial(0)
			others.Go(func() {
				defer other.Close()
				got := make([]byte, len("*2\r\n")+2*len(bulk("b")))
				for range 4 {
					sendAll(t, other, [][]string{{"MGET", "b", "b"}})
					if _, err := io.ReadFull(other.Conn.Conn, got); err != nil || bytes.IndexByte(got, 'a') >= 0 {
						t.Errorf("round %d: another client is sent %.20q, %v", round, got, err)
					}
				}
			})
		}
		others.Wait()
		if _, err := io.ReadFull(late.Conn.Conn, got[1:]); err != nil {
			t.Fatal(err)
		}
		if string(got) != want {
			i := 0
			for got[i] == want[i] {
				i++
			}
			t.Fatalf("round %d: byte %d is of %.20q, want %.20q", round, i, got[i:], want[i:])
		}
		late.Close()
	}
}

// live is how many bytes of the heap are in use, without garbage.
func live() int {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

func sendAll(t *testing.T, to io.Writer, pipeline [][]string) {
	t.Helper()
	var b []byte
	for _, args := range pipeline {
		b = resp.AppendCommandStrings(b, args...)
	}
	if _, err := to.Write(b); err != nil {
		t.Fatal(err)
	}
}

// A short pipeline asks for large values: they are read as the client takes
// them, and all arrive.
func TestLargeRepliesAreReadAsTheyAreTaken(t *testing.T) {
	const size, gets = 4 << 20, 64 // 256 MiB
	for _, shards := range []int{1, 4} {
		c := nodetest.Start(t, nodetest.Options{Shards: shards, OnDisk: true}) // files in memory would count
		a := c.Dial(0)
		const keys = "abcdefgh"
		for _, k := range keys {
			if got := a.Text("SET", string(k), strings.Repeat(string(k), size)); got != "OK" {
				t.Fatal(got)
			}
		}
		before := live()
		var pipeline [][]string
		for i := range gets {
			pipeline = append(pipeline, []string{"GET", keys[i%len(keys):][:1]})
		}
		sendAll(t, a, append(pipeline, []string{"PING"}))
		// With the race detector, beside other tests, they take more than a minute.
		_ = a.SetDeadline(time.Now().Add(4 * time.Minute))
		r := bufio.NewReader(a.Conn) // one that keeps no values
		if _, err := r.Peek(1); err != nil {
			t.Fatal(err)
		}
		if more := live() - before; more > gets*size/2 {
			t.Errorf("%d shards: %d MiB for replies of %d MiB when the first byte has come", shards, more>>20, gets*size>>20)
		}
		for i := range gets {
			if line, err := r.ReadString('\n'); err != nil || line != fmt.Sprintf("$%d\r\n", size) {
				t.Fatalf("reply %d begins with %q, %v", i, line, err)
			}
			if b, err := r.Peek(1); err != nil || b[0] != keys[i%len(keys)] {
				t.Fatalf("reply %d is of %q, %v", i, b, err)
			}
			if _, err := r.Discard(size + 2); err != nil {
				t.Fatal(err)
			}
		}
		if line, err := r.ReadString('\n'); err != nil || line != "+PONG\r\n" {
			t.Errorf("behind them: %q %v", line, err)
		}
	}
}

// What must be evaluated at once has a limit, and says which commands it hit.
func TestRepliesOfOneGroupAreBounded(t *testing.T) {
	c := nodetest.Start(t, nodetest.Options{})
	a := c.Dial(0)
	a.Do("SET", "big", strings.Repeat("x", 8<<20))
	fit := group.RepliesMax >> 23 // the last one goes beyond, by its head
	check := func(what string, at int, v string) {
		t.Helper()
		if want := "(error) " + group.TextReplies; at >= fit && v != want || at < fit && strings.HasPrefix(v, "(error)") {
			t.Errorf("%s: reply %d is %.80s", what, at, v)
		}
	}
	var pipeline [][]string
	for range fit + 2 {
		pipeline = append(pipeline, []string{"GET", "big"})
	}
	sendAll(t, a, append(pipeline, []string{"SET", "n", "1"}))
	for i := range fit + 3 {
		v, err := a.Receive()
		if err != nil {
			t.Fatal(err)
		}
		if v.IsError() { // they are made one after the other
			t.Errorf("before a write: reply %d is %.80s", i, v.FormatCLI())
		}
	}
	if got := a.Text("EXISTS", "n"); got != "(integer) 1" {
		t.Errorf("the write behind them: %s", got)
	}
	sendAll(t, a, append(append([][]string{{"MULTI"}}, pipeline...), []string{"EXEC"}))
	for range fit + 3 { // OK and QUEUED
		if v, err := a.Receive(); err != nil || v.IsError() {
			t.Fatal(v, err)
		}
	}
	v, err := a.Receive()
	if err != nil || len(v.Elems) != fit+2 {
		t.Fatalf("EXEC: %d replies, %v", len(v.Elems), err)
	}
	for i, e := range v.Elems {
		check("in a transaction", i, e.FormatCLI())
	}
	// One that writes is not left half done.
	sendAll(t, a, append(append([][]string{{"MULTI"}, {"SET", "a", "1"}}, pipeline...), []string{"SET", "b", "2"}, []string{"EXEC"}))
	for range fit + 5 {
		if v, err := a.Receive(); err != nil || v.IsError() {
			t.Fatal(v, err)
		}
	}
	if v, err = a.Receive(); err != nil || len(v.Elems) != fit+4 {
		t.Fatalf("EXEC: %d replies, %v", len(v.Elems), err)
	}
	for i, e := range v.Elems[1 : fit+3] {
		check("beside writes", i, e.FormatCLI())
	}
	if got := v.Elems[fit+3].FormatCLI(); got != "OK" {
		t.Errorf("the last write of a transaction: %.80s", got)
	}
	if got := a.Text("MGET", "a", "b"); got != "1) \"1\"\n2) \"2\"" {
		t.Errorf("after it: %s", got)
	}
}

// Replies of several shards come in rounds if those of one are large: what one
// shard has answered in an earlier round stays as it was.
func TestRepliesOfSeveralShardsStayAsTheyWere(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, nodetest.Options{Shards: 4})
	a := c.Dial(0)
	values := map[string]string{}
	set := func(key, value string) {
		t.Helper()
		values[key] = value
		if got := a.Text("SET", key, value); got != "OK" {
			t.Fatal(got)
		}
	}
	for _, k := range []string{"a", "b", "c", "d"} {
		set("{big}"+k, strings.Repeat(k, 1<<20))
	}
	var small, mixed [][]string
	for i := range 16 {
		key := fmt.Sprint("small-", i)
		set(key, fmt.Sprint("value-", i))
		small = append(small, []string{"GET", key})
		mixed = append(mixed, []string{"GET", "{big}" + string(rune('a'+i%4))}, []string{"GET", key})
	}
	check := func(pipeline [][]string) {
		t.Helper()
		sendAll(t, a, pipeline)
		for i, cmd := range pipeline {
			v, err := a.Receive()
			if want := values[cmd[1]]; err != nil || string(v.Str) != want {
				t.Fatalf("reply %d, of %s, is %.20q, not %.20q; %v", i, cmd[1], v.Str, want, err)
			}
		}
	}
	for range 10 {
		check(small) // whatever is kept for replies is large enough for these
		check(small)
		check(mixed)
	}
}
