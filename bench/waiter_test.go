package main

import (
	"bufio"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// A value is taken whole, whatever comes behind it.
func TestAppendReply(t *testing.T) {
	for _, value := range []string{"+OK\r\n", "-ERR no\r\n", ":7\r\n", "$3\r\na\r\n\r\n", "$-1\r\n", "*-1\r\n", "*0\r\n", "_\r\n", "#t\r\n",
		"*2\r\n$1\r\na\r\n*1\r\n:1\r\n", "%1\r\n+k\r\n*2\r\n:1\r\n:2\r\n", "|1\r\n+k\r\n+v\r\n:7\r\n", ">2\r\n+a\r\n+b\r\n"} {
		got, err := appendReply(nil, bufio.NewReader(strings.NewReader(value+"+NEXT\r\n")))
		if err != nil || string(got) != value {
			t.Errorf("%q: took %q, %v", value, got, err)
		}
	}
}

// What has arrived goes together; a transaction that is open is not waited for.
func TestBatch(t *testing.T) {
	command := func(words ...string) string {
		var b strings.Builder
		b.WriteString("*" + string(rune('0'+len(words))) + "\r\n")
		for _, w := range words {
			b.WriteString("$" + string(rune('0'+len(w))) + "\r\n" + w + "\r\n")
		}
		return b.String()
	}
	for _, x := range []struct {
		sent    []string
		inMulti bool
		listens bool
	}{
		{[]string{command("SET", "a", "1"), command("GET", "a")}, false, false},
		{[]string{command("multi"), command("SET", "a", "1")}, true, false},
		{[]string{command("MULTI"), command("SET", "a", "1"), command("EXEC")}, false, false},
		{[]string{command("SUBSCRIBE", "a")}, false, true},
	} {
		inMulti := false
		all := strings.Join(x.sent, "")
		sent, n, listens, err := batch(bufio.NewReader(strings.NewReader(all)), &inMulti)
		if err != nil || string(sent) != all || n != len(x.sent) || inMulti != x.inMulti || listens != x.listens {
			t.Errorf("%q: %d commands, in MULTI %t, listens %t, %v", sent, n, inMulti, listens, err)
		}
	}
}

// A client is answered when a second copy has what it wrote, and never if none has.
func TestWaiter(t *testing.T) {
	for copies, want := range map[string]string{":1\r\n": "+OK\r\n:7\r\n", ":0\r\n": ""} {
		redis, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		seen := make(chan string, 1)
		go func() {
			c, err := redis.Accept()
			if err != nil {
				return
			}
			defer c.Close()
			in := bufio.NewReader(c)
			var all []byte
			for range 3 { // SET, INCR, WAIT
				if all, err = appendReply(all, in); err != nil {
					return
				}
			}
			seen <- string(all)
			_, _ = c.Write([]byte("+OK\r\n:7\r\n" + copies))
			_, _ = in.ReadByte() // until the other side hangs up
		}()
		w, err := startWaiter(redis.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		client, err := net.Dial("tcp", w.addr())
		if err != nil {
			t.Fatal(err)
		}
		const sent = "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n*2\r\n$4\r\nINCR\r\n$1\r\nb\r\n"
		if _, err := client.Write([]byte(sent)); err != nil {
			t.Fatal(err)
		}
		if err := client.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(want)+1)
		n, err := io.ReadAtLeast(client, got, max(len(want), 1))
		if string(got[:n]) != want || (want == "") != errors.Is(err, io.EOF) {
			t.Errorf("%q copies: answered %q, %v", copies, got[:n], err)
		}
		if all := <-seen; all != sent+"*3\r\n$4\r\nWAIT\r\n$1\r\n1\r\n$4\r\n1000\r\n" {
			t.Errorf("Redis was asked %q", all)
		}
		client.Close()
		w.l.Close()
		redis.Close()
	}
}
