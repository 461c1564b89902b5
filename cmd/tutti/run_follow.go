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
	"tutti/internal/runner"
)

const (
	// watchersMax is how many commands are waited for at once. Commands begin in the
	// order in which they were added, so those that end next are among the first ones
	// that have not.
	watchersMax = 32
	// watchersMore wait for what is to be run again, before others, and not yet.
	watchersMore = 4
	// watchWait is how long one answer is waited for.
	watchWait = 20 * time.Second
	// lookMax is how many commands are looked at, at most, when one has ended: those
	// that end together are recorded together. What they have written is to be small.
	lookMax    = 16
	lookOutput = 4 << 10
)

// commandEnd is how a command of a job has ended.
type commandEnd struct {
	number  int // from 1
	state   string
	result  runner.Result
	command runner.Command
	err     error // it is not known
}

func (out commandEnd) failed() bool { return out.state != "done" }

// follower prints what comes of the commands of a job. It belongs to one goroutine;
// the watchers tell it.
type follower struct {
	o        outputOptions
	s        *session
	queue    string
	log      *joblog
	order    outputOrder
	tally    tally
	progress *progress
	files    runFiles
}

// follow prints what comes of the commands of a job until all have ended, or ctx does.
func follow(ctx context.Context, s *session, o outputOptions, log *joblog, c crew, queue string, ids []string) error {
	h, err := parseHalt(o.halt)
	if err != nil {
		return err
	}
	f := &follower{o: o, s: s, queue: queue, log: log, order: newOutputOrder(o.keep), tally: tally{halt: h, all: len(ids)}, progress: newProgress(o.eta, len(ids))}
	err = f.run(ctx, c, ids)
	f.progress.clear()
	err2 := errors.Join(f.order.flush(), f.log.close())
	switch {
	case err != nil:
		return err
	case err2 != nil:
		return failed(err2, "tutti job show "+queue)
	}
	if err := f.files.remove(s, f.tally.done == len(ids)); err != nil {
		fmt.Fprintf(os.Stderr, "files of %s were not deleted, they go within 8 days: %v\n", queue, err)
	}
	return f.tally.verdict(queue)
}

// run takes each command's end.
func (f *follower) run(ctx context.Context, c crew, ids []string) error {
	unseen, outcomes := newUnseen(ids), make(chan commandEnd, watchersMax)
	for range min(watchersMax, 2*c.runners+watchersMore, len(ids)) { // they end with this process, if not before
		go watcher{f.s.target, c.addrs}.watch(unseen, outcomes)
	}
	for ended := range ids {
		f.progress.show(ended, f.tally.bad)
		select {
		case <-ctx.Done():
			f.progress.clear()
			return detached(f.queue, len(ids)-ended)
		case out := <-outcomes:
			if err := f.take(out); err != nil {
				return err
			}
		}
	}
	return nil
}

// take takes the end of a command.
func (f *follower) take(out commandEnd) error {
	f.progress.clear()
	f.files.add(out.command, out.result)
	switch {
	case out.err != nil:
		return stillThere(out.err, f.queue)
	case f.tally.halted && out.state == "cancelled":
		return f.print(out.number, noOutput)
	case !out.failed():
		if err := fetchFiles(f.s, out); err != nil {
			return stillThere(err, f.queue)
		}
	}
	r := out.result
	halts := f.tally.add(out.number, out.failed(), r.Exit, r.Signal, time.UnixMilli(r.BeganMS+r.TookMS))
	if err := f.log.add(out.line()); err != nil {
		return failed(err, "tutti job attach "+f.queue)
	}
	if err := f.print(out.number, out.print); err != nil {
		return err
	}
	if !halts {
		return nil
	}
	fmt.Fprint(os.Stderr, f.tally.says(f.queue))
	if _, err := cancelJob(f.s, f.queue, f.tally.halt.now); err != nil {
		return stillThere(err, f.queue)
	}
	return nil
}

func (f *follower) print(number int, output printOutput) error {
	if f.o.tags != nil {
		output = tagged(f.o.tags[number-1], output)
	}
	if err := f.order.add(number, output); err != nil {
		return failed(err, "tutti job attach "+f.queue)
	}
	return nil
}

// unseen is the commands whose end was not seen yet, and that no watcher waits for.
// Its methods are safe for concurrent use.
type unseen struct {
	ids []string

	mu      sync.Mutex // guards what follows
	numbers []int      // from 0, in order
	looked  int        // at by watchers that may put them back
	changed sync.Cond
}

func newUnseen(ids []string) *unseen {
	u := &unseen{ids: ids, numbers: make([]int, len(ids))}
	for i := range ids {
		u.numbers[i] = i
	}
	u.changed.L = &u.mu
	return u
}

// next takes the first one to wait for. It reports false if there will be none.
func (u *unseen) next() (int, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for len(u.numbers) == 0 {
		if u.looked == 0 {
			return 0, false
		}
		u.changed.Wait()
	}
	first := u.numbers[0]
	u.numbers = u.numbers[1:]
	return first, true
}

// look takes up to n of those behind to look at; putBack must follow.
func (u *unseen) look(n int) []int {
	u.mu.Lock()
	defer u.mu.Unlock()
	list := slices.Clone(u.numbers[:min(n, len(u.numbers))])
	u.numbers = u.numbers[len(list):]
	u.looked += len(list)
	return list
}

// putBack ends a look at n commands, of which those in the list have not ended.
func (u *unseen) putBack(n int, list []int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.looked -= n
	u.numbers = append(list, u.numbers...)
	slices.Sort(u.numbers)
	u.changed.Broadcast()
}

// watcher waits for commands of a job through any of its nodes.
type watcher struct {
	target
	addrs []string // the other ways
}

// watch tells how commands have ended.
func (w watcher) watch(u *unseen, outcomes chan<- commandEnd) {
	s := newSession(w.target, true)
	defer s.close()
	for n := 1; ; {
		i, ok := u.next()
		if !ok {
			return
		}
		v, err := w.await(s, u.ids[i])
		out := endOf(i+1, v, err)
		outcomes <- out
		if err != nil {
			return
		}
		if len(out.result.Stdout)+len(out.result.Stderr) <= lookOutput {
			n = look(s, u, n, outcomes)
		}
	}
}

// look tells of commands that have ended together with one that was waited for, of n
// behind it. It returns how many to look at next time: more while all have ended.
func look(s *session, u *unseen, n int, outcomes chan<- commandEnd) int {
	list := u.look(n)
	var left []int
	defer func() { u.putBack(len(list), left) }()
	if len(list) == 0 || s.conn == nil {
		left = list
		return n
	}
	commands := make([][]string, len(list))
	for k, i := range list {
		commands[k] = []string{"TASK.GET", u.ids[i]}
	}
	replies, err := s.conn.pipeline(watchWait, commands...)
	if err != nil {
		s.close()
		left = list
		return n
	}
	for k, v := range replies {
		switch string(fieldOf(v, "state").Str) {
		case "done", "dead", "cancelled":
			outcomes <- endOf(list[k]+1, v, nil)
		default:
			left = append(left, list[k])
		}
	}
	if len(left) == 0 {
		return min(2*n, lookMax)
	}
	return max(1, len(list)-len(left))
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

// endOf is what a task says.
func endOf(number int, v resp.Value, err error) commandEnd {
	out := commandEnd{number: number, state: string(fieldOf(v, "state").Str), err: err}
	if err != nil {
		return out
	}
	if c, err := runner.DecodeCommand(fieldOf(v, "payload").Str); err == nil {
		out.command = c
	}
	r, err := runner.DecodeResult(fieldOf(v, "result").Str)
	if err != nil {
		// It ended without one: it was cancelled, or those who ran it were lost.
		r = runner.Result{Exit: 1, Why: out.state}
		if list := fieldOf(v, "errors").Elems; len(list) > 0 {
			r.Why = string(list[len(list)-1].Str)
		}
	}
	out.result = r
	return out
}
