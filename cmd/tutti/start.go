package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strconv"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"tutti/internal/cluster"
	"tutti/internal/node"
	"tutti/internal/shard"
)

// runOptions is how a node is run, whoever made it.
type runOptions struct {
	dir          string
	level        string // of the log
	logFormat    string
	httpListen   string
	debugCommand bool
	service      *node.Service // what clients are to speak; nil: as before
	once         bool          // it is not to serve longer than start's ready takes
	runners      runnersFlag
	// For the demo and for tests: how far the wall clock is off, a file that says so
	// while the node runs, and addresses under which other nodes are reached, by their ids.
	clockAhead time.Duration
	clockFile  string
	via        map[string]string
}

// flags adds the flags that all commands have which run a node.
func (o *runOptions) flags(c *cobra.Command) {
	c.Flags().StringVar(&o.dir, "dir", defaultDir(), "the node's folder")
	c.Flags().StringVar(&o.level, "log", "info", "what to log: debug, info, warn or error")
	c.Flags().StringVar(&o.logFormat, "log-format", logText, "form of the log: "+logText+" or "+logJSON)
	c.Flags().StringVar(&o.httpListen, "http-listen", "", "address for /metrics and /health over HTTP, such as 127.0.0.1:9121; with TLS unless it is a loopback address (default: none)")
	c.Flags().Var(&o.runners, "allow-exec", "let users with the right @exec run commands on this machine, as this user, so many at once (without N: one for each core), from now on; 0: none")
	c.Flags().Lookup("allow-exec").NoOptDefVal = runnersAuto
	c.Flags().BoolVar(&o.debugCommand, "debug-command", false, "allow the DEBUG command")
	c.Flags().DurationVar(&o.clockAhead, "clock-ahead", 0, "run with a wall clock that is so much ahead")
	c.Flags().StringVar(&o.clockFile, "clock-file", "", "run with a wall clock that is as far ahead as this file says at any time")
	c.Flags().StringToStringVar(&o.via, "via", nil, "reach the node ID=ADDR under another address")
	_ = c.Flags().MarkHidden("clock-ahead")
	_ = c.Flags().MarkHidden("clock-file")
	_ = c.Flags().MarkHidden("via")
}

// runnersFlag is how many commands a node is to run at once; nil: as before.
type runnersFlag struct{ n *int }

// runnersAuto is the word for one for each core.
const runnersAuto = "cores"

func (f *runnersFlag) String() string {
	switch {
	case f.n == nil:
		return ""
	case *f.n == node.RunnersAuto:
		return runnersAuto
	}
	return strconv.Itoa(*f.n)
}

// Set reads the flag's value.
func (f *runnersFlag) Set(text string) error {
	n := node.RunnersAuto
	if text != runnersAuto {
		var err error
		if n, err = strconv.Atoi(text); err != nil || n < 0 || n > node.RunnersMax {
			return fmt.Errorf("choose 0 to %d", node.RunnersMax)
		}
	}
	f.n = &n
	return nil
}

// Type is what the help calls the value.
func (f *runnersFlag) Type() string { return "N" }

// clock is the machine's, or one that is ahead of it.
func (o *runOptions) clock() shard.Clock {
	c := shard.SystemClock()
	wall := c.Wall
	c.Wall = func() int64 { return wall() + o.clockAhead.Milliseconds() }
	if o.clockFile != "" {
		return newFileClock(c, o.clockFile)
	}
	return c
}

// otherWays are the addresses under which nodes are reached, by their ids.
func (o *runOptions) otherWays() (map[cluster.NodeID]string, error) {
	ways := make(map[cluster.NodeID]string)
	for id, addr := range o.via {
		n, err := strconv.ParseUint(id, 10, 16)
		if err != nil {
			return nil, usageError(fmt.Sprintf("--via %s=%s: %q is no node id", id, addr, id), "tutti start")
		}
		ways[cluster.NodeID(n)] = addr
	}
	return ways, nil
}

// The forms of the log.
const (
	logText = "text"
	logJSON = "json"
)

// log opens the log of a node that command runs. The sink is to be closed.
func (o *runOptions) log(out io.Writer, command string) (*slog.Logger, *logSink, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(o.level)); err != nil {
		return nil, nil, usageError(fmt.Sprintf("--log %s: the levels are debug, info, warn and error", o.level), command)
	}
	opts := &slog.HandlerOptions{Level: l}
	switch o.logFormat {
	case logText:
		sink := newLogSink(out, droppedText)
		return slog.New(slog.NewTextHandler(sink, opts)), sink, nil
	case logJSON:
		sink := newLogSink(out, droppedJSON)
		return slog.New(slog.NewJSONHandler(sink, opts)), sink, nil
	}
	return nil, nil, usageError(fmt.Sprintf("--log-format %s: the formats are %s and %s", o.logFormat, logText, logJSON), command)
}

func startCommand() *cobra.Command {
	var o runOptions
	var service serviceFlags
	c := &cobra.Command{
		Use:     "start",
		Short:   "Run one node whose identity exists, in the foreground",
		Example: "  tutti start --dir /var/lib/tutti",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.service = service.changed(cmd)
			return start(o, nil)
		},
	}
	o.flags(c)
	service.add(c)
	return c
}

// serviceFlags say what clients are to speak.
type serviceFlags struct{ node.Service }

func (f *serviceFlags) add(c *cobra.Command) {
	c.Flags().BoolVar(&f.TLS, "tls", false, "clients speak TLS, from now on; --tls=false: they do not")
	c.Flags().StringVar(&f.Cert, "tls-cert", "", "with this certificate `FILE`, instead of one that the cluster signs; it is read again when it changes")
	c.Flags().StringVar(&f.Key, "tls-key", "", "and its key `FILE`, mode 0600")
}

// changed is what the flags say; nil: nothing.
func (f *serviceFlags) changed(c *cobra.Command) *node.Service {
	s := f.Service
	s.TLS = s.TLS || s.Cert != ""
	for _, name := range []string{"tls", "tls-cert", "tls-key"} {
		if c.Flags().Changed(name) {
			return &s
		}
	}
	return nil
}

// start runs the node in o.dir until a signal ends it. ready, if not nil, is
// called once it serves; an error of it stops the node.
func start(o runOptions, ready func(ctx context.Context, n *node.Node) error) error {
	log, sink, err := o.log(os.Stderr, "tutti start")
	if err != nil {
		return err
	}
	defer sink.Close()
	pages := useHugePages(hugeHeap)
	tuneCollector()
	signals, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, end := context.WithCancelCause(signals)
	defer end(nil)
	began := time.Now()
	via, err := o.otherWays()
	if err != nil {
		return err
	}
	n, err := node.Open(node.Config{Dir: o.dir, Logger: log, Debug: o.debugCommand, HTTP: node.HTTP{Listen: o.httpListen}, Service: o.service, Runners: o.runners.n, Clock: o.clock(), Via: via, Memory: node.Memory{Free: freeMemory, Busy: pages.want},
		Failed: func(err error) {
			if farewell(err) != nil {
				end(err) // in order: nothing that it has in memory is in doubt
				return
			}
			// No clean-up: what is on disk is right, what is in memory is not.
			if o.logFormat == logText { // else the log has said it, in its own form
				fmt.Fprint(sink, stopped(err).text())
			}
			sink.Close()
			if errors.Is(err, node.ErrDamaged) && time.Since(began) > rebuildPause {
				startAgain()
			}
			os.Exit(exitFailed)
		}})
	if err != nil {
		return startError(err)
	}
	if nerr := notify(notifyReady); nerr != nil {
		log.Warn("tell the service manager", slog.Any("error", nerr))
	}
	if ready != nil {
		if err = ready(ctx, n); ctx.Err() != nil {
			err = nil // it was told to stop
		}
	}
	if err == nil && !o.once {
		<-ctx.Done()
	}
	if err == nil && o.once && signals.Err() != nil {
		err = &exitError{code: exitInterrupted, what: "interrupted", safe: "run the same command again to finish"}
	}
	if gone := farewell(context.Cause(ctx)); gone != nil {
		// Not an error: whoever keeps processes running need not start it again.
		fmt.Fprint(sink, gone.text())
	}
	_ = notify(notifyStopping) // it has asked for it, most likely
	stop()                     // a second signal ends the process at once
	closing, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if stopErr := n.Stop(closing); stopErr != nil && err == nil {
		err = failed(stopErr, "")
	}
	return err
}

// farewell says of a node that nobody wants why it ends; nil: it ends for another
// reason.
func farewell(err error) *exitError {
	switch _, clone := errors.AsType[*node.CloneError](err); {
	case errors.Is(err, node.ErrRemoved):
		return &exitError{what: err.Error(), safe: "its folder is as it was; the cluster has all that was acknowledged, unless this node was given up by tutti recover", do: doRejoin}
	case clone:
		return &exitError{what: err.Error(), safe: "nothing was changed, here or there",
			do: "one of the two folders is a copy: if it is this one, delete it, and make this machine a node of its own with tutti join; if it is the other one, stop its process, delete it, and start this one again"}
	}
	return nil
}

// stopped says of a node that could not go on what has become of its data, and what
// helps.
func stopped(err error) *exitError {
	e := failed(err, "see the log; replace the disk if it failed")
	switch _, old := errors.AsType[*node.OldCopyError](err); {
	case errors.Is(err, node.ErrGone):
		e.do = "bring the folder back as it was, or replace the node by a new one"
	case errors.Is(err, node.ErrOverruled):
		e.safe = "nothing was deleted: this node may have what the others have lost"
		e.do = "start it again: this data is kept, in a folder of its own, and the node is made anew from the others; see docs/OPERATIONS.md, When something is wrong"
	case old:
		e.safe = "nothing was deleted, and nothing that it has forgotten is lost: the others have it"
		e.do = "if the node itself is elsewhere, delete this copy of its folder; else put the newest copy back, or start it again: its data is made anew from the other nodes"
	case errors.Is(err, node.ErrDamaged):
		e.safe = "nothing was deleted: what is damaged is set aside, and the others have the rest"
		e.do = "start it again: its data is made anew from the other nodes"
	}
	return e
}

// rebuildPause is how long a node must have run to be rebuilt by its own
// process: a disk that damages all that is written must not keep it busy.
const rebuildPause = time.Minute

// startAgain replaces this process by a new one that rebuilds the node's data;
// it returns if that fails.
func startAgain() {
	self, err := os.Executable()
	if err == nil {
		err = syscall.Exec(self, os.Args, os.Environ())
	}
	fmt.Fprintln(os.Stderr, "start again:", err)
}

// freeMemory gives back to the system what the process does not need now. At once is
// what debug.FreeOSMemory does; a thread in it can't be stopped, so whatever wants to
// stop the world, as each collection does, waits with all that runs. Bit by bit it is the
// runtime's own, with a hundredth of the processors, once a collection has told it what
// is not needed.
func freeMemory(atOnce bool) {
	if atOnce {
		runtime.GC() // what pools keep goes with the second of two collections
		debug.FreeOSMemory()
		return
	}
	runtime.GC()
}

// doRejoin is what helps a node that was removed: nobody speaks to it any more.
const doRejoin = "to be a node again: remove or move its folder, and tutti join with a new token"

func startError(err error) error {
	do := "keep the folder as it is; docs/OPERATIONS.md says what helps"
	switch {
	case errors.Is(err, node.ErrNoNode):
		do = "tutti init begins a cluster here, tutti join makes this machine a node of another, also if its disk was wiped; tutti dev is for trying out"
	case errors.Is(err, node.ErrRemoved):
		do = doRejoin
	case errors.Is(err, node.ErrDataGone):
		do = "if the rest of the folder is somewhere, bring it back; else on any member: tutti node remove, and here, from an empty folder: tutti join"
	case errors.Is(err, node.ErrPair):
		do = "mend the two files, which --tls-cert and --tls-key name, or start with --tls for a certificate that the cluster signs"
	case errors.Is(err, node.ErrExposed):
		do = "start it with --tls; in a cluster where everybody may do everything, first: ACL SETUSER default with a password"
	case errors.Is(err, node.ErrMixed):
		do = "bring the folder back as it was: one folder is one node"
	case errors.Is(err, node.ErrInUse):
		do = "talk to the node that runs there, or choose another folder with --dir"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		do = "if this folder is a copy from another machine, delete it: one node is one folder, and tutti join makes a node of this machine; if the machine has got another address, give it that of the node back"
	case errors.Is(err, syscall.EADDRINUSE):
		do = "stop what uses the address, or choose another"
	case errors.Is(err, os.ErrPermission):
		do = "choose a folder that this user may write to"
	case errors.Is(err, node.ErrDamaged):
		return &exitError{code: exitFailed, what: err.Error(), safe: "nothing was deleted", do: do}
	}
	return &exitError{code: exitFailed, what: err.Error(), safe: "nothing was changed on this machine", do: do}
}
