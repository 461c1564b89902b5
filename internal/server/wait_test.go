package server

import (
	"bufio"
	"net"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A client that goes while its command waits is seen to go: its connection ends,
// and its place is free.
func TestWaitingClientIsSeenToGo(t *testing.T) {
	for name, sends := range map[string][]string{
		"one command":         {"PING"},
		"a pipeline":          {"PING", "PING", "CLIENT LIST"},
		"more while it waits": {"PING", "", "PING", "ECHO x"},
		"MULTI":               {"MULTI", "PING", "", "EXEC"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newTestServer(t)
				s.pause.begin(time.Now().Add(time.Hour), true)
				client, _ := dial(s)
				var now []string
				for _, cmd := range sends {
					if cmd == "" {
						send(t, client, now...)
						time.Sleep(3 * patrolEvery)
						now = nil
						continue
					}
					now = append(now, cmd)
				}
				send(t, client, now...)
				synctest.Wait()
				if n := s.stats.blocked.Load(); n != 1 {
					t.Fatalf("%d clients are held", n)
				}
				client.Close()
				time.Sleep(2 * patrolEvery)
				synctest.Wait()
				if len(s.clients()) != 0 || s.stats.blocked.Load() != 0 {
					t.Errorf("%d clients, of which %d are held, %v after it has gone", len(s.clients()), s.stats.blocked.Load(), 2*patrolEvery)
				}
			})
		})
	}
}

// What a client sends while its command waits is executed behind it, in order,
// however much it is.
func TestSentWhileWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestServer(t)
		client, _ := dial(s)
		r := bufio.NewReader(client)
		word := strings.Repeat("x", aheadMax/4)
		for range 3 {
			s.pause.begin(time.Now().Add(time.Second), true)
			send(t, client, "PING 0")
			time.Sleep(3 * patrolEvery) // somebody looks by now
			sent := make(chan struct{})
			go func() {
				send(t, client, "PING 1", "PING "+word, "PING 2", "PING "+word)
				send(t, client, "PING "+word, "PING 3", "PING "+word, "PING 4")
				close(sent)
			}()
			got := strings.ReplaceAll(answers(t, r, 9), word, "x")
			if got != `"0" "1" "x" "2" "x" "x" "3" "x" "4"` {
				t.Errorf("got %s", got)
			}
			<-sent
		}
		client.Close()
	})
}

// Who does not want replies may send what it has and go: all of it is executed.
func TestWhoWantsNoRepliesMayGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestServer(t)
		client, _ := dial(s)
		send(t, client, "CLIENT REPLY OFF")
		synctest.Wait()
		s.pause.begin(time.Now().Add(time.Second), true)
		before := s.stats.commands.Load()
		send(t, client, "PING 1", "PING 2")
		client.Close()
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if n := s.stats.commands.Load() - before; n != 2 || len(s.clients()) != 0 {
			t.Errorf("%d commands were executed, %d clients are left", n, len(s.clients()))
		}
	})
}

// A connection that waits costs no second goroutine before it has waited for
// long, and one then.
func TestLookoutComesLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestServer(t)
		s.pause.begin(time.Now().Add(time.Hour), true)
		client, _ := dial(s)
		send(t, client, "PING")
		synctest.Wait()
		before := goroutines()
		time.Sleep(patrolEvery - 1)
		synctest.Wait()
		if n := goroutines(); n != before {
			t.Errorf("%d goroutines more", n-before)
		}
		time.Sleep(patrolEvery + 1)
		synctest.Wait()
		if n := goroutines(); n != before+1 {
			t.Errorf("%d goroutines more when it is time to look", n-before)
		}
		s.pause.end()
		if got := answers(t, bufio.NewReader(client), 1); got != "PONG" {
			t.Error(got)
		}
		synctest.Wait()
		if n := goroutines(); n != before {
			t.Errorf("%d goroutines more after the wait", n-before)
		}
		client.Close()
	})
}

// goroutines counts those of the test: what tests before it have left ends when it likes.
func goroutines() int {
	stacks := make([]byte, 4<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	return len(regexp.MustCompile(`(?m)^goroutine .*synctest bubble`).FindAll(stacks, -1))
}

// A view that comes when nobody waits for it any more is not left behind.
func TestViewThatComesTooLate(t *testing.T) {
	t.Parallel()
	w := &views{arrived: make(chan viewed, 1)}
	w.leave()
	w.arrive(nil, 0, nil)
	if len(w.arrived) != 0 {
		t.Error("it came after its reader had left")
	}
	w = &views{arrived: make(chan viewed, 1)}
	w.arrive(nil, 0, nil)
	w.leave()
	if len(w.arrived) != 0 {
		t.Error("it came before its reader left")
	}
}

// A client that has been cut off is not killed, and counted, a second time, however
// long its goroutine takes to end.
func TestClientIsKilledOnce(t *testing.T) {
	t.Parallel()
	s := newTestServer(t)
	here, there := net.Pipe()
	defer there.Close()
	c := newConn(s, 7, here) // nobody runs it
	s.mu.Lock()
	s.conns[c.id] = c
	s.mu.Unlock()
	r := request{s: s}
	for _, want := range []int{1, 0} {
		if n := r.killAll(func(*conn) bool { return true }); n != want {
			t.Errorf("%d clients killed, want %d", n, want)
		}
	}
	s.mu.Lock()
	delete(s.conns, c.id)
	s.mu.Unlock()
	c.close()
}
