package node_test

import (
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"tutti/internal/node"
	"tutti/internal/node/nodetest"
)

// A client, a person with a browser and a program without a certificate that come to the
// port for nodes are told what it is, or refused by TLS, and the log says each once.
func TestForeignersOnThePortForNodes(t *testing.T) {
	log := &nodetest.Log{}
	c := nodetest.Start(t, nodetest.Options{PeerTLS: true, Configure: func(_ int, cfg *node.Config) { cfg.Logger = slog.New(slog.NewTextHandler(log, nil)) }})
	addr := c.PeerAddr(0)
	for range 5 {
		for _, x := range []struct{ say, told string }{
			{"*1\r\n$4\r\nPING\r\n", "-NEEDTLS this is the port on which nodes of tutti talk to each other. Clients use the other one: tutti node ls names it. Nothing was executed.\r\n"},
			{"GET /secret HTTP/1.1\r\n\r\n", "HTTP/1.0 400 Bad Request\r\n"},
		} {
			conn, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
			if _, err := io.WriteString(conn, x.say); err != nil {
				t.Fatal(err)
			}
			answer, err := io.ReadAll(conn)
			conn.Close()
			if got := string(answer); err != nil || !strings.HasPrefix(got, x.told) || strings.Contains(got, "secret") {
				t.Errorf("%.20q is answered %q, %v", x.say, got, err)
			}
		}
		conn, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true})
		if err == nil {
			_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
			_, err = conn.Read(make([]byte, 1)) // by TLS 1.3 it is refused after its handshake
			conn.Close()
		}
		if err == nil || !strings.Contains(err.Error(), "certificate required") {
			t.Errorf("who has no certificate is told %v", err)
		}
	}
	for _, line := range []string{"somebody speaks without TLS", "HTTP on a port that does not speak it", "somebody without a certificate has tried the port for nodes"} {
		if n := strings.Count(log.String(), line); n != 1 {
			t.Errorf("the log says %d times %q", n, line)
		}
	}
}
