// Package workload is what the programs of client libraries in Go do: see the package doc of
// the runner for what they read and write.
package workload

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
)

// Settings is what an application knows of its cluster.
type Settings struct {
	Addrs          []string
	Master         string // name that Sentinel clients ask for
	User, Password string
	TLS            *tls.Config // nil: no TLS
}

// Client is a library's, as its application would use it.
type Client interface {
	Add(ctx context.Context, set string, member int) error
	Increment(ctx context.Context, counter string) error
	// Read returns 0 for a counter that is not there.
	Read(ctx context.Context, counter string) (int, error)
	Close()
}

// Order is what the runner asks for.
type Order struct {
	Addrs    []string `json:"addrs"`
	Gateway  string   `json:"gateway"`
	Master   string   `json:"master"`
	User     string   `json:"user"`
	Password string   `json:"password"`
	CA       string   `json:"ca"`
	Keys     string   `json:"keys"` // prefix
	Workers  int      `json:"workers"`
	PauseMS  int      `json:"pause_ms"`
}

// Settings are those that the order says.
func (o *Order) Settings() (Settings, error) {
	s := Settings{Addrs: o.Addrs, Master: o.Master, User: o.User, Password: o.Password}
	if o.CA == "" {
		return s, nil
	}
	pem, err := os.ReadFile(o.CA)
	if err != nil {
		return s, err
	}
	s.TLS = &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS13}
	s.TLS.RootCAs.AppendCertsFromPEM(pem)
	return s, nil
}

// Pause is between two rounds of a worker.
func (o *Order) Pause() time.Duration { return time.Duration(o.PauseMS) * time.Millisecond }

// Main does what the order on stdin says until stdin ends, and prints what report returns
// then. begin starts the work, and returns when all of it has begun; report ends it.
func Main(begin func(o *Order) (report func() any, err error)) {
	if err := follow(begin); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// Load is Main of a program whose first argument is the mode in which connect makes the
// client of its library.
func Load(connect func(mode string, s Settings) (Client, error)) {
	Main(func(o *Order) (func() any, error) {
		s, err := o.Settings()
		if err != nil {
			return nil, err
		}
		client, err := connect(os.Args[1], s)
		if err != nil {
			return nil, err
		}
		return Begin(client, o), nil
	})
}

func follow(begin func(o *Order) (report func() any, err error)) error {
	in := bufio.NewReader(os.Stdin)
	line, err := in.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("read the order: %w", err)
	}
	var o Order
	if err := json.Unmarshal(line, &o); err != nil {
		return fmt.Errorf("read the order: %w", err)
	}
	report, err := begin(&o)
	if err != nil {
		return err
	}
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, in) // its end is the sign to stop
	told := report()
	fmt.Print("report ")
	return json.NewEncoder(os.Stdout).Encode(told)
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

	client Client
	keys   string
	last   time.Time // when a command was last acknowledged
}

// Begin has the order's workers do their rounds with one client.
func Begin(client Client, o *Order) (report func() any) {
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
				time.Sleep(o.Pause())
			}
		})
	}
	began.Wait()
	return func() any {
		stop.Store(true)
		ended.Wait()
		client.Close()
		return workers
	}
}

// callTimeout is how long an application would wait for one command.
const callTimeout = 20 * time.Second

// round sends three commands: a member no other has, an increment, and a read of
// what was incremented.
func (w *worker) round() {
	w.Added++
	if !w.do(func(ctx context.Context) error { return w.client.Add(ctx, w.keys+"set", w.Added) }) {
		w.NotAdded = append(w.NotAdded, w.Added)
	}
	if w.do(func(ctx context.Context) error { return w.client.Increment(ctx, w.keys+"counter") }) {
		w.Incremented++
	}
	w.do(func(ctx context.Context) error {
		n, err := w.client.Read(ctx, w.keys+"counter")
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
