package server

import (
	"bufio"
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A line shows a command as Redis does, without what must not be seen, and in a size
// that is bounded.
func TestMonitorLine(t *testing.T) {
	t.Parallel()
	table := newTestServer(t).cfg.Table
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"set", "k", "a b"}, `"set" "k" "a b"`},
		{[]string{"SET", "", "\"\\\n\r\t\a\b\x00\x7f\xc3\xa9~"}, `"SET" "" "\"\\\n\r\t\a\b\x00\x7f\xc3\xa9~"`},
		{[]string{"auth", "name", "word"}, `"auth" "(redacted)" "(redacted)"`},
		{[]string{"hello", "3", "auth", "name", "word"}, `"hello" "3" "auth" "(redacted)" "(redacted)"`},
		{[]string{"set", strings.Repeat("k", shownBytesMax-8), "12345678"}, `"set" "` + strings.Repeat("k", shownBytesMax-8) + `" "12345... (3 more bytes)"`},
		{[]string{"mset", strings.Repeat("k", shownBytesMax), "v", "k", "v"}, `"mset" "` + strings.Repeat("k", shownBytesMax-4) + `... (4 more bytes)" "... (3 more arguments)"`},
	} {
		args := make([][]byte, len(c.args))
		for i, a := range c.args {
			args[i] = []byte(a)
		}
		cmd, text := table.Lookup(args)
		if cmd == nil {
			t.Fatal(text)
		}
		got := string(newMonitorLine(1700000000123, 3, "1.2.3.4:5", cmd, args))
		if want := "+1700000000.123000 [3 1.2.3.4:5] " + c.want + "\r\n"; got != want {
			t.Errorf("%.300q, not %.300q", got, want)
		}
	}
}

// Nobody waits for a client that monitors and does not read: it is cut off, and
// then commands cost nothing more again.
func TestSlowMonitorIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestServer(t)
		if text := s.config.set([][]byte{[]byte("client-output-buffer-limit"), []byte("pubsub 100000 0 0")}, &s.logs.slow); text != "" {
			t.Fatal(text)
		}
		slow, c := dial(s)
		send(t, slow, "monitor")
		if got := answers(t, bufio.NewReader(slow), 1); got != "OK" {
			t.Fatal(got)
		}
		other, _ := dial(s)
		r, began := bufio.NewReader(other), time.Now()
		long := string(bytes.Repeat([]byte{'x'}, 10_000))
		for range 10 {
			if cut(c) {
				t.Fatal("cut off within its bound")
			}
			send(t, other, "echo "+long)
			answers(t, r, 1)
		}
		synctest.Wait()
		if !cut(c) {
			t.Error("not cut off beyond its bound")
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("others waited for %v", took)
		}
		if n := s.logs.monitors.n.Load(); n != 0 {
			t.Errorf("there still are %d that monitor", n)
		}
	})
}

// A client that monitors and sends nothing is not idle.
func TestMonitorIsNotIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestServer(t)
		if text := s.config.set([][]byte{[]byte("timeout"), []byte("10")}, &s.logs.slow); text != "" {
			t.Fatal(text)
		}
		monitors, c := dial(s)
		send(t, monitors, "monitor")
		r := bufio.NewReader(monitors)
		answers(t, r, 1)
		_, idle := dial(s)
		time.Sleep(time.Minute)
		if cut(c) || !cut(idle) {
			t.Errorf("who monitors is cut off: %v, who is idle: %v", cut(c), cut(idle))
		}
	})
}
