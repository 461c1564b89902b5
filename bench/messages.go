package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"tutti/internal/proof/respclient"
)

// Messages: elements that somebody waits for, and what is published to many.

const (
	messagePairs       = 50   // producers and consumers, each two with a list of their own
	messageSubscribers = 1000 // over all nodes
	messagePublishers  = 4    // through the first node, each with one message on its way
	messagePatience    = 30 * time.Second
	messageChannel     = "bench:messages"
)

// messageCase is one shape of load.
type messageCase struct {
	name string
	run  func(ctx context.Context, m *messageRun) error
}

func messageCases() []messageCase {
	return []messageCase{{"pairs", runPairs}, {"publish", runPublish}}
}

// messageRun is one case on one system.
type messageRun struct {
	addrs   []string
	barrier bool // Redis is asked after each write whether a second copy has it
	pids    []int
	measure time.Duration

	// Set by start.
	began, end time.Time
	cpu        time.Duration // of all nodes until then

	mu    sync.Mutex // guards what follows
	times histogram
	count int
	err   error
}

// start begins to count: all clients are there.
func (m *messageRun) start() (err error) {
	m.began = time.Now()
	m.end = m.began.Add(m.measure)
	m.cpu, err = cpuTime(m.pids)
	return err
}

func (m *messageRun) done(took time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.times.add(took)
	m.count++
}

func (m *messageRun) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.err = errors.Join(m.err, err)
}

// messagesReport is what was measured.
type messagesReport struct {
	Machine machine  `json:"machine"`
	Rounds  int      `json:"rounds"`
	Samples []sample `json:"samples"`
}

func messagesMain(ctx context.Context, args []string) error {
	flags, o, peers := newFlags("messages", "tutti,redis")
	seconds := flags.Float64("seconds", 5, "measured `seconds` per case")
	rounds := flags.Int("rounds", 3, "how often each system runs, in turn")
	known := func(name string) bool { return starters[name] != nil && name != "etcd" && name != "etcd-tuned" }
	if err := o.parseKnown(flags, args, peers, known, "tutti, tutti-dev, redis, valkey"); err != nil {
		return err
	}
	if *seconds <= 0 || *rounds < 1 {
		return fmt.Errorf("%w: --seconds or --rounds is not positive", errUsage)
	}
	l, missing, err := prepare(ctx, o)
	if err != nil {
		return err
	}
	defer l.close()
	r := &messagesReport{Machine: l.machine, Rounds: *rounds}
	for round := 1; round <= *rounds; round++ {
		for i := range o.peers {
			if err := r.round(ctx, l, o.peers[(i+round-1)%len(o.peers)], round, time.Duration(*seconds*float64(time.Second))); err != nil {
				return err
			}
		}
	}
	r.print(os.Stdout, o.peers)
	if err := writeJSON(o.jsonPath, "messages", r.Machine.Date, r); err != nil {
		return err
	}
	return missingError(missing)
}

// round runs all cases on one fresh system.
func (r *messagesReport) round(ctx context.Context, l *lab, name string, round int, measure time.Duration) error {
	c, err := starters[name](ctx, l)
	if err != nil {
		return err
	}
	defer c.stop()
	addrs, barrier, err := clientsOf(ctx, c)
	if err != nil {
		return err
	}
	for _, mc := range messageCases() {
		m := &messageRun{addrs: addrs, barrier: barrier, pids: c.pids(), measure: measure}
		if err := errors.Join(mc.run(ctx, m), m.err); err != nil {
			return fmt.Errorf("%s: %s: %w", name, mc.name, err)
		}
		took := time.Since(m.began).Seconds()
		after, err := cpuTime(m.pids)
		if err != nil {
			return err
		}
		s := sample{System: name, Case: mc.name, Round: round, Ops: m.count, Seconds: took, OpsPerSec: float64(m.count) / took,
			P50Ms: ms(m.times.quantile(0.5)), P99Ms: ms(m.times.quantile(0.99)), ServerCPUUs: float64((after - m.cpu).Microseconds()) / float64(max(m.count, 1))}
		r.Samples = append(r.Samples, s)
		fmt.Printf("round %d %-6s %-8s %8.0f/s  p50 %7.2f  p99 %7.2f ms  CPU %8.1f µs each\n", round, name, mc.name, s.OpsPerSec, s.P50Ms, s.P99Ms, s.ServerCPUUs)
	}
	return nil
}

// clientsOf are the addresses of a system's nodes, that of the leader or primary first.
func clientsOf(ctx context.Context, c contender) (addrs []string, barrier bool, err error) {
	leader := 0
	switch x := c.(type) {
	case *redisCluster:
		return x.addrs, true, nil
	case formed:
		addrs = []string{x.nodes[0].addr, x.nodes[1].addr, x.nodes[2].addr}
		leader, err = x.leader(ctx)
	case *tuttiCluster:
		addrs = x.addrs
		leader, err = x.leader(ctx)
	default:
		return nil, false, fmt.Errorf("%T has no addresses of clients", c)
	}
	return slices.Concat(addrs[leader:], addrs[:leader]), false, err
}

// dial connects to a node.
func (m *messageRun) dial(ctx context.Context, node int) (*respclient.Conn, error) {
	return respclient.Dial(ctx, m.addrs[node], time.Now().Add(m.measure+2*messagePatience))
}

// write executes a command that writes, and waits for a second copy where that is not
// said by the reply.
func (m *messageRun) write(conn *respclient.Conn, args ...string) error {
	cmds := [][]string{args}
	if m.barrier {
		cmds = append(cmds, []string{"WAIT", "1", "1000"})
	}
	values, err := conn.Pipe(cmds...)
	if err != nil {
		return err
	}
	for _, v := range values {
		err = errors.Join(err, respclient.Err(v))
	}
	if last := values[len(values)-1]; m.barrier && err == nil && last.Int < 1 {
		err = errors.New("no second copy after a second")
	}
	return err
}

// runPairs has each producer push an element that its consumer waits for, again and
// again: what is timed is from before the push until both know.
func runPairs(ctx context.Context, m *messageRun) error {
	var conns [messagePairs][2]*respclient.Conn // producer, consumer
	for i := range conns {
		for j := range conns[i] {
			conn, err := m.dial(ctx, 0)
			if err != nil {
				return err
			}
			defer conn.Close()
			conns[i][j] = conn
		}
	}
	if err := m.start(); err != nil {
		return err
	}
	var wg sync.WaitGroup
	for i := range conns {
		list := "bench:pair:" + strconv.Itoa(i)
		producer, consumer := conns[i][0], conns[i][1]
		taken := make(chan error)
		wg.Go(func() {
			for range taken { // asked for one more
				taken <- m.write(consumer, "BRPOP", list, "20")
			}
		})
		wg.Go(func() {
			defer close(taken)
			for time.Now().Before(m.end) && ctx.Err() == nil {
				taken <- nil
				began := time.Now()
				err := m.write(producer, "LPUSH", list, "element")
				if err = errors.Join(err, <-taken); err != nil {
					m.fail(err)
					return
				}
				m.done(time.Since(began))
			}
		})
	}
	wg.Wait()
	return ctx.Err()
}

// runPublish has publishers publish to all subscribers, each the next message when all
// have the one before: what is timed is until the last one has it.
func runPublish(ctx context.Context, m *messageRun) error {
	var rings [messagePublishers]struct {
		left atomic.Int64
		all  chan struct{}
	}
	for i := range rings {
		rings[i].all = make(chan struct{}, 1)
	}
	var ears sync.WaitGroup
	defer ears.Wait()
	for i := range messageSubscribers {
		ear, err := m.dial(ctx, i%len(m.addrs))
		if err != nil {
			return err
		}
		defer ear.Close()
		if _, err := ear.Do("SUBSCRIBE", messageChannel); err != nil {
			return err
		}
		ears.Go(func() {
			for {
				v, err := ear.Receive()
				if err != nil {
					return // closed at the end
				}
				if n, err := strconv.Atoi(string(v.Elems[2].Str)); err == nil && rings[n].left.Add(-1) == 0 {
					rings[n].all <- struct{}{}
				}
			}
		})
	}
	if err := m.start(); err != nil {
		return err
	}
	var mouths sync.WaitGroup
	for i := range rings {
		mouth, err := m.dial(ctx, 0)
		if err != nil {
			return err
		}
		defer mouth.Close()
		mouths.Go(func() {
			for time.Now().Before(m.end) && ctx.Err() == nil {
				rings[i].left.Store(messageSubscribers)
				began := time.Now()
				if _, err := mouth.Do("PUBLISH", messageChannel, strconv.Itoa(i)); err != nil {
					m.fail(err)
					return
				}
				select {
				case <-rings[i].all:
					m.done(time.Since(began))
				case <-time.After(messagePatience):
					m.fail(fmt.Errorf("%d subscribers have not got a message", rings[i].left.Load()))
					return
				}
			}
		})
	}
	mouths.Wait()
	return ctx.Err()
}

// print shows medians, and how tutti's compare.
func (r *messagesReport) print(w io.Writer, systems []string) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "\nMedians of %d rounds\n", r.Rounds)
	rates := map[string]float64{}
	for _, mc := range messageCases() {
		for _, name := range systems {
			var of []sample
			for _, s := range r.Samples {
				if s.Case == mc.name && s.System == name {
					of = append(of, s)
				}
			}
			rate := medianOf(of, func(s sample) float64 { return s.OpsPerSec })
			rates[mc.name+name] = rate
			fmt.Fprintf(t, "%s\t%s\t%.0f/s\tp50 %.2f\tp99 %.2f ms\tCPU %.0f µs each\n", mc.name, name, rate, medianOf(of, func(s sample) float64 { return s.P50Ms }),
				medianOf(of, func(s sample) float64 { return s.P99Ms }), medianOf(of, func(s sample) float64 { return s.ServerCPUUs }))
		}
	}
	t.Flush()
	for _, mc := range messageCases() {
		if ours, theirs := rates[mc.name+"tutti"], rates[mc.name+"redis"]; ours > 0 && theirs > 0 {
			fmt.Fprintf(w, "%s: %.2f times redis; the goal is 1.0: %s\n", mc.name, ours/theirs, pick(ours >= theirs, "reached", "missed"))
		}
	}
}
