// Command goredis is the load of go-redis: see the package doc of the runner for
// what it reads and writes. The files plain.go, sentinel.go and cluster.go are
// what an application would write; docs/CLIENTS.md shows them.
package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// settings is what an application knows of its cluster.
type settings struct {
	addrs          []string
	master         string // name that Sentinel clients ask for
	user, password string
	tls            *tls.Config // nil: no TLS
}

// order is what the runner asks for.
type order struct {
	Addrs    []string `json:"addrs"`
	Master   string   `json:"master"`
	User     string   `json:"user"`
	Password string   `json:"password"`
	CA       string   `json:"ca"`
	Keys     string   `json:"keys"` // prefix
	Workers  int      `json:"workers"`
	PauseMS  int      `json:"pause_ms"`
}

// worker is the report of one.
type worker struct {
	Commands    int            `json:"commands"`
	Failed      int            `json:"failed"`
	Added       int            `json:"added"`       // the last member that was sent
	NotAdded    []int          `json:"not_added"`   // of these, those that were answered with an error
	Incremented int            `json:"incremented"` // acknowledged
	Stale       int            `json:"stale"`       // reads that showed less than was acknowledged
	GapMS       int64          `json:"gap_ms"`
	Errors      map[string]int `json:"errors"`

	client redis.UniversalClient
	keys   string
	last   time.Time // when a command was last acknowledged
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	in := bufio.NewReader(os.Stdin)
	line, err := in.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("read the order: %w", err)
	}
	var o order
	if err := json.Unmarshal(line, &o); err != nil {
		return fmt.Errorf("read the order: %w", err)
	}
	client, err := connect(os.Args[1], o)
	if err != nil {
		return err
	}
	defer client.Close()
	var stop atomic.Bool
	workers := make([]worker, o.Workers)
	var began, ended sync.WaitGroup
	began.Add(len(workers))
	for i := range workers {
		w := &workers[i]
		w.client, w.keys, w.Errors, w.NotAdded = client, fmt.Sprintf("%s%d:", o.Keys, i), map[string]int{}, []int{}
		ended.Go(func() {
			for w.round(); !stop.Load(); w.round() {
				if w.Added == 1 {
					began.Done()
				}
				time.Sleep(time.Duration(o.PauseMS) * time.Millisecond)
			}
		})
	}
	began.Wait()
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, in) // its end is the sign to stop
	stop.Store(true)
	ended.Wait()
	fmt.Print("report ")
	return json.NewEncoder(os.Stdout).Encode(workers)
}

func connect(mode string, o order) (redis.UniversalClient, error) {
	s := settings{addrs: o.Addrs, master: o.Master, user: o.User, password: o.Password}
	if o.CA != "" {
		pem, err := os.ReadFile(o.CA)
		if err != nil {
			return nil, err
		}
		s.tls = &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS13}
		s.tls.RootCAs.AppendCertsFromPEM(pem)
	}
	switch mode {
	case "plain":
		return plain(s), nil
	case "sentinel":
		return sentinel(s), nil
	case "cluster":
		return cluster(s), nil
	}
	return nil, fmt.Errorf("no mode %q", mode)
}

// callTimeout is how long an application would wait for one command.
const callTimeout = 20 * time.Second

// round sends three commands: a member no other has, an increment, and a read of
// what was incremented.
func (w *worker) round() {
	w.Added++
	if !w.do(func(ctx context.Context) error { return w.client.SAdd(ctx, w.keys+"set", w.Added).Err() }) {
		w.NotAdded = append(w.NotAdded, w.Added)
	}
	if w.do(func(ctx context.Context) error { return w.client.Incr(ctx, w.keys+"counter").Err() }) {
		w.Incremented++
	}
	w.do(func(ctx context.Context) error {
		n, err := w.client.Get(ctx, w.keys+"counter").Int()
		if err == redis.Nil { //nolint:errorlint // as go-redis documents it
			n, err = 0, nil
		}
		if err == nil && n < w.Incremented {
			w.Stale++
		}
		return err
	})
}

func (w *worker) do(call func(ctx context.Context) error) bool {
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	w.Commands++
	if err := call(ctx); err != nil {
		w.Failed++
		w.Errors[err.Error()]++
		return false
	}
	if now := time.Now(); w.last.IsZero() {
		w.last = now
	} else {
		w.GapMS, w.last = max(w.GapMS, now.Sub(w.last).Milliseconds()), now
	}
	return true
}
