package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"tutti/internal/proof/respclient"
)

const (
	loadClients  = 8
	loadDepth    = 16 // units a pipeline: 32 KiB of values
	loadTries    = 5  // of a pipeline: a leader that lost its place on a busy machine is no failure here
	readClients  = 16
	restTime     = 2 * time.Second // between the start and the look at memory at rest
	restMaxMiB   = 100             // the promise of the small profile
	overLimit    = 1.25            // the limit is of Go's heap; program text and thread stacks come on top
	sampleMemory = 200 * time.Millisecond
)

// bigdataReport is the JSON file of one run.
type bigdataReport struct {
	Machine  machine      `json:"machine"`
	LimitMiB int          `json:"limit_mib"`
	DataMiB  float64      `json:"data_mib"`
	Keys     int          `json:"keys"`
	Load     phase        `json:"load"`
	Read     phase        `json:"read"`
	Nodes    []nodeMemory `json:"nodes"`
	Failures []string     `json:"failures,omitempty"`
}

// phase is one kind of work: operations are commands; times of the load are
// those of a pipeline.
type phase struct {
	Ops       int     `json:"ops"`
	Seconds   float64 `json:"seconds"`
	OpsPerSec float64 `json:"ops_per_s"`
	MiBPerSec float64 `json:"mib_per_s"`
	P50Ms     float64 `json:"p50_ms"`
	P99Ms     float64 `json:"p99_ms"`
	Wrong     int     `json:"wrong"`
	Retried   int     `json:"retried"` // pipelines that were sent again after an error
}

// nodeMemory is resident memory of one node in MiB.
type nodeMemory struct {
	Node    int       `json:"node"`
	RestMiB float64   `json:"rest_mib"`
	PeakMiB float64   `json:"peak_mib"` // VmHWM, by the kernel
	EndMiB  float64   `json:"end_mib"`
	Samples []float64 `json:"samples_mib"` // VmRSS every 0.2 s from the load on
	pid     int
}

func bigdataMain(ctx context.Context, args []string) error {
	flags, o, peers := newFlags("bench bigdata", "tutti")
	limit := flags.Int("limit-mb", 128, "memory limit (GOMEMLIMIT) of every node in `MiB`")
	times := flags.Float64("times", 4, "size of the data (bytes of values) as a multiple of the limit")
	seconds := flags.Float64("seconds", 15, "`seconds` of random reads")
	longest := flags.Duration("longest", 5*time.Minute, "the load fails after this `time`")
	if err := o.parse(flags, args, peers); err != nil {
		return err
	}
	if *limit < 1 || *times <= 0 || *seconds <= 0 {
		return fmt.Errorf("%w: --limit-mb, --times and --seconds must be positive", errUsage)
	}
	if len(o.peers) != 1 || o.peers[0] != "tutti" {
		return fmt.Errorf("%w: bigdata looks at tutti only", errUsage)
	}
	l, missing, err := prepare(ctx, o)
	if err != nil {
		return err
	}
	defer l.close()
	r := &bigdataReport{Machine: l.machine, LimitMiB: *limit}
	units := int(float64(*limit<<20) * *times / unitBytes)
	if err := r.run(ctx, l, units, *longest, time.Duration(*seconds*float64(time.Second))); err != nil {
		return err
	}
	r.print()
	if err := writeJSON(o.jsonPath, "bigdata", r.Machine.Date, r); err != nil {
		return err
	}
	if len(r.Failures) > 0 {
		return errors.New(strings.Join(r.Failures, "; "))
	}
	return missingError(missing)
}

func (r *bigdataReport) run(ctx context.Context, l *lab, units int, longest, reading time.Duration) error {
	// Children inherit it; the runtime of this process has read its own already.
	if err := os.Setenv("GOMEMLIMIT", strconv.Itoa(r.LimitMiB)+"MiB"); err != nil {
		return err
	}
	c, err := startTutti(ctx, l)
	if err != nil {
		return err
	}
	defer c.stop()
	if err := r.findNodes(ctx, c); err != nil {
		return err
	}
	watched, stopWatching := context.WithCancelCause(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { stopWatching(r.watchMemory(watched)) })
	err = r.work(watched, c, units, longest, reading)
	if ended := context.Cause(watched); err != nil && ended != nil && ctx.Err() == nil {
		err = fmt.Errorf("%w; dev said: %s", ended, c.dev.output()) // that is why its clients failed
	}
	stopWatching(nil)
	wg.Wait()
	if err != nil {
		return err
	}
	return r.judge()
}

// mib is how much the values of so many units are.
func mib(units int) float64 { return float64(units) * unitBytes / (1 << 20) }

// findNodes takes down each node's process and its memory at rest.
func (r *bigdataReport) findNodes(ctx context.Context, c *tuttiCluster) error {
	if err := sleep(ctx, restTime); err != nil {
		return err
	}
	for node := range nodeCount {
		pid, err := c.pidOf(ctx, node)
		if err != nil {
			return err
		}
		rest, _, err := resident(pid)
		if err != nil {
			return err
		}
		r.Nodes = append(r.Nodes, nodeMemory{Node: node + 1, RestMiB: rest, pid: pid})
	}
	return nil
}

// watchMemory samples until ctx ends. That a process is gone is an error: dev
// would bring the node back with a fresh peak.
func (r *bigdataReport) watchMemory(ctx context.Context) error {
	for {
		for i := range r.Nodes {
			n := &r.Nodes[i]
			now, _, err := resident(n.pid)
			if err != nil {
				return fmt.Errorf("node %d ended while it was measured: %w", n.Node, err)
			}
			n.Samples = append(n.Samples, now)
		}
		if sleep(ctx, sampleMemory) != nil {
			return nil
		}
	}
}

func (r *bigdataReport) work(ctx context.Context, c *tuttiCluster, units int, longest, reading time.Duration) error {
	if err := r.load(ctx, c, units, longest); err != nil {
		return fmt.Errorf("load: %w", err)
	}
	r.DataMiB = mib(units)
	r.Keys = keysIn(units)
	fmt.Printf("%d keys, %.0f MiB of values written in %.1f s\n", r.Keys, r.DataMiB, r.Load.Seconds)
	if err := r.read(ctx, c, units, reading); err != nil {
		return fmt.Errorf("read: %w", err)
	}
	for node, addr := range c.addrs {
		size, err := respCall(addr, "DBSIZE")
		if err != nil {
			return err
		}
		// The key that startTutti writes is the one more.
		if want := strconv.Itoa(r.Keys + 1); size != want {
			r.Failures = append(r.Failures, fmt.Sprintf("node %d counts %s keys, %s were written", node+1, size, want))
		}
	}
	return nil
}

// load writes every unit once, each client through all nodes in turn.
func (r *bigdataReport) load(ctx context.Context, c *tuttiCluster, units int, longest time.Duration) error {
	end := time.Now().Add(longest)
	var next atomic.Int64
	ops, err := r.Load.measure(ctx, c, loadClients, func(nodes *respNodes, node int, p *phase) (int, error) {
		from := int(next.Add(loadDepth)) - loadDepth
		if from >= units {
			return 0, nil
		}
		if time.Now().After(end) {
			return 0, fmt.Errorf("%.0f of %.0f MiB after %v; give it more with --longest, or less to do with --limit-mb and --times",
				mib(from), mib(units), longest)
		}
		to := min(from+loadDepth, units)
		var commands []byte
		for n := from; n < to; n++ {
			commands = unitOf(n).appendWrite(commands)
		}
		again := false
		for try := 1; ; try++ {
			n := from
			err := nodes.pipeline(ctx, node, commands, to-from, func(reply string) {
				// What was sent again may have been there already.
				if want := unitOf(n).written(); reply != want && !again {
					p.Wrong++
				}
				n++
			})
			if err == nil || try == loadTries || ctx.Err() != nil || time.Now().After(end) {
				return to - from, err
			}
			again = true
			p.Retried++
			node = rand.IntN(nodeCount)
			if err := sleep(ctx, 100*time.Millisecond); err != nil {
				return 0, err
			}
		}
	})
	r.Load.MiBPerSec = mib(ops) / r.Load.Seconds
	if err == nil && r.Load.Wrong > 0 {
		r.Failures = append(r.Failures, fmt.Sprintf("%d writes were not answered as first writes", r.Load.Wrong))
	}
	return err
}

// read reads random parts through random nodes, each alone in its round trip.
func (r *bigdataReport) read(ctx context.Context, c *tuttiCluster, units int, reading time.Duration) error {
	end := time.Now().Add(reading)
	var first atomic.Pointer[error]
	var size atomic.Int64
	_, err := r.Read.measure(ctx, c, readClients, func(nodes *respNodes, node int, p *phase) (int, error) {
		if time.Now().After(end) {
			return 0, nil
		}
		command, want := unitOf(rand.IntN(units)).read(rand.IntN(unitParts))
		v, err := nodes.ask(ctx, node, command...)
		got := respclient.Text(v)
		if err == nil && got != want {
			p.Wrong++
			err := wrongValue(command, node, got, want)
			first.CompareAndSwap(nil, &err)
		}
		size.Add(int64(len(got)))
		return 1, err
	})
	r.Read.MiBPerSec = float64(size.Load()) / (1 << 20) / r.Read.Seconds
	if wrong := first.Load(); wrong != nil {
		r.Failures = append(r.Failures, fmt.Sprintf("%d of %d values are wrong; the first: %v", r.Read.Wrong, r.Read.Ops, *wrong))
	}
	return err
}

// measure runs clients in a closed loop, each step through a random node,
// until a step says it did nothing.
func (p *phase) measure(ctx context.Context, c *tuttiCluster, clients int,
	step func(nodes *respNodes, node int, p *phase) (int, error)) (int, error) {
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		times histogram
	)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	start := time.Now()
	for range clients {
		wg.Go(func() {
			nodes := newRESPNodes(c.addrs)
			defer nodes.close()
			var own phase
			var ownTimes histogram
			for ctx.Err() == nil {
				node, begin := rand.IntN(nodeCount), time.Now()
				done, err := step(nodes, node, &own)
				if err != nil {
					cancel(fmt.Errorf("through node %d: %w", node+1, err))
				}
				if done == 0 || err != nil {
					break
				}
				own.Ops += done
				ownTimes.add(time.Since(begin))
			}
			mu.Lock()
			defer mu.Unlock()
			p.Ops += own.Ops
			p.Wrong += own.Wrong
			p.Retried += own.Retried
			times.merge(&ownTimes)
		})
	}
	wg.Wait()
	p.Seconds = time.Since(start).Seconds()
	p.OpsPerSec = float64(p.Ops) / p.Seconds
	p.P50Ms, p.P99Ms = ms(times.quantile(0.50)), ms(times.quantile(0.99))
	return p.Ops, context.Cause(ctx) // the first client's error; the others follow from it
}

// judge reads the peaks and compares them with what is promised.
func (r *bigdataReport) judge() error {
	for i := range r.Nodes {
		n := &r.Nodes[i]
		var err error
		if n.EndMiB, n.PeakMiB, err = resident(n.pid); err != nil {
			return fmt.Errorf("node %d ended while it was measured: %w", n.Node, err)
		}
		if n.RestMiB > restMaxMiB {
			r.Failures = append(r.Failures, fmt.Sprintf("node %d has %.0f MiB at rest, more than %d", n.Node, n.RestMiB, restMaxMiB))
		}
		if most := float64(r.LimitMiB) * overLimit; n.PeakMiB > most {
			r.Failures = append(r.Failures, fmt.Sprintf("node %d had %.0f MiB at its peak, more than %.0f", n.Node, n.PeakMiB, most))
		}
	}
	return nil
}

func (r *bigdataReport) print() {
	fmt.Printf("write  %8.0f ops/s (%d units of %d bytes a pipeline)  %6.1f MiB/s  p50 %7.2f  p99 %7.2f ms a pipeline; %d sent again\n",
		r.Load.OpsPerSec, loadDepth, unitBytes, r.Load.MiBPerSec, r.Load.P50Ms, r.Load.P99Ms, r.Load.Retried)
	fmt.Printf("read   %8.0f ops/s (%d clients, random node)  %6.1f MiB/s  p50 %7.2f  p99 %7.2f ms; %d of %d values wrong\n",
		r.Read.OpsPerSec, readClients, r.Read.MiBPerSec, r.Read.P50Ms, r.Read.P99Ms, r.Read.Wrong, r.Read.Ops)
	for _, n := range r.Nodes {
		fmt.Printf("node %d  resident memory at rest %4.0f MiB (≤ %d)  peak %4.0f MiB = %.2f× the limit of %d (≤ %.2f×)  at the end %4.0f MiB\n",
			n.Node, n.RestMiB, restMaxMiB, n.PeakMiB, n.PeakMiB/float64(r.LimitMiB), r.LimitMiB, overLimit, n.EndMiB)
	}
	fmt.Printf("%s  data %.1f× the memory limit, every value as written, memory within the limit\n",
		pick(len(r.Failures) == 0, "held", "NOT HELD"), r.DataMiB/float64(r.LimitMiB))
}

// resident returns what a process holds in memory now and held at most, in MiB.
func resident(pid int) (now, peak float64, err error) {
	path := fmt.Sprintf("/proc/%d/status", pid)
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(data)) {
		f := strings.Fields(line)
		if len(f) != 3 || f[2] != "kB" {
			continue
		}
		kib, err := strconv.ParseFloat(f[1], 64)
		if err != nil {
			return 0, 0, fmt.Errorf("%s: %w", path, err)
		}
		switch f[0] {
		case "VmRSS:":
			now = kib / 1024
		case "VmHWM:":
			peak = kib / 1024
		}
	}
	if now == 0 || peak == 0 {
		return 0, 0, fmt.Errorf("%s: no resident memory: the process has ended", path)
	}
	return now, peak, nil
}
