package server

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tutti/internal/command"
	"tutti/internal/pubsub"
)

// step is a line that a client sends and what it is sent then, as redis-cli prints it.
type step struct{ line, want string }

// converse has a client of a server without shards go through steps.
func converse(t *testing.T, steps []step) {
	t.Helper()
	s := newTestServer(t)
	client, _ := dial(s)
	defer client.Close()
	r := bufio.NewReader(client)
	for _, x := range steps {
		if x.line != "" {
			send(t, client, x.line)
		}
		var got []string
		for range strings.Count(x.want, ";") + 1 {
			got = append(got, strings.Join(strings.Fields(answers(t, r, 1)), " "))
		}
		if all := strings.Join(got, "; "); all != x.want {
			t.Fatalf("%s: %s, not %s", x.line, all, x.want)
		}
	}
}

const onlyThese = ": only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context"

func TestListeningInRESP2(t *testing.T) {
	t.Parallel()
	converse(t, []step{
		{"UNSUBSCRIBE", `1) "unsubscribe" 2) (nil) 3) (integer) 0`},
		{"SUBSCRIBE a b a", `1) "subscribe" 2) "a" 3) (integer) 1; 1) "subscribe" 2) "b" 3) (integer) 2; 1) "subscribe" 2) "a" 3) (integer) 2`},
		{"PSUBSCRIBE p*", `1) "psubscribe" 2) "p*" 3) (integer) 3`},
		{"SSUBSCRIBE s", `1) "ssubscribe" 2) "s" 3) (integer) 1`},
		{"GET k", "(error) ERR Can't execute 'get'" + onlyThese},
		{"CONFIG GET x", "(error) ERR Can't execute 'config|get'" + onlyThese},
		{"HELLO 3", "(error) ERR Can't execute 'hello'" + onlyThese},
		{"MULTI", "(error) ERR Can't execute 'multi'" + onlyThese},
		{"PING", `1) "pong" 2) ""`},
		{"PING x", `1) "pong" 2) "x"`},
		{"PING x y", "(error) ERR wrong number of arguments for 'ping' command"},
		{"UNSUBSCRIBE c", `1) "unsubscribe" 2) "c" 3) (integer) 3`},
		{"UNSUBSCRIBE", `1) "unsubscribe" 2) "a" 3) (integer) 2; 1) "unsubscribe" 2) "b" 3) (integer) 1`},
		{"PUNSUBSCRIBE p*", `1) "punsubscribe" 2) "p*" 3) (integer) 0`},
		{"ECHO x", "(error) ERR Can't execute 'echo'" + onlyThese},
		{"SUNSUBSCRIBE", `1) "sunsubscribe" 2) "s" 3) (integer) 0`},
		{"ECHO x", `"x"`},
		{"SUBSCRIBE a", `1) "subscribe" 2) "a" 3) (integer) 1`},
		{"RESET", "RESET"},
		{"PUBLISH a x", "(integer) 0"},
		{"PUBSUB CHANNELS", "(empty array)"},
	})
}

func TestListeningInRESP3GoesOnBesideCommands(t *testing.T) {
	t.Parallel()
	converse(t, []step{
		{"HELLO 3", `1# "server" => "redis" 2# "version" => "7.2.4" 3# "proto" => (integer) 3 4# "id" => (integer) 1 5# "mode" => "standalone" 6# "role" => "master" 7# "modules" => (empty array)`},
		{"SUBSCRIBE a", `1) "subscribe" 2) "a" 3) (integer) 1`},
		{"PUBLISH a x", `(integer) 1; 1) "message" 2) "a" 3) "x"`},
		{"PING", "PONG"},
		{"PUBSUB NUMSUB a b", `1) "a" 2) (integer) 1 3) "b" 4) (integer) 0`},
		{"PUBSUB NUMPAT", "(integer) 0"},
		{"UNSUBSCRIBE a", `1) "unsubscribe" 2) "a" 3) (integer) 0`},
		{"PUBLISH a z", "(integer) 0"},
	})
}

// CLIENT REPLY is about replies: what a client listens to it is sent all the same.
func TestListeningWithoutReplies(t *testing.T) {
	t.Parallel()
	s := newTestServer(t)
	client, _ := dial(s)
	defer client.Close()
	r := bufio.NewReader(client)
	send(t, client, "CLIENT REPLY OFF", "PING", "SUBSCRIBE a")
	if got := answers(t, r, 1); !strings.Contains(got, `"subscribe"`) {
		t.Fatal(got)
	}
	s.cfg.Messages.Publish(pubsub.Channel, []byte("a"), []byte("x"))
	if got := answers(t, r, 1); !strings.Contains(got, `"message"`) {
		t.Fatal(got)
	}
}

// What a client is told that it hears no more, or in another protocol, comes behind
// the messages of before: it would take them for replies.
func TestMessagesComeBeforeTheEndOfListening(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		begin       []string
		line        string
		first, then string
	}{
		{nil, "UNSUBSCRIBE a", `"message"`, `"unsubscribe"`},
		{nil, "RESET", `"message"`, "RESET"},
		{[]string{"HELLO 3"}, "HELLO 2", `"message"`, `"proto"`},
	} {
		s := newTestServer(t)
		client, conn := dial(s)
		r := bufio.NewReader(client)
		for _, line := range append(c.begin, "SUBSCRIBE a") {
			send(t, client, line)
			answers(t, r, 1)
		}
		send(t, client, "PING") // it has been answered: the outbox is, or will soon be, at rest
		answers(t, r, 1)
		conn.out.hold()
		s.cfg.Messages.Publish(pubsub.Channel, []byte("a"), []byte("x"))
		send(t, client, c.line)
		for _, want := range []string{c.first, c.then} {
			if got := answers(t, r, 1); !strings.Contains(got, want) {
				t.Fatalf("%s: %s, not %s", c.line, got, want)
			}
		}
		client.Close()
	}
}

// Who does not read is cut off; who publishes and who else listens is not held up.
func TestASlowSubscriberIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Config{Table: command.NewTable(), Rand: rand.Uint64N, Wall: func() int64 { return 0 }})
		defer s.Close()
		join := func() (net.Conn, *bufio.Reader, *conn) {
			client, c := dial(s)
			r := bufio.NewReader(client)
			send(t, client, "SUBSCRIBE a")
			answers(t, r, 1)
			return client, r, c
		}
		slow, _, cut := join()
		defer slow.Close()
		fast, r, _ := join()
		defer fast.Close()
		if text := s.config.set([][]byte{[]byte("client-output-buffer-limit"), []byte("pubsub 100000 0 0")}, &s.logs.slow); text != "" {
			t.Fatal(text)
		}
		payload := make([]byte, 10_000)
		receivers := ""
		for range 20 {
			n := s.cfg.Messages.Publish(pubsub.Channel, []byte("a"), payload)
			receivers += fmt.Sprint(n)
			if got := answers(t, r, 1); !strings.Contains(got, `"message"`) {
				t.Fatal(got)
			}
			synctest.Wait()
		}
		select {
		case <-cut.gone:
		case <-time.After(time.Second):
			t.Fatal("the slow one is still there")
		}
		if receivers != "22222222221111111111" {
			t.Errorf("receivers: %s", receivers)
		}
	})
}

// A setting of idle clients does not concern those that listen.
func TestWhoListensIsNotIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Config{Table: command.NewTable(), Rand: rand.Uint64N, Wall: func() int64 { return 0 }})
		defer s.Close()
		s.config.set([][]byte{[]byte("timeout"), []byte("1")}, &s.logs.slow)
		client, c := dial(s)
		defer client.Close()
		r := bufio.NewReader(client)
		send(t, client, "SUBSCRIBE a")
		answers(t, r, 1)
		time.Sleep(time.Minute)
		synctest.Wait()
		if c.left() {
			t.Error("it was cut off")
		}
	})
}
