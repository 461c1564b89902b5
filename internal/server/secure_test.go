package server_test

import (
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"tutti/internal/node"
	"tutti/internal/node/nodetest"
	"tutti/internal/proof/respclient"
)

// sayTo sends bytes and returns all that is answered until the server closes.
func sayTo(t *testing.T, addr, text string) string {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return converse(t, conn, text)
}

func converse(t *testing.T, conn net.Conn, text string) string {
	t.Helper()
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
	t.Parallel()
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

// askedOverHTTP ask for what must not be executed, toldOverHTTP is all that they are
// told. It is written out: nothing of what was asked may be in it.
var askedOverHTTP = []string{
	"POST / HTTP/1.1\r\nHost: x\r\n\r\nSET k v\r\n", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "Host: x\r\n\r\nSET k v\r\n",
	"GET /<script>alert(1)</script> HTTP/1.0\r\n\r\nSET k v\r\n", "HEAD / HTTP/1.1\r\n\r\nSET k v\r\n", "OPTIONS * HTTP/1.1\r\nOrigin: http://x\r\n\r\nSET k v\r\n",
	"PUT /k HTTP/1.1\r\nHost: x\r\n\r\n" + strings.Repeat("SET k v\r\n", 1<<14),
}

const toldOverHTTP = "HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\n" +
	"Cross-Origin-Resource-Policy: same-origin\r\nCache-Control: no-store\r\nContent-Length: 174\r\nConnection: close\r\n\r\n" +
	"This port speaks the Redis protocol, not HTTP. Nothing was executed.\n" +
	"Health and metrics, /health/ready and /metrics, are at the address that tutti start --http-listen names.\n"

// sayWithTLS is sayTo for a client that speaks TLS.
func sayWithTLS(t *testing.T, c *nodetest.Cluster, text string) string {
	t.Helper()
	conn, err := tls.Dial("tcp", c.Addr(0), c.TLS(0))
	if err != nil {
		t.Fatal(err)
	}
	return converse(t, conn, text)
}

// Who speaks HTTP to the port is told so, whatever a page in a browser has smuggled
// into the request: nothing is executed, nothing of it comes back, and the log, which
// says so, does not grow with it. Who speaks RESP is not taken for it.
func TestHTTPOnThePortForClients(t *testing.T) {
	t.Parallel()
	log := &nodetest.Log{}
	c := nodetest.Start(t, nodetest.Options{Configure: func(_ int, cfg *node.Config) { cfg.Logger = slog.New(slog.NewTextHandler(log, nil)) }})
	for range 20 {
		for _, text := range askedOverHTTP {
			if got := sayTo(t, c.Addr(0), text); got != toldOverHTTP {
				t.Fatalf("%.20q is answered %q", text, got)
			}
		}
	}
	if got := c.Dial(0).Text("EXISTS", "k"); got != "(integer) 0" {
		t.Errorf("what came over HTTP was executed: %s", got)
	}
	if n := strings.Count(log.String(), "HTTP on a port that does not speak it"); n != 1 {
		t.Errorf("%d lines in the log, want one:\n%s", n, log)
	}
	// Commands that look like it.
	for _, h := range []struct{ send, want string }{
		{"SET /k HTTP/1.1\r\nGET /k\r\nQUIT\r\n", "+OK\r\n$8\r\nHTTP/1.1\r\n+OK\r\n"},
		{"*3\r\n$3\r\nGET\r\n$1\r\n/\r\n$8\r\nHTTP/1.1\r\n*1\r\n$4\r\nQUIT\r\n", "-ERR wrong number of arguments for 'get' command\r\n+OK\r\n"},
		{"*1\r\n$4\r\nPOST\r\n", ""},
	} {
		if got := sayTo(t, c.Addr(0), h.send); got != h.want {
			t.Errorf("%.20q is answered %q, want %q", h.send, got, h.want)
		}
	}
}

func TestPlainClientIsToldToSpeakTLS(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, nodetest.Options{TLS: true})
	for _, text := range []string{"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n", "SET k v\r\n", strings.Repeat("SET k v\r\n", 1<<12)} {
		if got := sayTo(t, c.Addr(0), text); !strings.HasPrefix(got, "-NEEDTLS this port speaks TLS. Use rediss://") || strings.Count(got, "\n") != 1 || len(got) > 202 {
			t.Errorf("%.20q is answered %q", text, got)
		}
	}
	for _, text := range askedOverHTTP {
		if got := sayTo(t, c.Addr(0), text); got != toldOverHTTP {
			t.Errorf("%.20q is answered %q", text, got)
		}
		if got := sayWithTLS(t, c, text); got != toldOverHTTP {
			t.Errorf("%.20q within TLS is answered %q", text, got)
		}
	}
	if got := c.Dial(0).Text("EXISTS", "k"); got != "(integer) 0" {
		t.Errorf("what a plain client sent was executed: %s", got)
	}
}

func TestTLSOnAPlainPortIsClosedAndLogged(t *testing.T) {
	t.Parallel()
	log := &nodetest.Log{}
	c := nodetest.Start(t, nodetest.Options{Configure: func(_ int, cfg *node.Config) { cfg.Logger = slog.New(slog.NewTextHandler(log, nil)) }})
	began := time.Now()
	_, err := tls.Dial("tcp", c.Addr(0), &tls.Config{InsecureSkipVerify: true})
	if err == nil {
		t.Fatal("a plain port speaks TLS")
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("the client was left waiting for %v", took)
	}
	// That its record is no TLS is what libraries show as "wrong version number".
	if record, of := errors.AsType[tls.RecordHeaderError](err); !of || string(record.RecordHeader[:]) != "-ERR " {
		t.Errorf("the client is told %v", err)
	}
	if got, want := sayTo(t, c.Addr(0), "\x16\x03\x01\x02\x00"), "-ERR this port does not speak TLS. Use redis://, or start the node with --tls. Nothing was executed.\r\n"; got != want {
		t.Errorf("answered %q, want %q", got, want)
	}
	if n := strings.Count(log.String(), "a client speaks TLS, this port does not"); n != 1 {
		t.Errorf("the log says it %d times:\n%s", n, log)
	}
}

// A client that never makes its handshake is cut off, and holds up nobody.
func TestHandshakeDoesNotBlockOthersAndEnds(t *testing.T) {
	t.Parallel()
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
