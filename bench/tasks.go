package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"
)

// Queues of tasks that do nothing: added, run, and recorded as done, durably, by the
// Go library of each system.

// The load.
const (
	taskProducers   = 64
	taskHandlers    = 64
	taskAhead       = 256  // fetched by one connection before there is a handler for them
	taskBacklog     = 1000 // added and not run yet, at most
	taskBatch       = 100
	taskBatchers    = 8
	taskSettleTime  = 20 * time.Second // for what is on its way to be run
	taskIdlePause   = 5 * time.Millisecond
	taskPayloadSize = valueLen
)

// taskQueue is one running system, with a queue of its own.
type taskQueue interface {
	// work starts the handlers, which call ran with each payload, until stop.
	work(ctx context.Context, ran func(payload []byte)) (stop func(), err error)
	// add returns when the tasks are durable. producer counts from 0.
	add(ctx context.Context, producer int, payloads [][]byte) error
	// cpu is what the servers have used so far.
	cpu() (time.Duration, error)
	stop()
}

// taskSystem is one running system, whose load is made where its library runs.
type taskSystem interface {
	// measure runs one case, and returns when what was added has run.
	measure(ctx context.Context, c taskCase, measure time.Duration) (sample, error)
	stop()
}

// goTasks is a system with a library for Go.
type goTasks struct{ taskQueue }

func (q goTasks) measure(ctx context.Context, c taskCase, measure time.Duration) (sample, error) {
	return measureTasks(ctx, q, c, measure)
}

// inGo starts a system with a library for Go.
func inGo[Q taskQueue](start func(ctx context.Context, l *lab) (Q, error)) func(ctx context.Context, l *lab) (taskSystem, error) {
	return func(ctx context.Context, l *lab) (taskSystem, error) {
		q, err := start(ctx, l)
		return goTasks{q}, err
	}
}

// taskStarters by the names that --peers takes.
var taskStarters = map[string]func(ctx context.Context, l *lab) (taskSystem, error){
	"tutti":  inGo(startTuttiTasks),
	"nats":   inGo(startNATS),
	"asynq":  inGo(startAsynq),
	"river":  inGo(startRiver),
	"bullmq": startBullMQ,
}

// taskCase is one shape of load.
type taskCase struct {
	name      string
	producers int
	batch     int
	idle      bool // one task at a time, with a pause between them
}

func taskCases() []taskCase {
	return []taskCase{
		{name: "idle", producers: 1, batch: 1, idle: true},
		{name: "single", producers: taskProducers, batch: 1},
		{name: "batch", producers: taskBatchers, batch: taskBatch},
	}
}

func (c taskCase) applies(system string) bool { return c.batch == 1 || system != "asynq" } // which adds one by one

// onOneDisk says that what is acknowledged has one copy.
func onOneDisk(system string) bool {
	return system == "asynq" || system == "river" || system == "bullmq"
}

// tasksReport is what is kept of a run.
type tasksReport struct {
	Machine machine  `json:"machine"`
	Rounds  int      `json:"rounds"`
	Samples []sample `json:"samples"`
	// Waiting is of very many tasks that wait, in the last round.
	Waiting  *waitingReport `json:"waiting,omitempty"`
	Failures []string       `json:"failures,omitempty"`

	cases []taskCase
}

func tasksMain(ctx context.Context, args []string) error {
	flags, o := commonFlags("tasks")
	peers := flags.String("peers", "tutti,nats,asynq", "`systems` to run, comma separated")
	seconds := flags.Float64("seconds", 5, "measured `seconds` per case, after a warm-up of a fifth of it")
	rounds := flags.Int("rounds", 3, "how often each system runs, in turn")
	only := flags.String("only", "idle,single,batch", "`cases` to run, comma separated; waiting is one more, of tutti only")
	waiting := flags.Int("waiting", 1_000_000, "`tasks` that wait in the case waiting")
	if err := o.parseKnown(flags, args, peers, func(name string) bool { return taskStarters[name] != nil }, "tutti, nats, asynq, river, bullmq"); err != nil {
		return err
	}
	if *seconds <= 0 || *rounds < 1 {
		return fmt.Errorf("%w: --seconds or --rounds is not positive", errUsage)
	}
	cases, err := parseTaskCases(*only)
	if err != nil {
		return err
	}
	l, missing, err := prepare(ctx, o)
	if err != nil {
		return err
	}
	defer l.close()
	r := &tasksReport{Machine: l.machine, Rounds: *rounds, cases: cases}
	if slices.Contains(strings.Split(*only, ","), waitingCase) {
		if err := r.runWaiting(ctx, l, *waiting, time.Duration(*seconds*float64(time.Second))); err != nil {
			return err
		}
	}
	for round := 1; round <= *rounds && len(cases) > 0; round++ {
		for i := range o.peers {
			name := o.peers[(i+round-1)%len(o.peers)]
			if err := r.run(ctx, l, name, round, time.Duration(*seconds*float64(time.Second))); err != nil {
				if ctx.Err() != nil {
					return ctx.Err()
				}
				r.Failures = append(r.Failures, fmt.Sprintf("%s round %d: %v", name, round, err))
				fmt.Printf("%s: round %d ended early: %v\n", name, round, err)
			}
		}
	}
	if len(cases) > 0 {
		r.print(os.Stdout, o.peers)
	}
	missed := r.Waiting != nil && !r.Waiting.print(os.Stdout)
	if err := writeJSON(o.jsonPath, "tasks", r.Machine.Date, r); err != nil {
		return err
	}
	if len(r.Failures) > 0 {
		return fmt.Errorf("%d rounds ended early", len(r.Failures))
	}
	if missed {
		return errors.New("waiting tasks cost more than they may")
	}
	return missingError(missing)
}

// waitingCase is run by itself, once.
const waitingCase = "waiting"

// parseTaskCases finds the cases that are run in turn.
func parseTaskCases(only string) (cases []taskCase, err error) {
	for name := range strings.SplitSeq(only, ",") {
		i := slices.IndexFunc(taskCases(), func(c taskCase) bool { return c.name == name })
		switch {
		case i >= 0:
			cases = append(cases, taskCases()[i])
		case name != waitingCase:
			return nil, fmt.Errorf("%w: unknown case %q in --only (known: idle, single, batch, waiting)", errUsage, name)
		}
	}
	return cases, nil
}

// runWaiting runs the case of very many tasks that wait, on a cluster of its own.
func (r *tasksReport) runWaiting(ctx context.Context, l *lab, waiting int, measure time.Duration) error {
	t, err := startTuttiTasks(ctx, l)
	if err != nil {
		return err
	}
	defer t.stop()
	r.Waiting, err = measureWaiting(ctx, t, waiting, measure)
	return err
}

// run starts one system, runs all cases and stops it.
func (r *tasksReport) run(ctx context.Context, l *lab, name string, round int, measure time.Duration) error {
	q, err := taskStarters[name](ctx, l)
	if err != nil {
		return err
	}
	defer q.stop()
	for _, c := range r.cases {
		if !c.applies(name) {
			continue
		}
		s, err := q.measure(ctx, c, measure)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		s.System, s.Case, s.Round = name, c.name, round
		r.Samples = append(r.Samples, s)
		fmt.Printf("round %d %-6s %-7s %8.0f tasks/s  add to handler p50 %7.2f  p99 %7.2f ms  CPU %6.1f µs/task  (clients %5.1f)%s\n",
			round, name, c.name, s.OpsPerSec, s.P50Ms, s.P99Ms, s.ServerCPUUs, s.ClientCPUUs, s.errorNote())
	}
	return nil
}

// flow is the tasks of one case on their way.
type flow struct {
	queue taskQueue
	began time.Time
	slots chan struct{} // one value a task that has not run
	ran   chan struct{} // of the idle case: after each task

	mu       sync.Mutex // guards what follows
	counting bool
	tally    tally
}

// handled is called by a handler. A task that runs twice counts twice, as it costs.
func (f *flow) handled(payload []byte) {
	now := time.Since(f.began)
	select {
	case <-f.slots:
	default: // it ran before
	}
	f.mu.Lock()
	if f.counting {
		f.tally.ops++
		f.tally.latency.add(now - time.Duration(binary.BigEndian.Uint64(payload)))
	}
	f.mu.Unlock()
	if f.ran != nil {
		select {
		case f.ran <- struct{}{}:
		default:
		}
	}
}

// produce adds tasks until ctx is done.
func (f *flow) produce(ctx context.Context, c taskCase, producer int) {
	values := newValues(uint64(producer), valueLen)
	for ctx.Err() == nil {
		payloads := make([][]byte, c.batch)
		for i := range payloads {
			select {
			case f.slots <- struct{}{}:
			case <-ctx.Done():
				f.release(i)
				return
			}
			payloads[i] = slices.Clone(values.next())
		}
		now := uint64(time.Since(f.began))
		for _, p := range payloads {
			binary.BigEndian.PutUint64(p, now)
		}
		if err := f.queue.add(context.WithoutCancel(ctx), producer, payloads); err != nil {
			f.mu.Lock()
			f.tally.fail(len(payloads), err)
			f.mu.Unlock()
			f.release(len(payloads))
			_ = sleep(ctx, 100*time.Millisecond)
			continue
		}
		if !c.idle {
			continue
		}
		select {
		case <-f.ran:
		case <-ctx.Done():
		}
		_ = sleep(ctx, taskIdlePause)
	}
}

// release gives back the slots of tasks that were not added.
func (f *flow) release(n int) {
	for range n {
		<-f.slots
	}
}

// measureTasks runs one case, and waits until what was added has run: the next case
// begins with an empty queue.
func measureTasks(ctx context.Context, q taskQueue, c taskCase, measure time.Duration) (sample, error) {
	f := &flow{queue: q, began: time.Now(), slots: make(chan struct{}, taskBacklog)}
	if c.idle {
		f.ran = make(chan struct{}, 1)
	}
	stopWork, err := q.work(ctx, f.handled)
	if err != nil {
		return sample{}, err
	}
	defer stopWork()
	adding, stopAdding := context.WithCancel(ctx)
	var producers sync.WaitGroup
	for i := range c.producers {
		producers.Go(func() { f.produce(adding, c, i) })
	}
	halt := sync.OnceFunc(func() { stopAdding(); producers.Wait() })
	defer halt()
	if err := sleep(ctx, measure/5); err != nil {
		return sample{}, err
	}
	s, err := f.count(ctx, q, measure)
	halt()
	if err != nil {
		return s, err
	}
	for end := time.Now().Add(taskSettleTime); len(f.slots) > 0; {
		if time.Now().After(end) {
			return s, fmt.Errorf("%d tasks that were acknowledged did not run within %v", len(f.slots), taskSettleTime)
		}
		if err := sleep(ctx, 10*time.Millisecond); err != nil {
			return s, err
		}
	}
	return s, nil
}

// count counts for a while what runs.
func (f *flow) count(ctx context.Context, q taskQueue, measure time.Duration) (sample, error) {
	server, err := q.cpu()
	if err != nil {
		return sample{}, err
	}
	client, began := ownCPU(), time.Now()
	f.mu.Lock()
	f.counting = true
	f.mu.Unlock()
	if err := sleep(ctx, measure); err != nil {
		return sample{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.counting = false
	t := &f.tally
	t.elapsed = time.Since(began)
	after, err := q.cpu()
	if err != nil {
		return sample{}, err
	}
	if t.ops == 0 {
		return sample{}, fmt.Errorf("no task has run in %v; %d errors, the first: %w", t.elapsed, t.errors, orNone(t.first))
	}
	ops := float64(t.ops)
	s := sample{
		OpsPerSec: ops / t.elapsed.Seconds(), P50Ms: ms(t.latency.quantile(0.50)), P99Ms: ms(t.latency.quantile(0.99)),
		ServerCPUUs: float64((after - server).Microseconds()) / ops, ClientCPUUs: float64((ownCPU() - client).Microseconds()) / ops,
		Ops: t.ops, Errors: t.errors, Seconds: t.elapsed.Seconds(),
	}
	if t.first != nil {
		s.FirstError = t.first.Error()
	}
	return s, nil
}

// print shows the medians of the rounds, and how often the first system's goes into
// each.
func (r *tasksReport) print(w io.Writer, peers []string) {
	median := func(system, c string, of func(sample) float64) float64 {
		return medianOf(slices.DeleteFunc(slices.Clone(r.Samples), func(s sample) bool { return s.System != system || s.Case != c }), of)
	}
	rate, p50 := func(s sample) float64 { return s.OpsPerSec }, func(s sample) float64 { return s.P50Ms }
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "\nmedians of %d rounds\t%s\n", r.Rounds, strings.Join(peers, "\t"))
	for _, c := range r.cases {
		fmt.Fprintf(t, "%s, tasks/s", c.name)
		for _, p := range peers {
			fmt.Fprint(t, "\t", figureOr("%.0f", median(p, c.name, rate)))
		}
		fmt.Fprintf(t, "\n%s, add to handler p50 ms", c.name)
		for _, p := range peers {
			fmt.Fprint(t, "\t", figureOr("%.2f", median(p, c.name, p50)))
		}
		fmt.Fprintln(t)
	}
	t.Flush()
	fmt.Fprintln(w)
	if one := slices.DeleteFunc(slices.Clone(peers), func(p string) bool { return !onOneDisk(p) }); len(one) > 0 {
		fmt.Fprintf(w, "%s: one server, durable on one disk only: no second copy is waited for, which is in its favour\n", strings.Join(one, ", "))
	}
	for _, goal := range []struct {
		c     string
		times float64
	}{{"single", 2}, {"batch", 4}} {
		ours, theirs := median("tutti", goal.c, rate), median("nats", goal.c, rate)
		if ours == 0 || theirs == 0 {
			continue
		}
		fmt.Fprintf(w, "%s: %.1f times NATS JetStream; the goal is %.0f: %s\n", goal.c, ours/theirs, goal.times, pick(ours >= goal.times*theirs, "reached", "missed"))
	}
	if ours, theirs := median("tutti", "idle", p50), median("nats", "idle", p50); ours > 0 && theirs > 0 {
		fmt.Fprintf(w, "idle: add to handler %.2f ms, NATS JetStream's %.2f; the goal is no more: %s\n", ours, theirs, pick(ours <= theirs, "reached", "missed"))
	}
}

// medianOf returns the median of a figure; 0: there are no samples.
func medianOf(samples []sample, of func(sample) float64) float64 {
	var all []float64
	for _, s := range samples {
		all = append(all, of(s))
	}
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[len(all)/2]
}

// figureOr formats a figure that was measured.
func figureOr(format string, v float64) string {
	if v == 0 {
		return "–"
	}
	return fmt.Sprintf(format, v)
}
