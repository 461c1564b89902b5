package runner

import (
	"context"
	"io"
	"net"
	"strings"
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
	defer p.desk.close()
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

// What has ended is recorded with the next claim by one message, and again for as long
// as it is not known to be recorded. If the claim's answer is lost, so is the place.
func TestDoneGoesWithClaim(t *testing.T) {
	t.Parallel()
	const recorded, later, claimed = ":1\r\n", "-TRYAGAIN later\r\n", "*1\r\n*5\r\n$10\r\n{0}run-x:2\r\n$1\r\n8\r\n$5\r\nrun-x\r\n:1\r\n$1\r\nx\r\n"
	for _, tt := range []struct {
		name  string
		conns [][]string // what is answered on each connection, until it is closed
		said  string
		tasks int
		fails bool
	}{
		{"both are answered", [][]string{{recorded, claimed}}, "DONE CLAIM", 1, false},
		{"it is not recorded yet", [][]string{{later, claimed, recorded}}, "DONE CLAIM DONE", 1, false},
		{"both answers are lost", [][]string{{}, {recorded}}, "DONE DONE", 0, true},
		{"that to the claim is lost", [][]string{{recorded}, {recorded}}, "DONE CLAIM DONE", 0, true},
		{"the claim is refused", [][]string{{recorded, "-ERR no\r\n"}}, "DONE CLAIM", 0, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			said := make(chan string, 10)
			dial := func() net.Conn {
				ours, theirs := net.Pipe()
				replies := tt.conns[0]
				tt.conns = tt.conns[1:]
				go answer(theirs, replies, said)
				return ours
			}
			r := &Runner{cfg: Config{Node: "ada", Lease: time.Minute}, killing: t.Context()}
			p := &place{Place: Place{Run: "run-x"}, r: r, worker: "w", link: &link{dial: dial}, size: 1, heard: time.Now()}
			p.note(finish{task: task{id: "{0}run-x:1", token: "7"}, result: []byte("r")})
			tasks, err := p.next(0)
			p.link.close()
			if len(tasks) != tt.tasks || (err != nil) != tt.fails {
				t.Errorf("claimed %v, %v", tasks, err)
			}
			var words []string
			for range strings.Fields(tt.said) {
				words = append(words, strings.TrimPrefix(<-said, "TASK."))
			}
			if got := strings.Join(words, " "); got != tt.said || len(said) > 0 {
				t.Errorf("it said %q, want %q", got, tt.said)
			}
		})
	}
}

// answer tells what commands come, and answers them as long as there are replies.
func answer(conn net.Conn, replies []string, said chan<- string) {
	defer conn.Close()
	in := resp.NewReader(conn, resp.Limits{})
	for {
		args, err := in.ReadCommand()
		if err != nil {
			return
		}
		said <- string(args[0])
		if len(replies) == 0 {
			return
		}
		if _, err := io.WriteString(conn, replies[0]); err != nil {
			return
		}
		replies = replies[1:]
	}
}
