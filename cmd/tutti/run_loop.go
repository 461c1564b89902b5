package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"tutti/internal/resp"
)

const (
	runLease     = 30 * time.Second
	runBeat      = runLease / 3
	runClaimWait = 2 * time.Second
	runClaimMax  = 100      // tasks in one claim
	runPatience  = runLease // with a cluster that does not answer

	// Short commands are claimed ahead of their turn, as many as are run in runAhead, and
	// what came of them is recorded together, after runGather at the latest: a journey to
	// the cluster takes as long as several of them.
	runAhead  = 100 * time.Millisecond
	runGather = runAhead / 4
)

// claimedTask is a task that is this run's own to run.
type claimedTask struct{ id, token, payload string }

// claims is an answer to a claim.
type claims struct {
	tasks []claimedTask
	err   error
}

// hereRunner runs the commands of one run on this machine. Its fields belong to the goroutine of run; the
// claimer, the recorder and the commands' goroutines, of which run waits for each, send to channels.
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

	waiting []claimedTask                 // claimed ahead
	ahead   int                           // how many of them there may be
	running map[string]context.CancelFunc // by id
	ended   chan ending                   // as many as can run fit
	over    []ending                      // to be recorded
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
		return nil, err
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
	c := clerks{want: make(chan int), got: make(chan claims, 1), record: make(chan []ending), recorded: make(chan record, 1)}
	var gone sync.WaitGroup
	gone.Go(func() { r.claimAll(c.want, c.got) })
	gone.Go(func() { r.recordAll(c.record, c.recorded) })
	err := r.loop(ctx, stop, kill, c)
	close(c.want)
	close(c.record)
	killAll()
	for range r.running {
		<-r.ended
	}
	gone.Wait()
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

// clerks have commands claimed and recorded what came of them, for the loop. Each
// does one thing at a time.
type clerks struct {
	want     chan int
	got      chan claims
	record   chan []ending
	recorded chan record
}

// loop is the life of the runner's goroutine.
func (r *hereRunner) loop(ctx context.Context, stop func(), kill context.Context, c clerks) error {
	beat := time.NewTicker(runBeat)
	defer beat.Stop()
	gathered := time.NewTimer(0)
	defer gathered.Stop()
	asked, more, interrupted, recording := false, true, ctx.Done(), 0
	for {
		more = more && r.final < len(r.jobs) && !r.tally.halted
		if !more {
			if err := r.giveBack(); err != nil {
				return err
			}
		}
		r.begin(kill)
		if n := r.wants(recording); more && !asked && n > 0 {
			c.want <- n
			asked = true
		}
		if recording == 0 && r.due() {
			recording = len(r.over)
			c.record <- r.over
			r.over = nil
		}
		if !more && !asked && recording == 0 && len(r.running)+len(r.over) == 0 {
			return nil
		}
		select {
		case <-interrupted:
			more, interrupted = false, nil
			stop()
			r.progress.clear()
			fmt.Fprintf(os.Stderr, "waits for %d commands that run; Ctrl-C again kills them\n", len(r.running))
		case got := <-c.got:
			asked = false
			over, err := r.take(got, recording)
			if err != nil {
				return err
			}
			more = more && !over
		case out := <-r.ended:
			if len(r.over) == 0 {
				gathered.Reset(runGather)
			}
			r.end(out)
		case <-gathered.C:
		case done := <-c.recorded:
			recording = 0
			if err := r.finish(done); err != nil {
				return err
			}
		case <-beat.C:
			if err := r.beat(); err != nil {
				return err
			}
		}
	}
}

// wants is how many commands to claim now.
func (r *hereRunner) wants(recording int) int {
	if len(r.waiting) > r.ahead/2 {
		return 0 // a few at a time cost as much
	}
	room := r.o.runners + r.ahead - len(r.running) - len(r.waiting)
	left := len(r.jobs) - r.final - len(r.running) - len(r.waiting) - len(r.over) - recording
	return min(room, left, runClaimMax)
}

// begin starts commands that were claimed.
func (r *hereRunner) begin(kill context.Context) {
	for len(r.waiting) > 0 && len(r.running) < r.o.runners {
		t := r.waiting[0]
		r.waiting = r.waiting[1:]
		n := r.numbers[t.payload]
		e := execution{number: n, claim: t, argv: r.jobs[n-1].Argv, timeout: r.o.timeout, folder: r.folder}
		ctx, cancel := context.WithCancel(kill)
		r.running[t.id] = cancel
		go func() { r.ended <- e.run(ctx) }()
	}
}

// end takes a command that has ended.
func (r *hereRunner) end(out ending) {
	r.running[out.claim.id]() // frees the context
	delete(r.running, out.claim.id)
	r.over = append(r.over, out)
	if r.tally.halt.count == 0 { // else no more than is wanted is to begin after the last
		r.ahead = min(2*r.ahead+1, r.o.runners*int(runAhead/max(out.took, time.Microsecond)), runClaimMax)
	}
}

// due reports whether what has ended is to be recorded now.
func (r *hereRunner) due() bool {
	return len(r.over) > 0 && (len(r.over) >= runClaimMax || len(r.running) == 0 || r.tally.halt.count != 0 || time.Since(r.over[0].ended()) >= runGather)
}

// giveBack gives back what was claimed and is not to begin: if the run is halted it is
// cancelled, as all that nobody had claimed.
func (r *hereRunner) giveBack() error {
	for _, t := range r.waiting {
		args := []string{"TASK.FAIL", t.id, t.token, "the run was interrupted", "AGAIN"}
		if r.tally.halted {
			args = []string{"TASK.CANCEL", t.id}
		}
		if _, err := insist(r.s, args...); err != nil {
			return err
		}
	}
	r.waiting = nil
	return nil
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

// take takes what was claimed. It reports whether the run is over, because nothing of
// it is left that could be claimed.
func (r *hereRunner) take(c claims, recording int) (over bool, err error) {
	if c.err != nil {
		return false, c.err
	}
	for _, t := range c.tasks {
		if r.numbers[t.payload] != 0 {
			r.waiting = append(r.waiting, t)
			continue
		}
		fmt.Fprintf(os.Stderr, "task %s is none of this run: not run\n", t.id)
		if _, err := insist(r.s, "TASK.FAIL", t.id, t.token, "not a command of this run", "DEAD"); err != nil {
			return false, err
		}
	}
	if len(c.tasks)+len(r.waiting)+len(r.running)+len(r.over)+recording > 0 {
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
	if r.tally.add(out.number, out.why != "", out.exit, int(out.signal), out.ended()) {
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
		id := string(e.Str)
		if cancel := r.running[id]; cancel != nil {
			cancel()
		}
		r.waiting = slices.DeleteFunc(r.waiting, func(t claimedTask) bool { return t.id == id })
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
