package server_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"tutti/internal/node"
	"tutti/internal/node/nodetest"
	"tutti/internal/proof/respclient"
)

// say sends bytes and returns all that is answered until the server closes.
func sayTo(t *testing.T, addr, text string) string {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		t.Errorf("%.20q: not closed: %v", text, err)
	}
	return string(answer)
}

func TestClientsSpeakTLS(t *testing.T) {
	c := nodetest.Start(t, nodetest.Options{TLS: true})
	a := c.Dial(0)
	big := strings.Repeat("x", 1<<20)
	if got := a.Text("SET", "k", big); got != "OK" {
		t.Fatal(got)
	}
	if got := string(a.Do("GET", "k").Str); got != big {
		t.Errorf("%d bytes came back", len(got))
	}
	var pipe [][]string
	for range 500 {
		pipe = append(pipe, []string{"INCR", "n"})
	}
	replies, err := a.Pipe(pipe...)
	if err != nil || replies[499].Int != 500 {
		t.Errorf("a pipeline: %v, %v", replies, err)
	}
	a.Do("HELLO", "3")
	old := c.TLS(0)
	old.MaxVersion = tls.VersionTLS12
	conn, err := tls.Dial("tcp", c.Addr(0), old)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if v, err := respclient.New(conn).Do("PING"); err != nil || string(v.Str) != "PONG" {
		t.Errorf("with TLS 1.2: %v, %v", v, err)
	}
}

func TestPlainClientIsToldToSpeakTLS(t *testing.T) {
	c := nodetest.Start(t, nodetest.Options{TLS: true})
	for _, text := range []string{"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n", "SET k v\r\n", strings.Repeat("SET k v\r\n", 1<<12)} {
		if got := sayTo(t, c.Addr(0), text); !strings.HasPrefix(got, "-NEEDTLS this port speaks TLS. Use rediss://") || strings.Count(got, "\n") != 1 || len(got) > 202 {
			t.Errorf("%.20q is answered %q", text, got)
		}
	}
	for _, text := range []string{"POST / HTTP/1.1\r\nHost: x\r\n\r\nSET k v\r\n", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "Host: x\r\n\r\n"} {
		if got := sayTo(t, c.Addr(0), text); got != "" {
			t.Errorf("%.20q is answered %q", text, got)
		}
	}
	if got := c.Dial(0).Text("EXISTS", "k"); got != "(integer) 0" {
		t.Errorf("what a plain client sent was executed: %s", got)
	}
}

// logText is a log that may be read while it is written.
type logText struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (l *logText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestTLSOnAPlainPortIsClosedAndLogged(t *testing.T) {
	log := &logText{}
	c := nodetest.Start(t, nodetest.Options{Configure: func(_ int, cfg *node.Config) { cfg.Logger = slog.New(slog.NewTextHandler(log, nil)) }})
	began := time.Now()
	_, err := tls.Dial("tcp", c.Addr(0), &tls.Config{InsecureSkipVerify: true})
	if err == nil {
		t.Fatal("a plain port speaks TLS")
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("the client was left waiting for %v", took)
	}
	if !strings.Contains(log.String(), "a client speaks TLS, this port does not") {
		t.Errorf("the log does not say it:\n%s", log)
	}
}

// A client that never makes its handshake is cut off, and holds up nobody.
func TestHandshakeDoesNotBlockOthersAndEnds(t *testing.T) {
	c := nodetest.Start(t, nodetest.Options{TLS: true})
	var silent []net.Conn
	for range 50 {
		conn, err := net.Dial("tcp", c.Addr(0))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		silent = append(silent, conn)
		if _, err := conn.Write([]byte{22, 3, 1}); err != nil { // half a record
			t.Fatal(err)
		}
	}
	if got := c.Dial(0).Text("PING"); got != "PONG" {
		t.Fatal(got)
	}
	for _, conn := range silent {
		_ = conn.SetReadDeadline(time.Now().Add(30 * time.Second))
		if n, err := conn.Read(make([]byte, 100)); err == nil && n == 0 || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("still open: %d bytes, %v", n, err)
		}
	}
}
