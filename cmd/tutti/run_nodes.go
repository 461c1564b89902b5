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
		e.safe = "nothing was added, nothing is run"
		if e.do == "" { // there is a login, but not the right
			e.do = "ACL SETUSER NAME +@exec, by an administrator; or on this machine: tutti run --here"
		}
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
	log, err := openJoblog(o.joblog) // before there is anything that would go on without it
	if err != nil {
		return err
	}
	queue := runner.Prefix + rand.Text()[:10]
	if err := bringFiles(s, queue, jobs); err != nil {
		return err
	}
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
	return follow(ctx, s, o.outputOptions, log, f, queue, ids)
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

// verdictOf is the exit code of a job of which so many commands failed.
func verdictOf(queue string, bad, all int) error {
	if bad <= 0 {
		return nil
	}
	fmt.Fprintf(os.Stderr, "%d of %d commands failed: tutti job show %s\n", bad, all, queue)
	return &exitError{code: min(bad, runFailedMax)}
}

// detached says that the nodes go on.
func detached(queue string, left int) error {
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
		received: int64(len(r.Stdout)) + r.CutOut, exit: r.Exit, signal: r.Signal, argv: out.command.Argv}
}
