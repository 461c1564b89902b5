package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"tutti/internal/resp"
	"tutti/internal/runner"
)

// crew is the nodes that run commands.
type crew struct {
	runners int
	addrs   []string // where they serve clients
}

// askCrew asks who runs commands. It fails if nobody does, or the user may not have
// commands run.
func askCrew(s *session) (f crew, err error) {
	v, err := s.ask("TUTTI.RUNNERS")
	if e, ok := errors.AsType[*exitError](err); ok && e.code == exitNoLogin {
		e.safe, e.do = "nothing was added, nothing is run", "ACL SETUSER NAME +@exec, by an administrator; or on this machine: tutti run --here"
	}
	if err != nil {
		return f, err
	}
	for _, e := range v.Elems {
		if len(e.Elems) < 4 {
			return f, errUnlike("TUTTI.RUNNERS")
		}
		f.addrs = append(f.addrs, string(e.Elems[2].Str))
		f.runners += int(e.Elems[3].Int)
	}
	if f.runners == 0 {
		return f, &exitError{code: exitFailed, what: "no node of this cluster runs commands: that is off unless a node is started with it", safe: "nothing was added, nothing is run",
			do: "tutti start --allow-exec, on each machine that is to run commands; or on this machine: tutti run --here"}
	}
	return f, nil
}

// runOnNodes has the nodes run the commands, and prints what comes of them.
func (o batchOptions) runOnNodes(ctx context.Context, s *session, jobs []job) error {
	f, err := askCrew(s)
	if err != nil {
		return err
	}
	queue := runner.Prefix + rand.Text()[:10]
	ids, err := o.add(s, queue, jobs)
	if err != nil {
		return err
	}
	if o.runners == 0 {
		o.runners = f.runners
	}
	places := min(o.runners, len(jobs))
	if err := addPlaces(s, queue, places); err != nil {
		return notAllAdded(err, len(ids), queue)
	}
	return follow(ctx, o.target, o.outputOptions, f, queue, ids)
}

// addPlaces has so many commands of a job run at once.
func addPlaces(s *session, queue string, n int) error {
	for n > 0 {
		now := min(n, runAddsMax)
		args := []string{"TASK.ADD", runner.Places, "COUNT", strconv.Itoa(now)}
		for range now {
			args = append(args, string(runner.Place{Run: queue}.Encode()))
		}
		if _, err := s.ask(args...); err != nil {
			return err
		}
		n -= now
	}
	return nil
}

const (
	// watchersMax is how many commands are waited for at once. Commands begin in the
	// order in which they were added, so those that end next are among the first ones
	// that have not.
	watchersMax = 32
	// watchWait is how long one answer is waited for.
	watchWait = 20 * time.Second
)

// commandEnd is how a command of a job has ended.
type commandEnd struct {
	number int // from 1
	done   bool
	result runner.Result
	argv   []string
	err    error // it is not known
}

// watcher waits for commands of a job through any of its nodes.
type watcher struct {
	target
	addrs []string // the other ways
}

// follow prints what comes of the commands of a job until all have ended, or ctx does.
func follow(ctx context.Context, t target, o outputOptions, f crew, queue string, ids []string) error {
	log, err := openJoblog(o.joblog)
	if err != nil {
		return failed(err, "tutti job attach "+queue)
	}
	numbers, outcomes := make(chan int, len(ids)), make(chan commandEnd, watchersMax)
	for i := range ids {
		numbers <- i
	}
	close(numbers)
	for range min(watchersMax, len(ids)) { // they end with this process, if not before
		go watcher{t, f.addrs}.watch(ids, numbers, outcomes)
	}
	order, bad := newOutputOrder(o.keep), 0
	for ended := range ids {
		select {
		case <-ctx.Done():
			return detached(queue, len(ids)-ended, errors.Join(order.flush(), log.close()))
		case out := <-outcomes:
			if out.err != nil {
				return stillThere(out.err, queue)
			}
			if !out.done {
				bad++
			}
			if err := errors.Join(log.add(out.line()), order.add(out.number, out.print)); err != nil {
				return failed(err, "tutti job attach "+queue)
			}
		}
	}
	if err := errors.Join(order.flush(), log.close()); err != nil {
		return failed(err, "tutti job show "+queue)
	}
	return verdictOf(queue, bad, len(ids))
}

// verdictOf is the exit code of a job of which so many commands failed.
func verdictOf(queue string, bad, all int) error {
	if bad <= 0 {
		return nil
	}
	fmt.Fprintf(os.Stderr, "%d of %d commands failed: tutti job show %s\n", bad, all, queue)
	return &exitError{code: min(bad, runFailedMax)}
}

// detached says that the nodes go on.
func detached(queue string, left int, err error) error {
	if err != nil {
		return failed(err, "tutti job attach "+queue)
	}
	return &exitError{code: exitInterrupted, what: fmt.Sprintf("detached: %d commands have not ended", left), safe: "the nodes go on with them",
		do: "tutti job attach " + queue + "   or   tutti job cancel " + queue}
}

// stillThere says that the job goes on although it can't be seen.
func stillThere(err error, queue string) error {
	if e, ok := errors.AsType[*exitError](err); ok {
		e.safe, e.do = "the nodes go on", "tutti job attach "+queue+" --addr of another node"
	}
	return err
}

// watch tells how commands have ended, one after the other.
func (w watcher) watch(ids []string, numbers <-chan int, outcomes chan<- commandEnd) {
	s := newSession(w.target, true)
	defer s.close()
	for i := range numbers {
		out := commandEnd{number: i + 1}
		var v resp.Value
		if v, out.err = w.await(s, ids[i]); out.err == nil {
			out.read(v)
		}
		outcomes <- out
		if out.err != nil {
			return
		}
	}
}

// await returns a task once it has ended. It looks for another node while its own
// does not answer.
func (w watcher) await(s *session, id string) (resp.Value, error) {
	heard := time.Now()
	for next := 0; ; {
		v, err := s.ask("TASK.GET", id, "WAIT", strconv.FormatInt(watchWait.Milliseconds(), 10))
		e, ok := errors.AsType[*exitError](err)
		switch {
		case err == nil && !v.Null:
			return v, nil
		case err == nil:
			heard = time.Now()
			if v, err = s.ask("TASK.GET", id); err == nil && v.Null {
				return v, noSuchTask(id)
			}
			continue
		case !ok || e.code != exitUnreachable && e.code != exitUnavailable && e.code != exitUnknown || time.Since(heard) > runPatience:
			return v, err
		}
		if len(w.addrs) > 0 {
			s.close()
			s.target = s.at(w.addrs[next%len(w.addrs)])
			next++
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// read takes what the task says.
func (out *commandEnd) read(v resp.Value) {
	out.done = string(fieldOf(v, "state").Str) == "done"
	if c, err := runner.DecodeCommand(fieldOf(v, "payload").Str); err == nil {
		out.argv = c.Argv
	}
	r, err := runner.DecodeResult(fieldOf(v, "result").Str)
	if err != nil {
		// It ended without one: it was cancelled, or those who ran it were lost.
		r = runner.Result{Exit: 1, Why: string(fieldOf(v, "state").Str)}
		if list := fieldOf(v, "errors").Elems; len(list) > 0 {
			r.Why = string(list[len(list)-1].Str)
		}
	}
	out.result = r
}

// print prints what the command has written, and what it could not say by itself.
func (out commandEnd) print(stdout, stderr io.Writer) error {
	r := out.result
	_, err := stdout.Write(r.Stdout)
	_, err2 := stderr.Write(r.Stderr)
	say := func(format string, args ...any) {
		_, werr := fmt.Fprintf(stderr, "command %d: "+format+"\n", append([]any{out.number}, args...)...)
		err2 = errors.Join(err2, werr)
	}
	if r.Why != "" {
		say("%s", printable([]byte(r.Why)))
	}
	if r.CutOut > 0 {
		say("%d more bytes of its output were not kept: tutti keeps %d", r.CutOut, runner.StdoutMax)
	}
	if r.CutErr > 0 {
		say("%d more bytes of its errors were not kept: tutti keeps %d", r.CutErr, runner.StderrMax)
	}
	return errors.Join(err, err2)
}

func (out commandEnd) line() logLine {
	r := out.result
	return logLine{number: out.number, host: r.Node, began: time.UnixMilli(r.BeganMS), took: time.Duration(r.TookMS) * time.Millisecond,
		received: int64(len(r.Stdout)) + r.CutOut, exit: r.Exit, signal: r.Signal, argv: out.argv}
}
