package runner

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	"tutti/internal/resp"
)

// A worker that could not record what it has must not live on: signs of life would keep
// it from being handed out again, for as long as the place goes on.
func TestLostWorkerIsSilent(t *testing.T) {
	ours, theirs := net.Pipe()
	defer ours.Close()
	refused := false
	served := make(chan struct{})
	go func() {
		defer close(served)
		in := resp.NewReader(theirs, resp.Limits{})
		for {
			args, err := in.ReadCommand()
			if err != nil {
				return
			}
			answer := "*0\r\n"
			if string(args[0]) == "TASK.FAIL" {
				refused, answer = true, "-ERR refused\r\n"
			} else if refused {
				t.Errorf("%s after the worker was lost", args[0])
			}
			if _, err := io.WriteString(theirs, answer); err != nil {
				return
			}
		}
	}()
	killing, kill := context.WithCancel(t.Context())
	defer kill()
	r := &Runner{cfg: Config{Node: "ada", Lease: 3 * time.Millisecond}, killing: killing, stopping: make(chan struct{})}
	p := &place{Place: Place{Run: "run-x"}, r: r, worker: "w", link: &link{dial: func() net.Conn { return ours }}, heard: time.Now()}
	slow := Command{Number: 1, Argv: []string{"/bin/sleep", "60"}}.Encode()
	_, err := p.runOne(task{id: "{0}run-x:1", token: "1", payload: slow}, []task{{id: "{0}run-x:2", token: "2"}})
	if err == nil {
		t.Error("a place goes on that could not give a command back")
	}
	ours.Close()
	if <-served; !refused {
		t.Error("nothing was given back")
	}
}
