package main

import (
	"bufio"
	"context"
	"crypto/rand"
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

	"tutti/internal/runner"
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
	outputOptions
	here    bool // by this machine, not by the nodes
	runners int  // 0: as many as there are
	shell   bool
	retries int
	timeout time.Duration
}

// outputOptions are what is made of the output of commands.
type outputOptions struct {
	keep   bool // the order
	joblog string
}

func (o *outputOptions) flags(c *cobra.Command) {
	c.Flags().BoolVarP(&o.keep, "keep-order", "k", false, "print output in the order of the arguments")
	c.Flags().StringVar(&o.joblog, "joblog", "", "write a line for each command that ended to `FILE`, as GNU parallel does")
}

func runCommand() *cobra.Command {
	var o batchOptions
	c := &cobra.Command{
		Use:   "run [FLAG...] [--] COMMAND [ARG...] [::: ARGUMENT...]",
		Short: "Run a command for each argument, on all machines, as tasks that the cluster keeps",
		Long: `Runs a command for each argument behind ":::", or each line of stdin, on nodes that allow it (tutti start --allow-exec).
{} is the argument, {.} without its extension, {/} its last element, {//} its folder, {#} the number. Ctrl-C leaves the
nodes at work: tutti job. Exit codes: 0, 1 to 100 so many failed, 101 more, 120 and more: not run.`,
		Example: "  tutti run -- sh -c 'sleep {}; hostname' ::: 1 2 3\n  tutti run --here -j 4 -- gzip -k {} ::: *.log",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if c.Flags().Changed("jobs") && o.runners < 1 {
				o.runners = -1 // is refused
			}
			err := o.run(args, os.Stdin)
			return ofRun(err)
		},
	}
	targetFlags(c, &o.target)
	o.outputOptions.flags(c)
	c.Flags().BoolVar(&o.here, "here", false, "run them on this machine, which need not be a node")
	c.Flags().IntVarP(&o.runners, "jobs", "j", 0, "run so many at once, on all machines together (default: as many as they allow; with --here: one for each core)")
	c.Flags().BoolVar(&o.shell, "shell", false, "give the command to sh, with arguments quoted for it")
	c.Flags().IntVar(&o.retries, "retry", 0, "run one that fails so many times again")
	c.Flags().DurationVar(&o.timeout, "timeout", 0, "kill one, with what it has started, after such a time")
	c.Flags().SetInterspersed(false) // what follows the command belongs to it
	return c
}

// ofRun gives errors of tutti itself the exit codes that no number of commands has.
func ofRun(err error) error {
	if e, ok := errors.AsType[*exitError](err); ok && e.code < runOwnErrorsFrom && e.what != "" {
		e.code += runOwnErrorsFrom
	}
	return err
}

// run adds the tasks and has them run.
func (o batchOptions) run(args []string, stdin io.Reader) error {
	if o.runners < 0 || o.runners > runnersMax || o.retries < 0 || o.timeout < 0 {
		return usageError("--jobs must be from 1 to 1000, --retry and --timeout not negative", "tutti run")
	}
	words, list, err := argumentsOf(args, stdin)
	if err != nil {
		return err
	}
	jobs := o.jobsOf(newTemplate(words, o.shell), list)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	s := newSession(o.target, true)
	defer s.close()
	if o.here {
		return o.runHere(ctx, stop, s, jobs)
	}
	return o.runOnNodes(ctx, s, jobs)
}

// runHere runs the commands on this machine.
func (o batchOptions) runHere(ctx context.Context, stop func(), s *session, jobs []job) error {
	if o.runners == 0 {
		o.runners = runtime.NumCPU()
	}
	queue := hereQueuePrefix + rand.Text()[:10]
	if _, err := o.add(s, queue, jobs); err != nil {
		return err
	}
	r, err := newRunner(o, s, queue, jobs)
	if err != nil {
		return err
	}
	defer r.close()
	return r.run(ctx, stop)
}

// hereQueuePrefix begins the names of the queues of runs on the machine that asked for
// them: nodes have no part in them, so they take no right to have commands run there.
const hereQueuePrefix = "here-"

// add adds the tasks of a job, and returns their ids.
func (o batchOptions) add(s *session, queue string, jobs []job) (ids []string, err error) {
	fmt.Fprintf(os.Stderr, "job %s: %d commands\n", queue, len(jobs))
	if ids, err = addJobs(s, queue, jobs, o.retries); err != nil {
		return ids, notAllAdded(err, len(ids), queue)
	}
	return ids, nil
}

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
	runner.Command
	payload string // of its task
}

func (o batchOptions) jobsOf(t template, list []string) []job {
	jobs := make([]job, len(list))
	for i, arg := range list {
		c := runner.Command{Number: i + 1, Argv: t.argv(arg, i+1), TimeoutMS: o.timeout.Milliseconds()}
		jobs[i] = job{c, string(c.Encode())}
	}
	return jobs
}

// runKeep is how long results are kept, in milliseconds: as long as those of commands
// that failed.
const runKeep = "604800000"

// addJobs adds the tasks in as few steps as their sizes allow, and returns the ids of
// those that are known to have been added.
func addJobs(s *session, queue string, jobs []job, retries int) (ids []string, err error) {
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
		args = append(args, "RETRY", strconv.Itoa(retries), "BACKOFF", "200", "10000", "KEEP", runKeep)
		v, err := s.ask(args...)
		if err != nil {
			return ids, err
		}
		for _, e := range v.Elems {
			ids = append(ids, string(e.Str))
		}
		jobs = jobs[n:]
	}
	return ids, nil
}
