// Command bench compares tutti with the peers of the nearest guarantee, on
// this machine and in one run: Redis ×3 whose clients WAIT for a second fsynced
// copy, and etcd ×3. README.md describes the method.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

const usage = `usage: go run . [flags]            throughput, latency and CPU per operation beside peers
       go run . pairs [flags]      two systems, or two builds, at once and by turns: on a machine that drifts
       go run . endure [flags]     a case at full load for minutes, told minute by minute
       go run . failover [flags]   longest gap between acknowledged writes at kill -9 of the leader
       go run . bigdata [flags]    data of several times the memory a node may use
       go run . nemesis [flags]    real nodes under random faults, judged by checkers
       go run . users [flags]      users change on real nodes under random faults, judged
       go run . upkeep [flags]     drains, removals, rotations while nodes and the commands are killed
       go run . clocks [flags]     clocks of real nodes jump while they run, judged with deadlines of keys
       go run . faults [flags]     what each fault costs, beside etcd
       go run . machines [flags]   more nodes, joins, moves, restarts and TLS: what they bring and cost
       go run . tasks [flags]      tasks that do nothing, beside NATS JetStream, Asynq, River and BullMQ
       go run . frameworks [flags] Asynq's and BullMQ's own benchmarks, beside Redis that a second copy answers for
       go run . messages [flags]   elements that are waited for, and PUBLISH to 1,000, beside Redis
       go run . removal [flags]    first and random elements, and SCAN, after mass removal
       go run . stream [flags]     a stream of 10,000,000 entries beside a small one
       go run . large [flags]      large commands of many clients at once, and small ones of others
       go run . run [flags]        commands that do nothing, beside xargs and GNU parallel

`

// options are what the benchmarks share.
type options struct {
	peers    []string
	dir      string // where the nodes keep their data; a fresh folder in it
	jsonPath string
	tuttiBin string
}

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	args := os.Args[1:]
	run := compareMain
	if len(args) > 0 {
		switch args[0] {
		case "pairs":
			run, args = pairsMain, args[1:]
		case "endure":
			run, args = endureMain, args[1:]
		case "failover":
			run, args = failoverMain, args[1:]
		case "bigdata":
			run, args = bigdataMain, args[1:]
		case "nemesis":
			run, args = nemesisMain, args[1:]
		case "clocks":
			run, args = clocksMain, args[1:]
		case "users":
			run, args = usersMain, args[1:]
		case "upkeep":
			run, args = upkeepMain, args[1:]
		case "faults":
			run, args = figuresMain, args[1:]
		case "machines":
			run, args = machinesMain, args[1:]
		case "tasks":
			run, args = tasksMain, args[1:]
		case "frameworks":
			run, args = frameworksMain, args[1:]
		case "messages":
			run, args = messagesMain, args[1:]
		case "removal":
			run, args = removalMain, args[1:]
		case "stream":
			run, args = streamMain, args[1:]
		case "large":
			run, args = largeMain, args[1:]
		case "run":
			run, args = runsMain, args[1:]
		case "nats-node": // what tasks starts
			run = func(_ context.Context, args []string) error { return natsNode(args) }
			args = args[1:]
		}
	}
	err := run(ctx, args)
	switch {
	case err == nil:
	case errors.Is(err, flag.ErrHelp):
		os.Exit(2)
	case errors.Is(err, errUsage):
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	default:
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

var errUsage = errors.New("usage")

// newFlags returns a flag set with the flags that the comparisons share.
func newFlags(name, defaultPeers string) (*flag.FlagSet, *options, *string) {
	flags, o := commonFlags(name)
	return flags, o, flags.String("peers", defaultPeers, "`systems` to run, comma separated")
}

// commonFlags returns a flag set with the flags that all commands share.
func commonFlags(name string) (*flag.FlagSet, *options) {
	var o options
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.Usage = func() {
		fmt.Fprint(flags.Output(), usage)
		flags.PrintDefaults()
	}
	flags.StringVar(&o.dir, "dir", "", "data `folder`, on a real disk (default: the temporary folder)")
	flags.StringVar(&o.jsonPath, "json", "", "result `file` (default: results/DATE-NAME.json)")
	flags.StringVar(&o.tuttiBin, "tutti", "", "tutti `binary` to measure (default: built from ..)")
	return flags, &o
}

// parse fills what the flags imply and refuses what they cannot mean.
func (o *options) parse(flags *flag.FlagSet, args []string, peers *string) error {
	return o.parseKnown(flags, args, peers, func(name string) bool { return starters[name] != nil }, "tutti, tutti-dev, redis, valkey, etcd, etcd-tuned")
}

// parseKnown is parse for other systems.
func (o *options) parseKnown(flags *flag.FlagSet, args []string, peers *string, known func(name string) bool, names string) error {
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("%w: unexpected argument %q", errUsage, flags.Arg(0))
	}
	for name := range strings.SplitSeq(*peers, ",") {
		if !known(name) {
			return fmt.Errorf("%w: unknown system %q in --peers (known: %s)", errUsage, name, names)
		}
		o.peers = append(o.peers, name)
	}
	return nil
}

// prepareTutti is prepare for tutti alone, and draws a seed if none was given.
func prepareTutti(ctx context.Context, o *options, seed *uint64) (*lab, error) {
	if *seed == 0 {
		*seed = rand.Uint64()
	}
	o.peers = []string{"tutti"}
	l, missing, err := prepare(ctx, o)
	if err != nil {
		return nil, errors.Join(err, missingError(missing))
	}
	return l, nil
}

// prepare installs and builds what the chosen systems need. A system that
// cannot be had is reported and left out, so the others are still measured;
// missing lists those.
func prepare(ctx context.Context, o *options) (l *lab, missing []string, err error) {
	l, err = newLab(ctx, o.dir)
	if err != nil {
		return nil, nil, err
	}
	var ready []string
	for _, name := range o.peers {
		if err := l.provide(ctx, name, o.tuttiBin); err != nil {
			fmt.Printf("%s: not ready, left out: %v\n", name, err)
			missing = append(missing, name)
			continue
		}
		ready = append(ready, name)
	}
	o.peers = ready
	if len(ready) == 0 {
		l.close()
		return nil, missing, errors.New("no system to measure")
	}
	l.machine, err = describe(l.dir, l.versions)
	if err != nil {
		l.close()
		return nil, missing, err
	}
	l.machine.print(os.Stdout)
	return l, missing, nil
}

// missingError makes the exit status tell that a system was left out.
func missingError(missing []string) error {
	if len(missing) == 0 {
		return nil
	}
	return fmt.Errorf("not measured: %s (the reasons stand above)", strings.Join(missing, ", "))
}

// sleep waits for d or until ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
