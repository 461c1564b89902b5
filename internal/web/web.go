package web

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

const (
	connsMax      = 64
	headerMax     = 16 << 10
	headerTimeout = 5 * time.Second
	replyTimeout  = 15 * time.Second
	idleTimeout   = 2 * time.Minute
	// healthMax is how long a question about health may take; who asks has a
	// timeout of some seconds.
	healthMax = time.Second
)

// Config says what is served.
type Config struct {
	Logger  *slog.Logger
	Metrics http.Handler
	// Ready reports whether clients should be sent to this node; if not, why.
	Ready func(ctx context.Context) (ok bool, why string)
	// Cluster describes the whole cluster.
	Cluster func(ctx context.Context) (Cluster, error)
}

// Cluster is what /health/cluster answers.
type Cluster struct {
	// Serves is whether all keys can be read and written now.
	Serves bool `json:"serves"`
	// Safety is how safe it is, in one word.
	Safety string `json:"safety"`
	// ToleratesNodeLosses is how many more nodes may be lost, whichever they are,
	// without anything stopping; -1: something has.
	ToleratesNodeLosses int    `json:"tolerates_node_losses"`
	Verdict             string `json:"verdict"`
}

// Server serves one listener.
type Server struct {
	cfg   Config
	http  http.Server
	conns atomic.Int32
	wg    sync.WaitGroup // the acceptor, and requests that are being answered

	mu     sync.Mutex // guards closed, and wg against being added to afterwards
	closed bool
}

// Serve begins to answer what comes in at l, which it closes.
func Serve(l net.Listener, cfg Config) *Server {
	s := &Server{cfg: cfg}
	s.http = http.Server{
		Handler: s.handler(), ReadHeaderTimeout: headerTimeout, ReadTimeout: headerTimeout, WriteTimeout: replyTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: headerMax, ErrorLog: slog.NewLogLogger(cfg.Logger.Handler(), slog.LevelDebug), ConnState: s.bound,
	}
	s.wg.Go(func() {
		if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			cfg.Logger.Error("serve http", slog.Any("error", err))
		}
	})
	return s
}

// bound closes connections beyond connsMax.
func (s *Server) bound(c net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		if s.conns.Add(1) > connsMax {
			c.Close()
		}
	case http.StateClosed, http.StateHijacked:
		s.conns.Add(-1)
	}
}

// Close closes all connections and returns when nothing is being answered any
// more: what the answers are made of may be closed then.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.http.Close()
	s.wg.Wait()
}

func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", s.cfg.Metrics)
	mux.HandleFunc("GET /health/live", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, true, map[string]bool{"live": true})
	})
	mux.HandleFunc("GET /health/ready", s.ready)
	mux.HandleFunc("GET /health/cluster", s.cluster)
	return s.counted(mux)
}

// counted lets Close wait for the requests that are being answered.
func (s *Server) counted(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.begin() {
			return
		}
		defer s.wg.Done()
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		h.ServeHTTP(w, r)
	})
}

// begin notes a request, unless the server is closed.
func (s *Server) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.wg.Add(1)
	}
	return !s.closed
}

func (s *Server) ready(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), healthMax)
	defer cancel()
	ok, why := s.cfg.Ready(ctx)
	answer(w, ok, struct {
		Ready bool   `json:"ready"`
		Why   string `json:"why,omitempty"`
	}{ok, why})
}

func (s *Server) cluster(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), healthMax)
	defer cancel()
	c, err := s.cfg.Cluster(ctx)
	if err != nil {
		c = Cluster{Safety: "unknown", ToleratesNodeLosses: -1, Verdict: "Not known: " + err.Error()}
	}
	answer(w, c.Serves, c)
}

func answer(w http.ResponseWriter, ok bool, body any) {
	w.Header().Set("Content-Type", "application/json")
	if !ok {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(w).Encode(body) // whoever asked has gone
}
