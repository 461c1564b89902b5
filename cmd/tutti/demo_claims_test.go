package main

import (
	"bufio"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tutti/internal/resp"
)

// What nobody could decide is asked again, for some time; all else is the answer.
func TestJudged(t *testing.T) {
	const undecided = "-TRYAGAIN by the users that this node knows that is denied\r\n"
	for _, c := range []struct {
		name     string
		answers  []string // the last one is given again and again
		want     string
		asked    int
		patience bool // all of it is needed
	}{
		{name: "refused at once", answers: []string{"-NOPERM no\r\n"}, want: "NOPERM no", asked: 1},
		{name: "refused in the end", answers: []string{undecided, undecided, "-NOPERM no\r\n"}, want: "NOPERM no", asked: 3},
		{name: "let in", answers: []string{undecided, "+OK\r\n"}, want: "OK", asked: 2},
		{name: "never decided", answers: []string{undecided}, want: "TRYAGAIN", patience: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, server := net.Pipe()
				asked, began := 0, time.Now()
				done := make(chan struct{})
				go func() {
					defer close(done)
					for r := bufio.NewReader(server); ; asked++ {
						if _, err := resp.ReadValue(r); err != nil {
							return
						}
						_, _ = server.Write([]byte(c.answers[min(asked, len(c.answers)-1)]))
					}
				}()
				v, err := judged(newRESPConn(client), []string{"FLUSHALL"})
				_ = client.Close()
				<-done
				if err != nil || !strings.HasPrefix(string(v.Str), c.want) {
					t.Errorf("%s, %v, want %s", v.Str, err, c.want)
				}
				if c.asked != 0 && asked != c.asked {
					t.Errorf("asked %d times, want %d", asked, c.asked)
				}
				if took := time.Since(began); (took >= readTimeout) != c.patience { // virtual
					t.Errorf("it took %v", took)
				}
			})
		})
	}
}
