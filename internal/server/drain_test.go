package server

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tutti/internal/command"
	"tutti/internal/resp"
)

// drained begins a drain, and returns when all clients have been asked to leave.
// The channel is closed when it has ended.
func drained(t *testing.T, s *Server) <-chan struct{} {
	t.Helper()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.Drain(t.Context())
	}()
	synctest.Wait()
	return ended
}

// closes checks that the server has closed the connection, having sent nothing more.
func closes(t *testing.T, r *bufio.Reader) {
	t.Helper()
	if b, err := r.ReadByte(); !errors.Is(err, io.EOF) {
		t.Errorf("got %q, %v; want the end", b, err)
	}
}

// sendLater sends commands which the server need not read at once: a pipe holds
// nothing, so they wait.
func sendLater(to net.Conn, commands ...string) {
	var b []byte
	for _, cmd := range commands {
		b = resp.AppendCommandStrings(b, strings.Fields(cmd)...)
	}
	go func() { _, _ = to.Write(b) }()
}

func TestDrainClosesIdleClientsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestServer(t)
		client, _ := dial(s)
		defer client.Close()
		began := time.Now()
		ended := drained(t, s)
		closes(t, bufio.NewReader(client))
		<-ended
		if took := time.Since(began); took > lastLook {
			t.Errorf("after %v", took)
		}
	})
}

// What has arrived and was not read yet, since the command before it took its time,
// is answered.
func TestDrainAnswersWhatHasArrived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestServer(t)
		client, _ := dial(s)
		defer client.Close()
		s.pause.begin(time.Now().Add(time.Hour), true)
		send(t, client, "PING")
		synctest.Wait()
		sendLater(client, "ECHO again")
		synctest.Wait()
		ended := drained(t, s)
		s.pause.end()
		r := bufio.NewReader(client)
		if got := answers(t, r, 2); got != `PONG "again"` {
			t.Error(got)
		}
		closes(t, r)
		<-ended
	})
}

// A client that sends one command after the other is closed behind a reply.
func TestDrainEndsBusyClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestServer(t)
		client, _ := dial(s)
		defer client.Close()
		began, r := time.Now(), bufio.NewReader(client)
		ended := drained(t, s)
		for n := 0; ; n++ {
			if _, err := client.Write(resp.AppendCommandStrings(nil, "PING")); err != nil {
				if took := time.Since(began); n == 0 || took > settleMax+lastLook {
					t.Errorf("after %d commands and %v", n, took)
				}
				break
			}
			if got := answers(t, r, 1); got != "PONG" {
				t.Fatal(got)
			}
			time.Sleep(time.Millisecond)
		}
		<-ended
	})
}

// Whoever has begun a transaction, or a command, may end it.
func TestDrainLetsClientsFinish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestServer(t)
		client, _ := dial(s)
		defer client.Close()
		r := bufio.NewReader(client)
		send(t, client, "MULTI", "PING")
		answers(t, r, 2)
		half, _ := dial(s)
		defer half.Close()
		whole := resp.AppendCommandStrings(nil, "ECHO", "whole")
		if _, err := half.Write(whole[:10]); err != nil {
			t.Fatal(err)
		}
		ended := drained(t, s)
		time.Sleep(finishMax / 2)
		send(t, client, "DISCARD") // to execute it, it would take a shard
		if got := answers(t, r, 1); got != "OK" {
			t.Error(got)
		}
		closes(t, r)
		if _, err := half.Write(whole[10:]); err != nil {
			t.Fatal(err)
		}
		r = bufio.NewReader(half)
		if got := answers(t, r, 1); got != `"whole"` {
			t.Error(got)
		}
		closes(t, r)
		<-ended
	})
}

func TestDrainDoesNotWaitForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestServer(t)
		client, _ := dial(s)
		defer client.Close()
		r := bufio.NewReader(client)
		send(t, client, "MULTI")
		answers(t, r, 1)
		began := time.Now()
		ended := drained(t, s)
		closes(t, r)
		<-ended
		if took := time.Since(began); took != finishMax {
			t.Errorf("a transaction had %v, want %v", took, finishMax)
		}
		late, far := net.Pipe() // who comes now
		defer late.Close()
		s.start(far)
		closes(t, bufio.NewReader(late))
	})
	synctest.Test(t, func(t *testing.T) {
		s := newTestServer(t)
		client, _ := dial(s)
		defer client.Close()
		s.pause.begin(time.Now().Add(time.Hour), true)
		send(t, client, "PING")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		s.Drain(ctx)
		if ctx.Err() == nil {
			t.Error("a client that waits was not waited for")
		}
	})
}

// A drained node closes the connections that it has, and refuses those that come
// whatever needs data; it can still be asked what is the matter.
func TestDrainedNodeRefuses(t *testing.T) {
	const refusal = "TRYAGAIN this node is drained. Not applied. Use another one: b:1"
	synctest.Test(t, func(t *testing.T) {
		s := newTestServer(t)
		before, _ := dial(s)
		defer before.Close()
		s.SetDrained(refusal)
		closes(t, bufio.NewReader(before))
		for _, x := range []struct {
			commands []string
			want     string
		}{
			{[]string{"CLIENT ID", "GET k", "GET l"}, "(integer) 2 (error) " + refusal + " (error) " + refusal},
			{[]string{"PING"}, "(error) " + refusal},
			{[]string{"MULTI", "GET k", "EXEC"}, "OK (error) " + refusal + " (error) EXECABORT Transaction discarded because of previous errors."},
		} {
			client, _ := dial(s)
			r := bufio.NewReader(client)
			sendLater(client, x.commands...)
			if got := answers(t, r, len(x.commands)); got != x.want {
				t.Errorf("%v: %s", x.commands, got)
			}
			closes(t, r)
			client.Close()
		}
		s.SetDrained(refusal + ", c:1") // the map has changed
		asks, _ := dial(s)
		defer asks.Close()
		r := bufio.NewReader(asks)
		send(t, asks, "CLIENT GETNAME")
		answers(t, r, 1)
		s.SetDrained("")
		send(t, asks, "PING")
		if got := answers(t, r, 1); got != "PONG" {
			t.Errorf("taken back: %s", got)
		}
	})
}

// What is about the node or the cluster is answered by a drained node.
func TestDrainedNodeTellsOfItself(t *testing.T) {
	t.Parallel()
	table := command.NewTable()
	for line, want := range map[string]bool{
		"GET k": true, "SET k v": true, "PING": true, "MSET k v": true,
		"AUTH x": false, "HELLO": false, "INFO": false, "SELECT 0": false, "CLIENT LIST": false, "CLUSTER SLOTS": false, "CLUSTER SHARDS": false,
		"CLUSTER NODES": false, "SENTINEL MASTERS": false, "COMMAND": false, "CONFIG GET x": false, "TUTTI.STATUS": false, "TUTTI.MEMBER UNDRAIN 1": false,
		"ACL WHOAMI": false, "QUIT": false, "RESET": false, "READONLY": false, "MULTI": false, "EXEC": false,
	} {
		var args [][]byte
		for _, a := range strings.Fields(line) {
			args = append(args, []byte(a))
		}
		cmd, text := table.Lookup(args)
		if cmd == nil {
			t.Fatalf("%s: %s", line, text)
		}
		if got := needsData(cmd); got != want {
			t.Errorf("%s needs data: %v", line, got)
		}
	}
}
