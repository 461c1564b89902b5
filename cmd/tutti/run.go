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
	"strings"
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
	inputOptions
	outputOptions
	fileOptions
	here    bool // by this machine, not by the nodes
	runners int  // 0: as many as there are
	shell   bool
	retries int
	timeout time.Duration
	tag     bool
	dryRun  bool
}

// outputOptions are what is made of the output of commands.
type outputOptions struct {
	keep   bool // the order
	joblog string
	halt   string
	eta    bool
	tags   []string // what lines of a command begin with, by number from 0; nil: nothing
}

func (o *outputOptions) flags(c *cobra.Command) {
	c.Flags().BoolVarP(&o.keep, "keep-order", "k", false, "print output in the order of the arguments")
	c.Flags().StringVar(&o.joblog, "joblog", "", "write a line for each command that ended to `FILE`, as GNU parallel does")
	c.Flags().StringVar(&o.halt, "halt", "", "end early: now or soon, then fail=N, success=N or done=N; N may be N%")
	c.Flags().BoolVar(&o.eta, "eta", false, "say on the terminal how far it is, and when it ends")
}

func runCommand() *cobra.Command {
	var o batchOptions
	c := &cobra.Command{
		Use:   "run [FLAG...] [--] COMMAND [ARG...] [::: ARGUMENT...]",
		Short: "Run a command for each argument, on all machines, as tasks that the cluster keeps",
		Long: `Runs a command for each argument behind ":::", or each line of stdin, on nodes that allow it (tutti start --allow-exec).
In COMMAND: {} {.} {/} {//} {/.} {#} {1} {2.}, as in GNU parallel. Arguments: several ":::", ":::+", ":::: FILE", -a FILE,
-0, --colsep REGEXP, -n N. Files up to 8 MiB: --in '{}' --out '{.}.txt'. Also -k, --tag, --eta, --dry-run, --joblog FILE,
--halt now,fail=1 (soon; success=N, done=N, N%). Ctrl-C leaves the nodes at work: tutti job. Exit codes: 0, 1 to 100
so many failed, 101 more, 120 and more: not run. docs/TASKS.md says what differs from GNU parallel.`,
		Example: "  tutti run -- sh -c 'sleep {}; hostname' ::: 1 2 3\n  tutti run --here -j 4 -- gzip -k {} ::: *.log",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return ofRun(usageError("there is no command to run", "tutti run"))
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			if c.Flags().Changed("jobs") && o.runners < 1 {
				o.runners = -1 // is refused
			}
			if (c.Flags().Changed("max-args") || c.Flags().Changed("max-replace-args")) && o.each < 1 {
				o.each = -1
			}
			err := o.run(args, os.Stdin)
			return ofRun(err)
		},
	}
	c.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return ofRun(usageError(err.Error(), "tutti run")) })
	targetFlags(c, &o.target)
	o.inputOptions.flags(c)
	o.outputOptions.flags(c)
	o.fileOptions.flags(c)
	c.Flags().BoolVar(&o.here, "here", false, "run them on this machine, which need not be a node")
	c.Flags().IntVarP(&o.runners, "jobs", "j", 0, "run so many at once, on all machines together (default: as many as they allow; with --here: one for each core)")
	c.Flags().BoolVar(&o.shell, "shell", false, "give the command to sh, with arguments quoted for it")
	c.Flags().IntVar(&o.retries, "retry", 0, "run one that fails so many times again")
	c.Flags().DurationVar(&o.timeout, "timeout", 0, "kill one, with what it has started, after such a time")
	c.Flags().BoolVar(&o.tag, "tag", false, "begin each line of output with the arguments")
	c.Flags().BoolVar(&o.dryRun, "dry-run", false, "print the commands, run none")
	c.Flags().SetInterspersed(false) // what follows the command belongs to it
	// The text above tells of these: a line for each would not fit a screen.
	for _, name := range []string{"arg-file", "null", "colsep", "max-args", "max-replace-args", "keep-order", "joblog", "halt", "eta", "in", "out", "tag", "dry-run"} {
		_ = c.Flags().MarkHidden(name)
	}
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
	if o.runners < 0 || o.runners > runnersMax || o.retries < 0 || o.timeout < 0 || o.each < 0 {
		return usageError("--jobs must be from 1 to 1000, -n at least 1, --retry and --timeout not negative", "tutti run")
	}
	if _, err := parseHalt(o.halt); err != nil {
		return err
	}
	words, rows, err := o.rows(args, stdin)
	if err != nil {
		return err
	}
	jobs := o.jobsOf(newTemplate(words, o.shell), rows)
	if err := o.checkFiles(jobs, rows); err != nil {
		return err
	}
	if o.dryRun {
		return dryRun(os.Stdout, jobs)
	}
	if o.tag {
		for _, row := range rows {
			o.tags = append(o.tags, strings.Join(row, " "))
		}
	}
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
	r, err := newRunner(o, s, queue, jobs)
	if err != nil {
		return err
	}
	defer r.close()
	if _, err := o.add(s, queue, jobs); err != nil {
		return err
	}
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

// job is one command of a run.
type job struct {
	runner.Command
	payload string // of its task
}

func (o batchOptions) jobsOf(t template, rows [][]string) []job {
	jobs := make([]job, len(rows))
	for i, row := range rows {
		c := runner.Command{Number: i + 1, Argv: t.argv(row, i+1), TimeoutMS: o.timeout.Milliseconds()}
		jobs[i] = job{c, string(c.Encode())}
	}
	return jobs
}

// dryRun prints what would be run, as one would type it.
func dryRun(to io.Writer, jobs []job) error {
	out := bufio.NewWriter(to)
	for _, j := range jobs {
		fmt.Fprintln(out, asTyped(j.Argv))
	}
	if err := out.Flush(); err != nil {
		return failed(err, "")
	}
	return nil
}

// asTyped is a command as one would type it: words, or what a shell is given.
func asTyped(argv []string) string {
	if len(argv) == 3 && argv[0] == "/bin/sh" && argv[1] == "-c" {
		return argv[2]
	}
	words := slices.Clone(argv)
	for i, w := range words {
		if w == "" || strings.Trim(w, plainLetters) != "" {
			words[i] = quoteForShell(w)
		}
	}
	return strings.Join(words, " ")
}

// plainLetters mean nothing to a shell.
const plainLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+=:,./-"

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
