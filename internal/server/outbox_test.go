package server

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tutti/internal/command"
	"tutti/internal/resp"
)

// A server without shards answers what a node answers by itself.
func newTestServer(t *testing.T) *Server {
	s := New(Config{Table: command.NewTable(), Rand: rand.Uint64N, Wall: func() int64 { return 0 }})
	t.Cleanup(s.Close)
	return s
}

// dial connects a client to the server, over a pipe, and returns both ends.
func dial(s *Server) (client net.Conn, c *conn) {
	client, far := net.Pipe()
	s.start(far)
	all := s.clients()
	return client, all[len(all)-1]
}

func send(t *testing.T, to net.Conn, commands ...string) {
	t.Helper()
	var b []byte
	for _, cmd := range commands {
		b = resp.AppendCommandStrings(b, strings.Fields(cmd)...)
	}
	if _, err := to.Write(b); err != nil {
		t.Fatal(err)
	}
}

// answers returns the next n values that come, as redis-cli prints them.
func answers(t *testing.T, r *bufio.Reader, n int) string {
	t.Helper()
	var list []string
	for range n {
		v, err := resp.ReadValue(r)
		if err != nil {
			t.Fatalf("after %v: %v", list, err)
		}
		list = append(list, v.FormatCLI())
	}
	return strings.Join(list, " ")
}

// raw is a message that is the same in both protocols.
type raw []byte

func (r raw) Encode(int) []byte { return r }

func message(who, n int) []byte {
	b := resp.AppendPush(nil, 3, 2)
	return resp.AppendInt(resp.AppendInt(b, int64(who)), int64(n))
}

// Pushes of many come between the replies to pipelines, never inside one. The
// replies stay in order, and so do the pushes of each.
func TestPushesComeBetweenWholeReplies(t *testing.T) {
	t.Parallel()
	const pushers, pushed, pings = 4, 2000, 5000
	s := newTestServer(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = s.Serve(l) }()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	r := bufio.NewReader(client)
	send(t, client, "HELLO 3")
	answers(t, r, 1)
	c := s.clients()[0]
	var all sync.WaitGroup
	defer all.Wait()
	for who := range pushers {
		all.Go(func() {
			for n := range pushed {
				c.out.push(raw(message(who, n)))
			}
		})
	}
	all.Go(func() {
		var b []byte
		for n := range pings {
			b = resp.AppendCommandStrings(b, "PING", fmt.Sprint(n))
			if n%7 == 0 || n == pings-1 {
				if _, err := client.Write(b); err != nil {
					t.Error(err)
					return
				}
				b = b[:0]
			}
		}
	})
	var next [pushers]int64
	for reply, push := 0, 0; reply < pings || push < pushers*pushed; {
		v, err := resp.ReadValue(r)
		if err != nil {
			t.Fatalf("after %d replies and %d pushes: %v", reply, push, err)
		}
		if v.Kind == resp.KindPush {
			who := v.Elems[0].Int
			if got := v.Elems[1].Int; got != next[who] {
				t.Fatalf("push %d of %d, not %d", got, who, next[who])
			}
			next[who]++
			push++
			continue
		}
		if string(v.Str) != fmt.Sprint(reply) {
			t.Fatalf("reply %q instead of %d", v.Str, reply)
		}
		reply++
	}
}

// A push that comes while a command is executed may be about what that command
// has done or read: it goes behind its reply, with the same call.
func TestPushWaitsForTheReplyBeforeIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestServer(t)
		client, c := dial(s)
		r := bufio.NewReader(client)
		s.cfg.Debug = true
		send(t, client, "HELLO 3", "DEBUG SLEEP 5", "PING")
		synctest.Wait()
		c.out.push(raw(message(1, 1)))
		got := make(chan string)
		go func() { got <- answers(t, r, 4) }()
		synctest.Wait()
		select {
		case v := <-got:
			t.Fatalf("before the command has ended: %s", v)
		default:
		}
		v := <-got
		if !strings.HasSuffix(v, "OK PONG 1) (integer) 1\n2) (integer) 1") {
			t.Errorf("got %q", v)
		}
		// To a client that has nothing executed it goes at once.
		c.out.push(raw(message(1, 2)))
		if v := answers(t, r, 1); v != "1) (integer) 1\n2) (integer) 2" {
			t.Errorf("got %q", v)
		}
		client.Close()
	})
}

// A client that is held is not kept from its messages.
func TestPushWhileHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestServer(t)
		client, c := dial(s)
		r := bufio.NewReader(client)
		s.pause.begin(time.Now().Add(time.Minute), true)
		send(t, client, "PING")
		synctest.Wait()
		c.out.push(raw(message(1, 1)))
		if v := answers(t, r, 2); v != "1) (integer) 1\n2) (integer) 1 PONG" {
			t.Errorf("got %q", v)
		}
		client.Close()
	})
}

// A client that does not read is cut off at the hard bound. Whoever pushes never
// waits for it: here nobody else runs while the test pushes.
func TestSlowReaderIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestServer(t)
		_, c := dial(s)
		began, size, n := time.Now(), 64<<10, 0
		for ; !cut(c); n++ {
			c.out.push(raw(make([]byte, size)))
		}
		if bytes := n * size; bytes <= 32<<20 || bytes > 32<<20+size {
			t.Errorf("cut off when %d bytes waited", bytes)
		}
		c.out.push(raw([]byte("+late\r\n")))
		if took := time.Since(began); took != 0 {
			t.Errorf("pushing took %v", took)
		}
		synctest.Wait()
		if all := s.clients(); len(all) != 0 {
			t.Errorf("there still are %d clients", len(all))
		}
	})
}

// More than the soft bound may wait for a while only.
func TestSlowReaderIsCutInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestServer(t)
		if text := s.config.set([][]byte{[]byte("client-output-buffer-limit"), []byte("pubsub 1mb 100kb 10")}, &s.logs.slow); text != "" {
			t.Fatal(text)
		}
		client, c := dial(s)
		c.out.push(raw(make([]byte, 200<<10)))
		time.Sleep(9 * time.Second)
		if c.out.push(raw([]byte{'x'})); cut(c) {
			t.Fatal("cut off after 9 of 10 seconds")
		}
		if _, err := io.ReadFull(client, make([]byte, 200<<10)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		c.out.push(raw(make([]byte, 200<<10))) // the count begins anew
		time.Sleep(9 * time.Second)
		if c.out.push(raw([]byte{'x'})); cut(c) {
			t.Fatal("cut off although it has read meanwhile")
		}
		time.Sleep(2 * time.Second)
		if c.out.push(raw([]byte{'x'})); !cut(c) {
			t.Error("not cut off after 11 seconds")
		}
	})
}

// A single byte that is not taken for long ends the connection.
func TestReaderOfNothingIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestServer(t)
		_, c := dial(s)
		c.out.push(raw([]byte{'x'}))
		time.Sleep(writeTimeout + time.Second)
		synctest.Wait()
		if len(s.clients()) != 0 {
			t.Error("the client is still there")
		}
	})
}

func TestHardBoundOfReplies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestServer(t)
		client, _ := dial(s)
		r := bufio.NewReader(client)
		if text := s.config.set([][]byte{[]byte("client-output-buffer-limit"), []byte("normal 1000 0 0")}, &s.logs.slow); text != "" {
			t.Fatal(text)
		}
		send(t, client, "PING "+strings.Repeat("x", 500))
		answers(t, r, 1)
		send(t, client, "PING "+strings.Repeat("x", 2000))
		if _, err := r.ReadByte(); err != io.EOF {
			t.Errorf("a reply beyond the bound: %v", err)
		}
	})
}

func cut(c *conn) bool {
	select {
	case <-c.gone:
		return true
	default:
		return false
	}
}
