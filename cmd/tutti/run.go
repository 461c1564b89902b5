package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// Bounds of a run.
const (
	runArgsMax       = 1_000_000 // what a queue holds if nobody has said otherwise
	runLineLenMax    = 64 << 10
	runnersMax       = 1000
	runAddsMax       = 500 // tasks in one TASK.ADD
	runAddBytesMax   = 256 << 10
	runFailedMax     = 101 // the exit code for more than 100 that failed
	runOwnErrorsFrom = 120 // exit codes of what is no command's failure
)

// batchOptions are how commands are run.
type batchOptions struct {
	target
	runners int
	keep    bool // the order of output
	shell   bool
	retries int
	timeout time.Duration
	joblog  string
}

func runCommand() *cobra.Command {
	var o batchOptions
	c := &cobra.Command{
		Use:   "run [FLAG...] [--] COMMAND [ARG...] [::: ARGUMENT...]",
		Short: "Run a command for each argument, as tasks that the cluster keeps the record of",
		Long: `Runs a command on this machine for each argument behind ":::", or each line of stdin; the cluster
keeps the record (tutti job). {} is the argument, {.} without its extension, {/} its last element,
{//} its folder, {#} the number. Exit codes: 0, 1 to 100 so many failed, 101 more, 120 and more: not run.`,
		Example: "  tutti run -j 4 -- gzip -k {} ::: *.log",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			err := o.run(args, os.Stdin)
			if e, ok := errors.AsType[*exitError](err); ok && e.code < runOwnErrorsFrom && e.what != "" {
				e.code += runOwnErrorsFrom
			}
			return err
		},
	}
	targetFlags(c, &o.target)
	c.Flags().IntVarP(&o.runners, "jobs", "j", runtime.NumCPU(), "run so many at once")
	c.Flags().BoolVarP(&o.keep, "keep-order", "k", false, "print output in the order of the arguments")
	c.Flags().BoolVar(&o.shell, "shell", false, "give the command to sh, with arguments quoted for it")
	c.Flags().IntVar(&o.retries, "retry", 0, "run one that fails so many times again")
	c.Flags().DurationVar(&o.timeout, "timeout", 0, "kill one, with what it has started, after such a time")
	c.Flags().StringVar(&o.joblog, "joblog", "", "write a line for each command that ended to `FILE`, as GNU parallel does")
	c.Flags().SetInterspersed(false) // what follows the command belongs to it
	return c
}

// run adds the tasks and runs them.
func (o batchOptions) run(args []string, stdin io.Reader) error {
	if o.runners < 1 || o.runners > runnersMax || o.retries < 0 || o.timeout < 0 {
		return usageError("--jobs must be from 1 to 1000, --retry and --timeout not negative", "tutti run")
	}
	words, list, err := argumentsOf(args, stdin)
	if err != nil {
		return err
	}
	jobs, err := jobsOf(newTemplate(words, o.shell), list)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	s := newSession(o.target, true)
	defer s.close()
	queue := runQueuePrefix + rand.Text()[:10]
	fmt.Fprintf(os.Stderr, "job %s: %d commands\n", queue, len(jobs))
	if added, err := addJobs(s, queue, jobs, o.retries); err != nil {
		return notAllAdded(err, added, queue)
	}
	r, err := newRunner(o, s, queue, jobs)
	if err != nil {
		return err
	}
	defer r.close()
	return r.run(ctx, stop)
}

// runQueuePrefix begins the names of the queues of runs.
const runQueuePrefix = "run-"

// notAllAdded says what is left of a run of which only so many tasks were surely added.
func notAllAdded(err error, added int, queue string) error {
	e, ok := errors.AsType[*exitError](err)
	if ok && (added > 0 || e.code == exitUnknown) {
		e.safe, e.do = fmt.Sprintf("no command was run; %d tasks or more were added, which nobody runs", added), "tutti job cancel "+queue
	}
	return err
}

// argumentsOf tells the command from its arguments.
func argumentsOf(args []string, stdin io.Reader) (words, list []string, err error) {
	at := slices.Index(args, ":::")
	if at >= 0 {
		words, list = args[:at], args[at+1:]
	} else {
		words = args
		lines := bufio.NewScanner(stdin)
		lines.Buffer(nil, runLineLenMax)
		for lines.Scan() && len(list) <= runArgsMax {
			list = append(list, lines.Text())
		}
		if err := lines.Err(); err != nil {
			return nil, nil, failed(fmt.Errorf("read arguments: %w", err), "")
		}
	}
	switch {
	case len(words) == 0:
		return nil, nil, usageError("no command before \":::\"", "tutti run")
	case len(list) > runArgsMax:
		return nil, nil, usageError(fmt.Sprintf("more than %d arguments", runArgsMax), "tutti run")
	}
	return words, list, nil
}

// job is one command of a run.
type job struct {
	argv    []string
	payload string
}

// jobVersion is that of payload.
const jobVersion = 1

// payload is what a task of a run holds: what is run, for those who look at it.
type payload struct {
	Version int      `json:"version"`
	Number  int      `json:"number"` // from 1
	Argv    []string `json:"argv"`
}

func jobsOf(t template, list []string) ([]job, error) {
	jobs := make([]job, len(list))
	for i, arg := range list {
		argv := t.argv(arg, i+1)
		text, err := json.Marshal(payload{Version: jobVersion, Number: i + 1, Argv: argv})
		if err != nil {
			return nil, failed(err, "")
		}
		jobs[i] = job{argv: argv, payload: string(text)}
	}
	return jobs, nil
}

// addJobs adds the tasks in as few steps as their sizes allow, and returns how many
// are known to have been added.
func addJobs(s *session, queue string, jobs []job, retries int) (added int, err error) {
	for len(jobs) > 0 {
		n, size := 0, 0
		for n < len(jobs) && n < runAddsMax && (n == 0 || size+len(jobs[n].payload) <= runAddBytesMax) {
			size += len(jobs[n].payload)
			n++
		}
		args := []string{"TASK.ADD", queue, "COUNT", strconv.Itoa(n)}
		for _, j := range jobs[:n] {
			args = append(args, j.payload)
		}
		args = append(args, "RETRY", strconv.Itoa(retries), "BACKOFF", "200", "10000")
		if _, err := s.ask(args...); err != nil {
			return added, err
		}
		jobs, added = jobs[n:], added+n
	}
	return added, nil
}
