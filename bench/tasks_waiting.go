package main

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"
)

// A queue in which very many tasks wait is to be as fast as an empty one, and to cost
// a node little memory: what waits is to lie on the disk. Both queues are those of one
// cluster and are worked off in turn, under the load of the case "batch".

const (
	waitingQueue     = "bench-waiting"
	waitingRounds    = 3
	waitingGrowthMiB = 64.0 // of a node, at most
	waitingRate      = 0.8  // of an empty queue's, at least
	fillers          = 4
	fillBatch        = 1000 // tasks of one command
)

// waitingReport is what is kept of it.
type waitingReport struct {
	Waiting   int       `json:"waiting"`
	FillSec   float64   `json:"fill_seconds"`
	Empty     []sample  `json:"empty"`
	Full      []sample  `json:"full"`
	BeforeMiB []float64 `json:"before_mib"` // peak of each node, supervisor first
	AfterMiB  []float64 `json:"after_mib"`
}

// measureWaiting measures an empty queue, fills another one, and measures both in turn.
func measureWaiting(ctx context.Context, t *tuttiTasks, waiting int, measure time.Duration) (*waitingReport, error) {
	c := taskCase{name: "waiting", producers: taskBatchers, batch: taskBatch}
	r := &waitingReport{Waiting: waiting}
	if err := t.clients[0].Do(ctx, "TASK.QUEUE", waitingQueue, "MAXLEN", 2*waiting+taskBacklog+fillers*fillBatch).Err(); err != nil {
		return nil, err
	}
	// Caches and memtables have fixed sizes. They are to be full before: what is compared
	// is the memory with a tenth of the tasks.
	few := *r
	if err := few.turn(ctx, t, c, waiting/10, measure); err != nil {
		return nil, err
	}
	var err error
	if r.BeforeMiB, err = peaks(t.pids()); err != nil {
		return nil, err
	}
	for range waitingRounds {
		if err := r.turn(ctx, t, c, waiting, measure); err != nil {
			return nil, err
		}
	}
	r.AfterMiB, err = peaks(t.pids())
	return r, err
}

// turn fills the one queue and measures both.
func (r *waitingReport) turn(ctx context.Context, t *tuttiTasks, c taskCase, waiting int, measure time.Duration) error {
	began := time.Now()
	if err := t.fill(ctx, waitingQueue, waiting); err != nil {
		return fmt.Errorf("fill: %w", err)
	}
	r.FillSec += time.Since(began).Seconds()
	for _, of := range []struct {
		queue string
		to    *[]sample
	}{{"", &r.Empty}, {waitingQueue, &r.Full}} {
		if err := rest(ctx, t.pids()); err != nil {
			return err
		}
		t.only = of.queue
		s, err := measureTasks(ctx, t, c, measure)
		t.only = ""
		if err != nil {
			return err
		}
		*of.to = append(*of.to, s)
	}
	return nil
}

// rest waits until the nodes have done what a load has left them to do: compactions
// go on for a while.
func rest(ctx context.Context, pids []int) error {
	const idle, longest = 100 * time.Millisecond, 2 * time.Minute // CPU in a second
	for end := time.Now().Add(longest); time.Now().Before(end); {
		before, err := cpuTime(pids)
		if err != nil {
			return err
		}
		if err := sleep(ctx, time.Second); err != nil {
			return err
		}
		after, err := cpuTime(pids)
		if err != nil || after-before < idle {
			return err
		}
	}
	return nil
}

// peaks are the most memory that each process had resident.
func peaks(pids []int) (mib []float64, err error) {
	for _, pid := range pids {
		_, peak, err := resident(pid)
		if err != nil {
			return nil, err
		}
		mib = append(mib, peak)
	}
	return mib, nil
}

// fill adds tasks to a queue that nobody works off, until so many are ready.
func (t *tuttiTasks) fill(ctx context.Context, queue string, until int) error {
	reply, err := t.clients[0].Do(ctx, "TASK.QUEUE", queue).Result()
	if err != nil {
		return err
	}
	fields, _ := reply.(map[any]any)
	have, ok := fields["ready"].(int64)
	if !ok {
		return fmt.Errorf("queue %s does not tell what is ready: %v", queue, reply)
	}
	batches := make(chan int)
	errs := make(chan error, fillers)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var adding sync.WaitGroup
	for i := range fillers {
		adding.Go(func() {
			values := newValues(uint64(1000+i), valueLen)
			for n := range batches {
				args := []any{"TASK.ADD", queue, "COUNT", n}
				for range n {
					args = append(args, append([]byte(nil), values.next()...))
				}
				if err := t.clients[i%len(t.clients)].Do(ctx, args...).Err(); err != nil {
					errs <- err
					cancel()
					return
				}
			}
		})
	}
	for left := until - int(have); left > 0 && ctx.Err() == nil; left -= fillBatch {
		select {
		case batches <- min(left, fillBatch):
		case <-ctx.Done():
		}
	}
	close(batches)
	adding.Wait()
	select {
	case err := <-errs:
		return err
	default:
		return ctx.Err()
	}
}

// print shows what came of it, and reports whether the goals were reached.
func (r *waitingReport) print(w io.Writer) (reached bool) {
	rate := func(s sample) float64 { return s.OpsPerSec }
	cpu := func(s sample) float64 { return s.ServerCPUUs }
	of := medianOf(r.Full, rate) / medianOf(r.Empty, rate)
	growth := 0.0
	for i := range r.AfterMiB {
		growth = max(growth, r.AfterMiB[i]-r.BeforeMiB[i])
	}
	fmt.Fprintf(w, "\n%d tasks wait (added in %.0f s): %.0f tasks/s, with an empty queue %.0f: %.2f times; the goal is %.1f: %s\n",
		r.Waiting, r.FillSec, medianOf(r.Full, rate), medianOf(r.Empty, rate), of, waitingRate, pick(of >= waitingRate, "reached", "missed"))
	fmt.Fprintf(w, "CPU %.1f µs/task, with an empty queue %.1f\n", medianOf(r.Full, cpu), medianOf(r.Empty, cpu))
	fmt.Fprintf(w, "peak memory of the processes, before %.0f MiB, after %.0f: at most %.0f more; the goal is %.0f: %s\n",
		r.BeforeMiB, r.AfterMiB, growth, waitingGrowthMiB, pick(growth <= waitingGrowthMiB, "reached", "missed"))
	return of >= waitingRate && growth <= waitingGrowthMiB
}
