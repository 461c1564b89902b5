package server_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"tutti/internal/node/nodetest"
)

// hostileCase is one case of testdata/hostile.txt.
type hostileCase struct {
	name, skip string
	sends      [][]byte // nil: pause
	want       []byte
	closed     bool
}

func readHostile(t *testing.T) []hostileCase {
	t.Helper()
	text, err := os.ReadFile("testdata/hostile.txt")
	if err != nil {
		t.Fatal(err)
	}
	var cases []hostileCase
	for i, line := range strings.Split(string(text), "\n") {
		word, rest, _ := strings.Cut(line, " ")
		if word == "case" {
			cases = append(cases, hostileCase{name: rest})
			continue
		}
		if line == "" || word == "#" || strings.HasPrefix(line, "#") {
			continue
		}
		c := &cases[len(cases)-1]
		switch word {
		case "skip":
			c.skip = rest
		case "pause":
			c.sends = append(c.sends, nil)
		case "closed":
			c.closed = true
		case "send", "want":
			b, err := evalBytes(rest)
			if c.skip != "" {
				continue
			}
			if err != nil {
				t.Fatalf("testdata/hostile.txt:%d: %v", i+1, err)
			}
			if word == "send" {
				c.sends = append(c.sends, b)
			} else {
				c.want = b
			}
		default:
			t.Fatalf("testdata/hostile.txt:%d: what is %q?", i+1, line)
		}
	}
	return cases
}

// evalBytes evaluates "quoted"*N + "quoted".
func evalBytes(expr string) ([]byte, error) {
	b := []byte{}
	for expr != "" {
		quoted, err := strconv.QuotedPrefix(expr)
		if err != nil {
			return nil, err
		}
		part, err := strconv.Unquote(quoted)
		if err != nil {
			return nil, err
		}
		expr = expr[len(quoted):]
		n := 1
		if factor, more := strings.CutPrefix(expr, "*"); more {
			digits, rest, _ := strings.Cut(factor, " ")
			if n, err = strconv.Atoi(digits); err != nil {
				return nil, err
			}
			expr = strings.TrimSpace(rest)
		}
		expr = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(expr), "+"))
		b = append(b, bytes.Repeat([]byte(part), n)...)
	}
	return b, nil
}

// TestHostileInput sends nonsense. Whatever it is, the answer is known, the
// server lives on, and other clients notice nothing.
func TestHostileInput(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, nodetest.Options{})
	other := c.Dial(0)
	other.Do("SET", "other", "0")
	rounds := int64(0)
	for _, h := range readHostile(t) {
		t.Run(h.name, func(t *testing.T) {
			if h.skip != "" {
				t.Skip(h.skip)
			}
			runHostile(t, c.Addr(0), h)
			if got := c.Dial(0).Text("PING"); got != "PONG" {
				t.Errorf("afterwards a new connection is answered %q", got)
			}
		})
		rounds++
		if got := other.Do("INCR", "other"); got.Int != rounds {
			t.Fatalf("%s: another connection got %v, not %d", h.name, got, rounds)
		}
	}
}

// openFor is how long an open connection is watched for bytes too many.
const openFor = 15 * time.Millisecond

func runHostile(t *testing.T, addr string, h hostileCase) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for _, b := range h.sends {
			if b == nil {
				time.Sleep(20 * time.Millisecond)
			} else if _, err := conn.Write(b); err != nil {
				return // closed by the server: the answer tells whether rightly
			}
		}
	}()
	got := make([]byte, len(h.want))
	_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	n, err := io.ReadFull(conn, got)
	if !bytes.Equal(got[:n], h.want) {
		t.Fatalf("answered %.300q (%v)\nwant     %.300q", got[:n], err, h.want)
	}
	<-sent
	limit := openFor
	if h.closed {
		limit = 10 * time.Second
	}
	_ = conn.SetReadDeadline(time.Now().Add(limit))
	rest, err := io.ReadAll(conn)
	if len(rest) > 0 {
		t.Errorf("answered %.300q too many", rest)
	}
	if open := errors.Is(err, os.ErrDeadlineExceeded); open == h.closed {
		t.Errorf("connection open: %v, err %v; want closed: %v", open, err, h.closed)
	}
}
