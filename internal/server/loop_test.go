package server

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"tutti/internal/server/epoll"
)

// fedPipe is a pipe whose far end a loop may serve, as the connections of a
// simulation.
type fedPipe struct{ net.Conn }

func (fedPipe) Fed() bool { return true }

// dialLoop connects a client whose connection a loop serves.
func dialLoop(t *testing.T, s *Server) (client net.Conn, r *bufio.Reader, c *conn) {
	t.Helper()
	client, far := net.Pipe()
	s.start(fedPipe{far})
	all := s.clients()
	c = all[len(all)-1]
	time.Sleep(2 * stayIdle) // it says nothing
	synctest.Wait()
	if !served(c) {
		t.Fatal("no loop serves it")
	}
	return client, bufio.NewReader(client), c
}

// served reports whether a loop serves a client, while nothing moves. The lock is
// for the race detector, which can't know of that: who goes to the loop later has
// it.
func served(c *conn) bool {
	c.seat.loop.mu.Lock()
	defer c.seat.loop.mu.Unlock()
	return c.seat.here
}

// A client goes to a goroutine with what is not plain, and comes back when it is
// plain again: after some pipelines, or when it has sent nothing for a while.
func TestClientComesAndGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestServer(t)
		client, r, c := dialLoop(t, s)
		defer client.Close()
		say := func(want string, lines ...string) {
			t.Helper()
			send(t, client, lines...)
			if got := answers(t, r, len(lines)); got != want {
				t.Errorf("%q: got %s, want %s", lines, got, want)
			}
			synctest.Wait()
		}
		at := func(what string, loop bool) {
			t.Helper()
			if now := served(c); now != loop {
				t.Errorf("%s: a loop serves it: %v", what, now)
			}
		}
		say(`"x" PONG OK`, "ECHO x", "PING", "SELECT 3")
		at("plain", true)
		say(`PONG OK PONG`, "PING", "CLIENT SETNAME n", "PING")
		at("something not plain", false)
		for range stayRounds - 1 {
			say("PONG", "PING")
			at("it may have more of that", false)
		}
		say("PONG", "PING")
		at("plain for a while", true)
		say("OK", "MULTI")
		time.Sleep(3 * stayIdle)
		at("in MULTI", false)
		say("QUEUED", "PING")
		say("OK", "DISCARD")
		at("behind MULTI", false)
		time.Sleep(2 * stayIdle)
		synctest.Wait()
		at("idle", true)
		if line := c.line(nil); c.session.db != 3 {
			t.Errorf("its session is %s", line)
		}
	})
}

// What a loop refuses, or does not understand, is answered as ever.
func TestLoopLeavesTheOddToOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestServer(t)
		client, r, _ := dialLoop(t, s)
		defer client.Close()
		send(t, client, "PING", "NOSUCH", "ECHO", "PING 2")
		want := `PONG (error) ERR unknown command 'NOSUCH', with args beginning with:  (error) ERR wrong number of arguments for 'echo' command "2"`
		if got := answers(t, r, 4); got != want {
			t.Errorf("got %s", got)
		}
		other, r, _ := dialLoop(t, s)
		if _, err := other.Write([]byte("PING\r\n*1\r\n:1\r\n")); err != nil {
			t.Fatal(err)
		}
		if got := answers(t, r, 2); got != "PONG (error) ERR Protocol error: expected '$', got ':'" {
			t.Errorf("got %s", got)
		}
		if _, err := r.ReadByte(); !errors.Is(err, io.EOF) {
			t.Errorf("behind nonsense: %v", err)
		}
	})
}

// A command whose end is missing has its time, and no more.
func TestHalfACommandHasItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestServer(t)
		for _, slow := range []time.Duration{frameTimeout / 2, 2 * frameTimeout} {
			client, r, _ := dialLoop(t, s)
			_, _ = client.Write([]byte("*2\r\n$4\r\nECHO\r\n$1\r\n"))
			time.Sleep(slow)
			synctest.Wait()
			_, err := client.Write([]byte("x\r\n"))
			if slow < frameTimeout {
				if got := answers(t, r, 1); got != `"x"` {
					t.Errorf("got %s", got)
				}
			} else if err == nil {
				t.Errorf("it is still there after %v", slow)
			}
			client.Close()
		}
	})
}

// A client that sends without end, and nothing that makes a command, is not read
// from by the loop for ever, nor forgotten.
func TestLoopTakesTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestServer(t)
		client, r, c := dialLoop(t, s)
		defer client.Close()
		c.seat.readable, c.seat.taken = true, turnBytes
		if n, err := c.seat.Read(make([]byte, 1)); n != 0 || !errors.Is(err, epoll.ErrAgain) || !c.seat.readable {
			t.Errorf("more than its turn: %d, %v", n, err)
		}
		for range 3 * turnBytes / 4096 {
			if _, err := client.Write(bytes.Repeat([]byte("\r\n"), 2048)); err != nil {
				t.Fatal(err)
			}
		}
		send(t, client, "PING")
		if got := answers(t, r, 1); got != "PONG" {
			t.Errorf("got %s", got)
		}
	})
}

// A push that comes while a loop serves the client is sent, and between replies.
func TestPushToAClientOfALoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestServer(t)
		client, r, c := dialLoop(t, s)
		defer client.Close()
		go c.out.push(raw(message(1, 1)))
		if got := answers(t, r, 1); got != "1) (integer) 1\n2) (integer) 1" {
			t.Errorf("got %s", got)
		}
		send(t, client, "PING")
		if got := answers(t, r, 1); got != "PONG" {
			t.Errorf("got %s", got)
		}
	})
}

// CLIENT PAUSE holds the clients of loops, too, and lets them go.
func TestPauseHoldsClientsOfALoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestServer(t)
		client, r, c := dialLoop(t, s)
		defer client.Close()
		s.pause.begin(time.Now().Add(time.Second), true)
		send(t, client, "PING")
		synctest.Wait()
		if n := s.stats.blocked.Load(); n != 1 || c.seat.here {
			t.Errorf("%d clients are held", n)
		}
		began := time.Now()
		if got := answers(t, r, 1); got != "PONG" || time.Since(began) < time.Second {
			t.Errorf("got %s after %v", got, time.Since(began))
		}
	})
}

// Clients of a loop are killed, and end with the server, without a word.
func TestClientsOfALoopEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestServer(t)
		_, r, c := dialLoop(t, s)
		_, other, _ := dialLoop(t, s)
		c.end(errKilled)
		if _, err := r.ReadByte(); !errors.Is(err, io.EOF) {
			t.Errorf("killed: %v", err)
		}
		synctest.Wait()
		if n := len(s.clients()); n != 1 {
			t.Errorf("%d clients are left", n)
		}
		s.Close()
		if _, err := other.ReadByte(); !errors.Is(err, io.EOF) {
			t.Errorf("closed: %v", err)
		}
		if n := len(s.clients()); n != 0 {
			t.Errorf("%d clients are left", n)
		}
	})
}

// A server that drains ends the clients of its loops, and waits for nothing else.
func TestDrainOfLoops(t *testing.T) {
	t.Parallel()
	s := newTestServer(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = s.Serve(l) }()
	var clients []net.Conn
	for range 5 {
		client, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		for range 10 {
			send(t, client, "PING")
			if got := answers(t, bufio.NewReader(client), 1); got != "PONG" {
				t.Fatal(got)
			}
		}
		clients = append(clients, client)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	s.Drain(ctx)
	if ctx.Err() != nil || len(s.clients()) != 0 {
		t.Errorf("%v, %d clients are left", ctx.Err(), len(s.clients()))
	}
	for _, client := range clients {
		_ = client.SetReadDeadline(time.Now().Add(time.Minute))
		if _, err := client.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("a client that was drained: %v", err)
		}
	}
}
