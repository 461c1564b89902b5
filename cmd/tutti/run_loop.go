package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"tutti/internal/resp"
)

const (
	runLease     = 30 * time.Second
	runBeat      = runLease / 3
	runClaimWait = 2 * time.Second
	runClaimMax  = 100      // tasks in one claim
	runPatience  = runLease // with a cluster that does not answer
)

// claimedTask is a task that is this run's own to run.
type claimedTask struct{ id, token, payload string }

// claims is an answer to a claim.
type claims struct {
	tasks []claimedTask
	err   error
}

// hereRunner runs the commands of one run on this machine. Its fields belong to the goroutine of run; the
// claimer and the commands' goroutines, of which run waits for each, send to channels.
type hereRunner struct {
	o       batchOptions
	s       *session
	queue   string
	host    string
	worker  string
	jobs    []job
	numbers map[string]int // of jobs, by payload
	folder  string         // of output
	log     *joblog

	running map[string]context.CancelFunc // by id
	ended   chan ending                   // as many as can run fit
	order   outputOrder
	final   int // commands that have ended for good, as this run has recorded

	tally    tally
	progress *progress
}

func newRunner(o batchOptions, s *session, queue string, jobs []job) (*hereRunner, error) {
	host, _ := os.Hostname()
	r := &hereRunner{o: o, host: host, s: s, queue: queue, jobs: jobs, numbers: make(map[string]int, len(jobs)), running: map[string]context.CancelFunc{}, ended: make(chan ending, o.runners)}
	r.worker = fmt.Sprintf("%.80s/%d", host, os.Getpid())
	for i, j := range jobs {
		r.numbers[j.payload] = i + 1
	}
	var err error
	if r.folder, err = os.MkdirTemp("", "tutti-run-"); err != nil {
		return nil, failed(err, "")
	}
	if r.log, err = openJoblog(o.joblog); err != nil {
		r.close()
		return nil, failed(err, "")
	}
	r.order = newOutputOrder(o.keep)
	if r.tally.halt, err = parseHalt(o.halt); err != nil {
		return nil, err
	}
	r.tally.all, r.progress = len(jobs), newProgress(o.eta, len(jobs))
	return r, nil
}

func (r *hereRunner) close() { _ = os.RemoveAll(r.folder) }

// run claims and runs tasks until all have ended. The end of ctx claims no more;
// stop gives signals back to the system, so that a second one kills this process and,
// with it, the commands.
func (r *hereRunner) run(ctx context.Context, stop func()) error {
	kill, killAll := context.WithCancel(context.Background())
	want, got := make(chan int), make(chan claims, 1)
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		r.claimAll(want, got)
	}()
	err := r.loop(ctx, stop, kill, want, got)
	close(want)
	killAll()
	for range r.running {
		<-r.ended
	}
	<-gone
	r.progress.clear()
	err = errors.Join(err, r.order.flush(), r.log.close())
	e, ok := errors.AsType[*exitError](err)
	switch {
	case ok:
		return e
	case err != nil:
		return failed(err, "tutti job show "+r.queue)
	case ctx.Err() != nil && r.final < len(r.jobs):
		return &exitError{code: exitInterrupted, what: fmt.Sprintf("interrupted: %d of %d commands have not ended", len(r.jobs)-r.final, len(r.jobs)),
			safe: "what ended is recorded, what did not is in the queue", do: "tutti job show " + r.queue + "   or   tutti job cancel " + r.queue}
	}
	if r.tally.halted {
		return r.tally.verdict(r.queue)
	}
	return r.verdict()
}

// loop is the life of the runner's goroutine.
func (r *hereRunner) loop(ctx context.Context, stop func(), kill context.Context, want chan<- int, got <-chan claims) error {
	beat := time.NewTicker(runBeat)
	defer beat.Stop()
	asked, more, interrupted := false, true, ctx.Done()
	for {
		free, left := r.o.runners-len(r.running), len(r.jobs)-r.final-len(r.running)
		more = more && r.final < len(r.jobs) && !r.tally.halted
		switch {
		case more && !asked && free > 0 && left > 0:
			want <- min(free, left, runClaimMax)
			asked = true
		case !more && !asked && len(r.running) == 0:
			return nil
		}
		select {
		case <-interrupted:
			more, interrupted = false, nil
			stop()
			r.progress.clear()
			fmt.Fprintf(os.Stderr, "waits for %d commands that run; Ctrl-C again kills them\n", len(r.running))
		case c := <-got:
			asked = false
			over, err := r.take(kill, c)
			if err != nil {
				return err
			}
			more = more && !over
		case out := <-r.ended:
			if err := r.finish(r.withOthers(out)); err != nil {
				return err
			}
		case <-beat.C:
			if err := r.beat(); err != nil {
				return err
			}
		}
	}
}

// claimAll answers each number on want with a claim of at most so many tasks.
func (r *hereRunner) claimAll(want <-chan int, got chan<- claims) {
	s := newSession(r.o.target, true)
	defer s.close()
	for n := range want {
		v, err := insist(s, "TASK.CLAIM", r.worker, "COUNT", strconv.Itoa(n), "BLOCK", strconv.FormatInt(runClaimWait.Milliseconds(), 10),
			"LEASE", strconv.FormatInt(runLease.Milliseconds(), 10), "FROM", r.queue)
		c := claims{err: err}
		for _, e := range v.Elems {
			if len(e.Elems) != 5 {
				c.err = errUnlike("TASK.CLAIM")
				break
			}
			c.tasks = append(c.tasks, claimedTask{string(e.Elems[0].Str), string(e.Elems[1].Str), string(e.Elems[4].Str)})
		}
		got <- c
	}
}

// insist asks again while the cluster does not answer: claims, beats, finishes and files
// may be said twice.
func insist(s *session, args ...string) (resp.Value, error) {
	end := time.Now().Add(runPatience)
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		v, err := s.ask(args...)
		e, ok := errors.AsType[*exitError](err)
		if !ok || time.Now().After(end) || e.code != exitUnreachable && e.code != exitUnavailable && e.code != exitUnknown {
			return v, err
		}
		time.Sleep(wait)
	}
}

// take starts what was claimed. It reports whether the run is over, because nothing of
// it is left that could be claimed.
func (r *hereRunner) take(kill context.Context, c claims) (over bool, err error) {
	if c.err != nil {
		return false, c.err
	}
	for _, t := range c.tasks {
		if r.tally.halted { // since it was asked for
			if _, err := insist(r.s, "TASK.CANCEL", t.id); err != nil {
				return false, err
			}
			continue
		}
		n := r.numbers[t.payload]
		if n == 0 {
			fmt.Fprintf(os.Stderr, "task %s is none of this run: not run\n", t.id)
			if _, err := insist(r.s, "TASK.FAIL", t.id, t.token, "not a command of this run", "DEAD"); err != nil {
				return false, err
			}
			continue
		}
		e := execution{number: n, claim: t, argv: r.jobs[n-1].Argv, timeout: r.o.timeout, folder: r.folder}
		ctx, cancel := context.WithCancel(kill)
		r.running[t.id] = cancel
		go func() { r.ended <- e.run(ctx) }()
	}
	if len(c.tasks) > 0 || len(r.running) > 0 {
		return false, nil
	}
	q, err := askQueue(r.s, r.queue)
	if err != nil {
		return false, err
	}
	return unended(q) == 0, nil
}

// unended is how many tasks of a queue have not ended.
func unended(queue resp.Value) (n int64) {
	for _, state := range []string{"waiting", "scheduled", "ready", "running"} {
		n += fieldOf(queue, state).Int
	}
	return n
}

// withOthers returns an ending with those that have come since.
func (r *hereRunner) withOthers(first ending) []ending {
	list := []ending{first}
	for {
		select {
		case out := <-r.ended:
			list = append(list, out)
		default:
			for _, out := range list {
				r.running[out.claim.id]() // frees the context
				delete(r.running, out.claim.id)
			}
			return list
		}
	}
}

// runResult is what is recorded of a command that succeeded.
type runResult struct {
	Version int   `json:"version"`
	Exit    int   `json:"exit"`
	Millis  int64 `json:"ms"`
}

// finish records outcomes, those that succeeded in one step, and prints what was
// written by those that have ended for good.
func (r *hereRunner) finish(list []ending) error {
	done, args := []ending{}, []string{"TASK.DONE"}
	for _, out := range list {
		if out.why != "" {
			if err := r.fail(out); err != nil {
				return err
			}
			continue
		}
		text, err := json.Marshal(runResult{Version: 1, Millis: out.took.Milliseconds()})
		if err != nil {
			return err
		}
		done, args = append(done, out), append(args, out.claim.id, out.claim.token, string(text))
	}
	if len(done) == 0 {
		return nil
	}
	v, err := insist(r.s, args...)
	if err != nil {
		return err
	}
	for i, out := range done {
		recorded := v.Int
		if len(done) > 1 && i < len(v.Elems) {
			recorded = v.Elems[i].Int
		}
		if recorded != 0 { // else another runner has it, or it was cancelled
			if err := r.print(out); err != nil {
				return err
			}
		}
	}
	return nil
}

// fail records that an attempt failed.
func (r *hereRunner) fail(out ending) error {
	v, err := insist(r.s, "TASK.FAIL", out.claim.id, out.claim.token, out.why)
	if err != nil || string(v.Str) != "dead" {
		return err
	}
	return r.print(out)
}

// print takes the output of a command that has ended for good.
func (r *hereRunner) print(out ending) error {
	r.final++
	r.progress.clear()
	line := logLine{number: out.number, host: r.host, began: out.began, took: out.took, exit: out.exit, signal: int(out.signal), argv: out.argv}
	if info, err := os.Stat(out.output("out")); err == nil {
		line.received = info.Size()
	}
	output := out.copyOutput
	if r.o.tags != nil {
		output = tagged(r.o.tags[out.number-1], output)
	}
	if err := errors.Join(r.log.add(line), r.order.add(out.number, output)); err != nil {
		return err
	}
	if r.tally.add(out.number, out.why != "", out.exit, int(out.signal), out.began.Add(out.took)) {
		return r.halt()
	}
	r.progress.show(r.final, r.tally.bad)
	return nil
}

// halt has no more commands begin, and kills those that run if that is wanted.
func (r *hereRunner) halt() error {
	fmt.Fprint(os.Stderr, r.tally.says(r.queue))
	if _, err := cancelJob(r.s, r.queue, r.tally.halt.now); err != nil {
		return err
	}
	if r.tally.halt.now {
		for _, cancel := range r.running {
			cancel()
		}
	}
	return nil
}

// beat renews the leases, and kills what need not go on.
func (r *hereRunner) beat() error {
	v, err := insist(r.s, "TASK.BEAT", r.worker)
	for _, e := range v.Elems {
		if cancel := r.running[string(e.Str)]; cancel != nil {
			cancel()
		}
	}
	return err
}

// verdict is the exit code, from what the cluster has recorded.
func (r *hereRunner) verdict() error {
	if len(r.jobs) == 0 {
		return nil // there is no queue
	}
	q, err := askQueue(r.s, r.queue)
	if err != nil {
		return err
	}
	bad := len(r.jobs) - int(fieldOf(q, "total-done").Int)
	if bad <= 0 {
		return nil
	}
	fmt.Fprintf(os.Stderr, "%d of %d commands failed: tutti job show %s\n", bad, len(r.jobs), r.queue)
	return &exitError{code: min(bad, runFailedMax)}
}
