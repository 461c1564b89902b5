package web_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"tutti/internal/web"
)

// serve starts a server whose node is as the arguments say.
func serve(t *testing.T, cfg web.Config) (addr string, s *web.Server) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg.Logger = slog.New(slog.DiscardHandler)
	if cfg.Metrics == nil {
		cfg.Metrics = http.NotFoundHandler()
	}
	if cfg.Ready == nil {
		cfg.Ready = func(context.Context) (bool, string) { return true, "" }
	}
	if cfg.Cluster == nil {
		cfg.Cluster = func(context.Context) (web.Cluster, error) { return web.Cluster{}, errors.New("it is being asked") }
	}
	return l.Addr().String(), web.Serve(l, cfg)
}

func TestAnswers(t *testing.T) {
	ready := true
	addr, s := serve(t, web.Config{
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "tutti_up 1\n") }),
		Ready:   func(context.Context) (bool, string) { return ready, "the node is stopping" },
	})
	defer s.Close()
	for _, c := range []struct {
		method, path string
		code         int
		body         string
	}{
		{"GET", "/metrics", 200, "tutti_up 1"},
		{"GET", "/health/live", 200, `{"live":true}`},
		{"HEAD", "/health/live", 200, ""},
		{"GET", "/health/ready", 503, `{"ready":false,"why":"the node is stopping"}`},
		{"GET", "/health/cluster", 503, `"verdict":"Not known: it is being asked"`},
		{"POST", "/health/live", 405, ""},
		{"GET", "/", 404, ""},
		{"GET", "/health", 404, ""},
		{"GET", "/metrics/../debug/pprof", 404, ""},
	} {
		ready = false
		r, err := http.NewRequest(c.method, "http://"+addr+c.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != c.code || !strings.Contains(string(b), c.body) {
			t.Errorf("%s %s: %d %s", c.method, c.path, resp.StatusCode, b)
		}
		if resp.Header.Get("X-Content-Type-Options") != "nosniff" || resp.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s %s: headers %v", c.method, c.path, resp.Header)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

// Close must not return while an answer is being made: what it is made of is
// closed next.
func TestCloseWaits(t *testing.T) {
	began, goOn := make(chan struct{}), make(chan struct{})
	addr, s := serve(t, web.Config{Ready: func(context.Context) (bool, string) {
		close(began)
		<-goOn
		return true, ""
	}})
	asked := make(chan error, 1)
	go func() {
		resp, err := http.Get("http://" + addr + "/health/ready")
		if err == nil {
			resp.Body.Close()
		}
		asked <- err
	}()
	<-began
	closed := make(chan struct{})
	go func() {
		s.Close()
		close(closed)
	}()
	if err := <-asked; err == nil { // its connection was closed
		t.Error("answered after Close")
	}
	select {
	case <-closed:
		t.Fatal("Close returned while an answer was being made")
	default:
	}
	close(goOn)
	<-closed
}

// More connections than a few watchers need are closed.
func TestConnectionsAreBounded(t *testing.T) {
	addr, s := serve(t, web.Config{})
	defer s.Close()
	var open []net.Conn
	defer func() {
		for _, c := range open {
			c.Close()
		}
	}()
	ask := func(c net.Conn) error {
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		if _, err := io.WriteString(c, "GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			return err
		}
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, resp.Body)
		return errors.Join(err, resp.Body.Close())
	}
	for i := range 200 {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, c)
		switch err := ask(c); {
		case err == nil && i >= 64:
			t.Fatalf("connection %d is served", i+1)
		case err != nil && i < 64:
			t.Fatalf("connection %d: %v", i+1, err)
		}
		if i == 70 {
			break
		}
	}
	open[0].Close()
	var err error
	for range 1000 { // until the server has noticed
		c, dialErr := net.Dial("tcp", addr)
		if dialErr != nil {
			t.Fatal(dialErr)
		}
		err = ask(c)
		c.Close()
		if err == nil {
			return
		}
	}
	t.Errorf("after one was closed: %v", err)
}
