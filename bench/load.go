package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

// job is one case for one system: what to send, how much at once, how long.
type job struct {
	work     workload
	conns    int // clients, each with one pipeline in flight
	pipeline int
	random   bool // each pipeline through a random node, else through the leader
	keys     int  // the run's; see workload.keysOf
	warmup   time.Duration
	measure  time.Duration
}

// tally is what a load generator saw during the measured time.
type tally struct {
	ops     int // acknowledged operations
	others  int // those before the measured time and after it
	errors  int
	first   error // the first error
	elapsed time.Duration
	latency histogram
}

func (t *tally) fail(n int, err error) {
	t.errors += n
	if t.first == nil {
		t.first = err
	}
}

// window tells a generator when the measured time begins and ends, and calls
// back at both so that CPU is taken over the same span.
type window struct {
	begin func()
	end   func()
}

// sample is the result of one case in one round.
type sample struct {
	System      string  `json:"system"`
	Case        string  `json:"case"`
	Round       int     `json:"round"`
	OpsPerSec   float64 `json:"ops_per_s"`
	P50Ms       float64 `json:"p50_ms"`
	P99Ms       float64 `json:"p99_ms"`
	ServerCPUUs float64 `json:"server_cpu_us_per_op"`
	ClientCPUUs float64 `json:"client_cpu_us_per_op"`
	Ops         int     `json:"ops"`
	Errors      int     `json:"errors"`
	FirstError  string  `json:"first_error,omitempty"`
	Seconds     float64 `json:"seconds"`
	// DrainS is how long the system was busy afterwards, with --drain.
	DrainS float64 `json:"drain_s,omitempty"`
	// SerialUs is how long the leader's loop worked for an operation, those of the
	// warm-up counted: the most that a shard can do on any machine follows from it.
	SerialUs float64 `json:"serial_us_per_op,omitempty"`
}

const (
	// A system is idle when its processes take less than idleShare of a core over
	// idleSpan, twice; three nodes that tell each other that they live take 3 %.
	idleShare = 0.08
	idleSpan  = time.Second
	// idlePatience bounds the wait for it.
	idlePatience = time.Minute
)

// idle waits until a system has nothing more to do, and returns how long that took, the
// two spans in which nothing happened left out.
func idle(ctx context.Context, pids []int) (time.Duration, error) {
	begin, quiet := time.Now(), 0
	last, err := cpuTime(pids)
	for err == nil && quiet < 2 && time.Since(begin) < idlePatience {
		if err := sleep(ctx, idleSpan); err != nil {
			return 0, err
		}
		var now time.Duration
		if now, err = cpuTime(pids); now-last < time.Duration(idleShare*float64(idleSpan)) {
			quiet++
		} else {
			quiet = 0
		}
		last = now
	}
	return max(0, time.Since(begin)-2*idleSpan), err
}

// contender is one running system of three nodes.
type contender interface {
	// fill writes all keys of a workload once, so that reads hit and writes replace.
	fill(ctx context.Context, w workload, keys int) error
	load(ctx context.Context, j job, w window) (*tally, error)
	// pids are all server processes, supervisors included.
	pids() []int
	stop()
}

// starters by the names that --peers takes.
var starters = map[string]func(ctx context.Context, l *lab) (contender, error){
	"tutti":     startFormed,
	"tutti-dev": func(ctx context.Context, l *lab) (contender, error) { return startTutti(ctx, l) },
	"redis":     func(ctx context.Context, l *lab) (contender, error) { return startRedis(ctx, l, "redis") },
	"valkey": func(ctx context.Context, l *lab) (contender, error) {
		return startRedis(ctx, l, "valkey", "--io-threads", "2")
	},
	"etcd":       func(ctx context.Context, l *lab) (contender, error) { return startEtcd(ctx, l, "etcd") },
	"etcd-tuned": func(ctx context.Context, l *lab) (contender, error) { return startEtcd(ctx, l, "etcd-tuned") },
}

// serialized is a system that can say how long that part of it has worked that only one
// core can do.
type serialized interface {
	serial(ctx context.Context) (time.Duration, error)
}

// serialOf is that of a system, 0 of one that can't say.
func serialOf(ctx context.Context, c contender) (time.Duration, error) {
	if s, ok := c.(serialized); ok {
		return s.serial(ctx)
	}
	return 0, nil
}

// measureCase runs one job and puts time, operations and CPU together. With drain the
// CPU is that until the system is idle again: what a store merges later was caused now.
func measureCase(ctx context.Context, c contender, drain bool, j job) (sample, error) {
	pids := c.pids()
	var server, client [2]time.Duration
	var cpuErr error
	take := func(i int) func() {
		return func() {
			var err error
			if server[i], err = cpuTime(pids); err != nil && cpuErr == nil {
				cpuErr = err
			}
			client[i] = ownCPU()
		}
	}
	serial, err := serialOf(ctx, c)
	if err != nil {
		return sample{}, err
	}
	t, err := c.load(ctx, j, window{begin: take(0), end: take(1)})
	if err != nil {
		return sample{}, err
	}
	worked, err := serialOf(ctx, c)
	if err != nil {
		return sample{}, err
	}
	if cpuErr != nil {
		return sample{}, cpuErr
	}
	var drained time.Duration
	if drain {
		if drained, err = idle(ctx, pids); err != nil {
			return sample{}, err
		}
		if server[1], err = cpuTime(pids); err != nil {
			return sample{}, err
		}
	}
	if t.ops == 0 {
		return sample{}, fmt.Errorf("no operation was acknowledged in %v; %d errors, the first: %w", t.elapsed, t.errors, orNone(t.first))
	}
	ops := float64(t.ops)
	s := sample{
		OpsPerSec:   ops / t.elapsed.Seconds(),
		P50Ms:       ms(t.latency.quantile(0.50)),
		P99Ms:       ms(t.latency.quantile(0.99)),
		ServerCPUUs: float64((server[1] - server[0]).Microseconds()) / ops,
		ClientCPUUs: float64((client[1] - client[0]).Microseconds()) / ops,
		Ops:         t.ops,
		Errors:      t.errors,
		Seconds:     t.elapsed.Seconds(),
		DrainS:      drained.Seconds(),
		SerialUs:    float64((worked - serial).Microseconds()) / (float64(t.others) + ops),
	}
	if t.first != nil {
		s.FirstError = t.first.Error()
	}
	return s, nil
}

func orNone(err error) error {
	if err == nil {
		return fmt.Errorf("none")
	}
	return err
}

// values hands out values that no storage engine can compress: slices of one random
// block, at random offsets.
type values struct {
	block []byte
	rand  *rand.Rand
	keys  int // of the workload
}

// newValues makes values of up to size bytes.
func newValues(seed uint64, size int) *values {
	source := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), 't'})
	v := &values{block: make([]byte, max(64<<10, 2*size)), rand: rand.New(source)}
	_, _ = source.Read(v.block) // never fails
	return v
}

func (v *values) next() []byte { return v.take(valueLen) }

func (v *values) take(size int) []byte {
	at := v.rand.IntN(len(v.block) - size)
	return v.block[at : at+size]
}
