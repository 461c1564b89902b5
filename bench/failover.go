package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"text/tabwriter"
	"time"
)

// failoverCluster is a cluster whose leader can be killed and brought back.
type failoverCluster interface {
	contender
	// leader fails until all nodes are up and agree.
	leader(ctx context.Context) (int, error)
	// strike sends a node a signal and returns the moment before it. After
	// SIGKILL the process is gone when it returns.
	strike(ctx context.Context, node int, sig syscall.Signal) (time.Time, error)
	restart(ctx context.Context, node int) error
	// newClient returns a client that can speak with every node.
	newClient() (kvClient, error)
}

// kvClient belongs to one goroutine.
type kvClient interface {
	put(ctx context.Context, node int, key string, value []byte) error
	has(ctx context.Context, node int, key string) (bool, error)
	close()
}

const (
	nodeCount       = 3 // nodes of every cluster
	failoverWriters = 16
	// An attempt that is not answered within attemptMin..attemptMax is given up
	// and a new one is sent to another node. Random, so that after a kill some
	// writer tries about every 15 ms and the gap is the cluster's, not the
	// time-out's.
	attemptMin = 100 * time.Millisecond
	attemptMax = 300 * time.Millisecond
	settle     = time.Second      // of undisturbed writes before each kill
	watch      = 2 * time.Second  // of writes looked at after a kill, at least
	outageMax  = 60 * time.Second // a cluster silent for longer has failed
	blockKills = 25               // kills before the systems take turns
	sampleOne  = 50               // one write of so many is read back at the end
)

// failoverResult is one system's part of the JSON file.
type failoverResult struct {
	System     string    `json:"system"`
	Kills      int       `json:"kills"`
	P50Ms      float64   `json:"gap_p50_ms"`
	P99Ms      float64   `json:"gap_p99_ms"`
	MaxMs      float64   `json:"gap_max_ms"`
	CalmMs     float64   `json:"calm_gap_p50_ms"` // longest gap in the second before a kill
	Acked      int       `json:"acked"`
	Checked    int       `json:"checked"`
	Lost       int       `json:"lost"`
	GapsMs     []float64 `json:"gaps_ms"`
	calm       []float64
	FirstError string `json:"first_error,omitempty"`
}

type failoverReport struct {
	Machine machine           `json:"machine"`
	How     string            `json:"how"` // kill or stop
	Results []*failoverResult `json:"results"`
}

func failoverMain(ctx context.Context, args []string) error {
	flags, o, peers := newFlags("bench failover", "tutti-dev,etcd,etcd-tuned")
	kills := flags.Int("kills", 100, "`number` of leader kills per system")
	how := flags.String("how", "kill", "how the leader fails: kill (kill -9: its connections break) or stop (SIGSTOP: it falls silent)")
	if err := o.parse(flags, args, peers); err != nil {
		return err
	}
	if *kills < 1 {
		return fmt.Errorf("%w: --kills must be positive", errUsage)
	}
	if slices.Contains(o.peers, "redis") {
		return fmt.Errorf("%w: redis has no leader election among three plain nodes", errUsage)
	}
	sig, ok := map[string]syscall.Signal{"kill": syscall.SIGKILL, "stop": syscall.SIGSTOP}[*how]
	if !ok {
		return fmt.Errorf("%w: --how is kill or stop, not %q", errUsage, *how)
	}
	l, missing, err := prepare(ctx, o)
	if err != nil {
		return err
	}
	defer l.close()
	r := &failoverReport{Machine: l.machine, How: *how}
	for _, name := range o.peers {
		r.Results = append(r.Results, &failoverResult{System: name})
	}
	var failed []error
	for done := 0; done < *kills; done += blockKills {
		for _, result := range r.Results {
			if result.FirstError != "" {
				continue
			}
			if err := result.block(ctx, l, sig, min(blockKills, *kills-done)); err != nil {
				if ctx.Err() != nil {
					return ctx.Err()
				}
				fmt.Printf("%s: %v\n", result.System, err)
				result.FirstError = err.Error()
				failed = append(failed, fmt.Errorf("%s: %w", result.System, err))
			}
		}
	}
	for _, result := range r.Results {
		result.finish()
		if result.Lost > 0 {
			failed = append(failed, fmt.Errorf("%s lost %d of %d acknowledged writes that were read back", result.System, result.Lost, result.Checked))
		}
	}
	printFailover(*how, r.Results)
	if err := writeJSON(o.jsonPath, "failover", r.Machine.Date, r); err != nil {
		return err
	}
	return errors.Join(append(failed, missingError(missing))...)
}

// block starts a fresh cluster, kills its leader n times and reads back what
// was acknowledged.
func (r *failoverResult) block(ctx context.Context, l *lab, sig syscall.Signal, n int) error {
	started, err := starters[r.System](ctx, l)
	if err != nil {
		return err
	}
	defer started.stop()
	c, ok := started.(failoverCluster)
	if !ok {
		return errors.New("its leader cannot be killed by this tool")
	}
	acks := &ackLog{}
	writeCtx, stopWriting := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stopWriting()
	for w := range failoverWriters {
		client, err := c.newClient()
		if err != nil {
			return err
		}
		wg.Go(func() {
			defer client.close()
			writeUntil(writeCtx, client, nodeCount, w, acks)
		})
	}
	for range n {
		if err := r.killOnce(ctx, c, sig, acks); err != nil {
			return err
		}
	}
	stopWriting()
	wg.Wait()
	r.Acked += acks.count
	return r.readBack(ctx, c, acks.sampled)
}

// killOnce waits for a calm cluster, kills the leader, measures, and brings
// the node back.
func (r *failoverResult) killOnce(ctx context.Context, c failoverCluster, sig syscall.Signal, acks *ackLog) error {
	var leader int
	err := waitReady(ctx, "before a kill", nil, func() (err error) {
		leader, err = c.leader(ctx)
		return err
	})
	if err != nil {
		return err
	}
	acks.arm()
	if err := sleep(ctx, settle); err != nil {
		return err
	}
	calm, _ := acks.arm()
	at, err := c.strike(ctx, leader, sig)
	if err != nil {
		return fmt.Errorf("%v to the leader, node %d: %w", sig, leader+1, err)
	}
	gap, err := acks.outage(ctx, at)
	if sig != syscall.SIGKILL {
		// A silent node ends here, so that each failure starts from three fresh
		// followers of one history, and no stopped process is left behind.
		_, killErr := c.strike(ctx, leader, syscall.SIGKILL)
		err = errors.Join(err, killErr)
	}
	if err != nil {
		return err
	}
	r.calm = append(r.calm, ms(calm))
	r.GapsMs = append(r.GapsMs, ms(gap))
	fmt.Printf("%-10s kill %3d: node %d led; longest gap between acknowledged writes %6.0f ms (calm: %.0f ms)\n",
		r.System, len(r.GapsMs), leader+1, ms(gap), ms(calm))
	if err := c.restart(ctx, leader); err != nil {
		return fmt.Errorf("restart node %d: %w", leader+1, err)
	}
	return nil
}

// ackLog sees every acknowledgement of all writers.
type ackLog struct {
	mu      sync.Mutex // guards all below
	last    time.Time
	longest time.Duration
	count   int
	sampled []string
}

func (a *ackLog) add(sampled string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	if !a.last.IsZero() {
		a.longest = max(a.longest, now.Sub(a.last))
	}
	a.last = now
	a.count++
	if sampled != "" {
		a.sampled = append(a.sampled, sampled)
	}
}

// arm returns the longest gap since the last call and starts anew.
func (a *ackLog) arm() (longest time.Duration, last time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	longest, a.longest = a.longest, 0
	return longest, a.last
}

func (a *ackLog) look() (longest time.Duration, last time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.longest, a.last
}

// outage waits until writes go on and returns the longest gap since the kill.
// A system may answer a last time after the kill and then fall silent, so it
// looks on for a while.
func (a *ackLog) outage(ctx context.Context, killed time.Time) (time.Duration, error) {
	for {
		if err := sleep(ctx, 20*time.Millisecond); err != nil {
			return 0, err
		}
		longest, last := a.look()
		quiet := time.Since(last)
		if quiet > outageMax {
			return 0, fmt.Errorf("no write was acknowledged for %v after the leader was killed", outageMax)
		}
		if time.Since(killed) > max(watch, longest+time.Second) && quiet < 100*time.Millisecond {
			return longest, nil
		}
	}
}

// next waits for the next acknowledgement and returns the longest gap up to it.
func (a *ackLog) next(ctx context.Context, _ time.Time) (time.Duration, error) {
	for began := time.Now(); ; {
		longest, last := a.look()
		switch {
		case last.After(began):
			return longest, nil
		case time.Since(began) > outageMax:
			return 0, fmt.Errorf("no write was acknowledged for %v after the leader had stopped", outageMax)
		}
		if err := sleep(ctx, time.Millisecond); err != nil {
			return 0, err
		}
	}
}

// writeUntil writes without pause until ctx ends.
func writeUntil(ctx context.Context, client kvClient, nodes, writer int, acks *ackLog) {
	v := newValues(uint64(writer), valueLen)
	node := writer % nodes
	for n := 0; ctx.Err() == nil; n++ {
		key := fmt.Sprintf("w:%d:%d", writer, n%1000)
		sampled := ""
		if n%sampleOne == 0 {
			key = fmt.Sprintf("s:%d:%d", writer, n)
			sampled = key
		}
		patience := attemptMin + rand.N(attemptMax-attemptMin)
		attempt, cancel := context.WithTimeout(ctx, patience)
		err := client.put(attempt, node, key, v.next())
		cancel()
		if err == nil {
			acks.add(sampled)
			continue
		}
		node = rand.IntN(nodes)
		// A refused connection fails at once; do not spin on it.
		_ = sleep(ctx, 2*time.Millisecond)
	}
}

// readBack looks for the sampled acknowledged writes. The keys are written
// once each, so a missing one is lost.
func (r *failoverResult) readBack(ctx context.Context, c failoverCluster, keys []string) error {
	client, err := c.newClient()
	if err != nil {
		return err
	}
	defer client.close()
	for i, key := range keys {
		found, err := client.has(ctx, i%nodeCount, key)
		if err != nil {
			return fmt.Errorf("read back %s: %w", key, err)
		}
		r.Checked++
		if !found {
			r.Lost++
		}
	}
	return nil
}

func (r *failoverResult) finish() {
	r.Kills = len(r.GapsMs)
	if r.Kills == 0 {
		return
	}
	sorted := slices.Sorted(slices.Values(r.GapsMs))
	r.P50Ms, r.CalmMs = median(sorted), median(r.calm)
	r.P99Ms = sorted[(len(sorted)*99+99)/100-1] // nearest rank
	r.MaxMs = sorted[len(sorted)-1]
}

func printFailover(how string, results []*failoverResult) {
	fmt.Printf("\nLongest gap between acknowledged writes, per failed leader (%s)\n",
		pick(how == "kill", "kill -9: its connections break", "SIGSTOP: it falls silent"))
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "system\tkills\tp50 ms\tp99 ms\tmax ms\tcalm ms\tacked\tread back\tlost\t")
	for _, r := range results {
		fmt.Fprintf(t, "%s\t%d\t%.0f\t%.0f\t%.0f\t%.0f\t%d\t%d\t%d\t\n",
			r.System, r.Kills, r.P50Ms, r.P99Ms, r.MaxMs, r.CalmMs, r.Acked, r.Checked, r.Lost)
	}
	_ = t.Flush()
	for _, r := range results {
		if r.System == "tutti-dev" && r.Kills > 0 && how == "kill" {
			fmt.Printf("%-7s tutti p50 %.0f ms (goal ≤ 300), p99 %.0f ms (goal ≤ 500)\n",
				pick(r.P50Ms <= 300 && r.P99Ms <= 500, "met", "not met"), r.P50Ms, r.P99Ms)
		}
	}
}

// nodeName is the folder and log name of a node.
func nodeName(node int) string { return "node-" + strconv.Itoa(node+1) }
