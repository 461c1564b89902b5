package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// Benchmarks that the makers of frameworks have written, on a cluster of tutti and on
// Redis ×3 that fsyncs each write and whose clients are answered when a second copy has it.
// They add and take their tasks one after the other, so each waits for as many fsyncs as it
// has tasks: with 100,000 of them, as they come, none has an end on a slow disk.

// asynqModule is what has the benchmarks of Asynq.
const asynqModule = "github.com/hibiken/asynq"

// frameworkGoal is how many times as fast as Redis tutti is to be.
const frameworkGoal = 2.0

// frameworkResult is one benchmark on one system.
type frameworkResult struct {
	System    string  `json:"system"`
	Round     int     `json:"round"`
	Benchmark string  `json:"benchmark"` // with the framework before it
	Ms        float64 `json:"ms"`
}

// frameworkCPU is what the servers have used for all benchmarks of a framework, what
// prepares them included.
type frameworkCPU struct {
	System    string  `json:"system"`
	Round     int     `json:"round"`
	Framework string  `json:"framework"`
	Seconds   float64 `json:"seconds"`
}

type frameworksReport struct {
	Machine  machine           `json:"machine"`
	Rounds   int               `json:"rounds"`
	Fewer    int               `json:"fewer"` // the makers' counts are divided by it
	Results  []frameworkResult `json:"results"`
	CPU      []frameworkCPU    `json:"server_cpu"`
	Failures []string          `json:"failures,omitempty"`
}

// framework has benchmarks of its makers.
type framework struct {
	name string
	// build makes ready in the folder of the run, and returns the command that runs them at
	// an address.
	build func(ctx context.Context, l *lab, fewer int) (func(addr string) []string, error)
	// read finds the results in what the command says.
	read func(text []byte) ([]frameworkResult, error)
}

func frameworks() []framework {
	return []framework{{"asynq", buildAsynqBench, readAsynqBench}, {"bullmq", buildBullMQBench, readBullMQBench}}
}

func frameworksMain(ctx context.Context, args []string) error {
	flags, o := commonFlags("frameworks")
	peers := flags.String("peers", "tutti,redis", "`systems` to run, comma separated")
	only := flags.String("only", "asynq,bullmq", "`frameworks` to run, comma separated")
	rounds := flags.Int("rounds", 3, "how often each system runs, in turn")
	fewer := flags.Int("fewer", 50, "the `part` of the makers' numbers of tasks that is taken: one in so many")
	longest := flags.Duration("longest", 3*time.Minute, "the most that the benchmarks of one framework may take on one system")
	if err := o.parseKnown(flags, args, peers, func(name string) bool { return name == "tutti" || name == "redis" }, "tutti, redis"); err != nil {
		return err
	}
	if *rounds < 1 || *fewer < 1 || *longest <= 0 {
		return fmt.Errorf("%w: --rounds, --fewer or --longest is not positive", errUsage)
	}
	chosen, err := chooseFrameworks(*only)
	if err != nil {
		return err
	}
	l, missing, err := prepare(ctx, o)
	if err != nil {
		return err
	}
	defer l.close()
	r := &frameworksReport{Machine: l.machine, Rounds: *rounds, Fewer: *fewer}
	for _, f := range chosen {
		command, err := f.build(ctx, l, *fewer)
		if err != nil {
			fmt.Printf("%s: not ready, left out: %v\n", f.name, err)
			missing = append(missing, f.name)
			continue
		}
		if err := r.turns(ctx, l, o.peers, f, command, *longest); err != nil {
			return err
		}
	}
	r.print(os.Stdout, o.peers)
	if err := writeJSON(o.jsonPath, "frameworks", r.Machine.Date, r); err != nil {
		return err
	}
	if len(r.Failures) > 0 {
		return fmt.Errorf("%d runs ended early", len(r.Failures))
	}
	return missingError(missing)
}

func chooseFrameworks(only string) (chosen []framework, err error) {
	for name := range strings.SplitSeq(only, ",") {
		i := slices.IndexFunc(frameworks(), func(f framework) bool { return f.name == name })
		if i < 0 {
			return nil, fmt.Errorf("%w: unknown framework %q in --only (known: asynq, bullmq)", errUsage, name)
		}
		chosen = append(chosen, frameworks()[i])
	}
	return chosen, nil
}

// turns runs the benchmarks of a framework on each system, round by round. What does not
// come to its end is reported, and the others are still measured.
func (r *frameworksReport) turns(ctx context.Context, l *lab, systems []string, f framework, command func(addr string) []string, longest time.Duration) error {
	for round := 1; round <= r.Rounds; round++ {
		for i := range systems {
			system := systems[(i+round-1)%len(systems)]
			results, used, err := f.run(ctx, l, system, command, longest)
			for _, x := range results {
				x.System, x.Round = system, round
				r.Results = append(r.Results, x)
				fmt.Printf("round %d %-5s %-40s %9.1f ms\n", round, system, x.Benchmark, x.Ms)
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err != nil {
				r.Failures = append(r.Failures, fmt.Sprintf("%s on %s, round %d: %v", f.name, system, round, err))
				fmt.Printf("%s on %s: round %d ended early: %v\n", f.name, system, round, err)
				continue
			}
			fmt.Printf("round %d %-5s %-40s %9.2f s of CPU\n", round, system, f.name+"'s servers", used.Seconds())
			r.CPU = append(r.CPU, frameworkCPU{system, round, f.name, used.Seconds()})
		}
	}
	return nil
}

// run runs the benchmarks on a fresh cluster.
func (f framework) run(ctx context.Context, l *lab, system string, command func(addr string) []string, longest time.Duration) (all []frameworkResult, used time.Duration, err error) {
	addr, c, stop, err := startForFramework(ctx, l, system)
	if err != nil {
		return nil, 0, err
	}
	defer stop()
	pids := c.pids()
	before, err := cpuTime(pids)
	if err != nil {
		return nil, 0, err
	}
	limited, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	argv := command(addr)
	run := exec.CommandContext(limited, argv[0], argv[1:]...)
	run.Dir = filepath.Dir(argv[0])
	if argv[0] == "node" {
		run.Dir = filepath.Join(l.dir, "bullmq")
	}
	text, err := run.CombinedOutput()
	all, bad := f.read(text)
	if limited.Err() != nil {
		err = fmt.Errorf("it had no end within %v; more with --longest, or fewer tasks with --fewer", longest)
	}
	if err = errors.Join(err, bad); err != nil {
		return all, 0, fmt.Errorf("%w\n%s", err, lastLines(string(text), 8))
	}
	after, err := cpuTime(pids)
	return all, after - before, err
}

// startForFramework starts a cluster for a program that is told one address: that of the
// leader, or of what stands before the primary.
func startForFramework(ctx context.Context, l *lab, system string) (addr string, c contender, stop func(), err error) {
	if system == "tutti" {
		c, err := startTutti(ctx, l)
		if err != nil {
			return "", nil, nil, err
		}
		addrs, _, err := clientsOf(ctx, c)
		if err != nil {
			c.stop()
			return "", nil, nil, err
		}
		return addrs[0], c, c.stop, nil
	}
	redis, err := startRedis(ctx, l, "redis")
	if err != nil {
		return "", nil, nil, err
	}
	w, err := startWaiter(redis.addrs[0])
	if err != nil {
		redis.stop()
		return "", nil, nil, err
	}
	return w.addr(), redis, func() { _ = w.l.Close(); redis.stop() }, nil
}

// asynqCount is a number of tasks in the sources of Asynq's benchmarks: nothing else there
// has five digits.
var asynqCount = regexp.MustCompile(`\b\d{5,6}\b`)

// asynqBenchmarks are those that are run. The fourth waits most of its time for tasks that
// are scheduled, which a server of Asynq looks for every five seconds.
const asynqBenchmarks = "EndToEndSimple|EndToEndMultipleQueues|ClientWhileServerRunning"

// buildAsynqBench makes a program of Asynq's own tests. Its module is copied: it may want a
// checksum of what only its tests need, and the benchmarks get fewer tasks.
func buildAsynqBench(ctx context.Context, l *lab, fewer int) (func(addr string) []string, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", asynqModule).Output()
	if err != nil {
		return nil, fmt.Errorf("find %s: %w", asynqModule, err)
	}
	source := filepath.Join(l.dir, "asynq-source")
	if err := os.CopyFS(source, os.DirFS(string(bytes.TrimSpace(out)))); err != nil {
		return nil, err
	}
	if err := divideCounts(filepath.Join(source, "benchmark_test.go"), fewer); err != nil {
		return nil, err
	}
	program := filepath.Join(l.dir, "asynq.test")
	build := exec.CommandContext(ctx, "go", "test", "-c", "-mod=mod", "-o", program, ".")
	build.Dir = source
	if text, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the benchmarks of Asynq: %w\n%s", err, lastLines(string(text), 8))
	}
	return func(addr string) []string {
		return []string{program, "-test.run", "^$", "-test.bench", asynqBenchmarks, "-test.benchtime", "1x",
			"-test.timeout", "1h", "-redis_addr", addr, "-redis_db", "0", "-loglevel", "fatal"}
	}, nil
}

// divideCounts divides the numbers of tasks in a copy of Asynq's benchmarks.
func divideCounts(path string, by int) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if !asynqCount.Match(text) {
		return fmt.Errorf("%s: no numbers of tasks: Asynq's benchmarks have changed", path)
	}
	text = asynqCount.ReplaceAllFunc(text, func(n []byte) []byte {
		v, _ := strconv.Atoi(string(n)) // digits, a few
		return strconv.AppendInt(nil, int64(max(v/by, 1)), 10)
	})
	if err := os.Chmod(path, 0o600); err != nil { // the cache of modules can't be written
		return err
	}
	return os.WriteFile(path, text, 0o600)
}

// benchLine is a result as go test prints it.
var benchLine = regexp.MustCompile(`(?m)^Benchmark(\w+?)(?:-\d+)?\s+\d+\s+(\d+(?:\.\d+)?) ns/op`)

func readAsynqBench(text []byte) (all []frameworkResult, err error) {
	for _, m := range benchLine.FindAllSubmatch(text, -1) {
		ns, err := strconv.ParseFloat(string(m[2]), 64)
		if err != nil {
			return nil, err
		}
		all = append(all, frameworkResult{Benchmark: "asynq " + string(m[1]), Ms: ns / 1e6})
	}
	if want := strings.Count(asynqBenchmarks, "|") + 1; len(all) < want {
		return all, fmt.Errorf("%d of %d benchmarks have come to an end", len(all), want)
	}
	return all, nil
}

// bullmqJobs are those of each benchmark of BullMQ's makers.
const bullmqJobs = 10000

func buildBullMQBench(ctx context.Context, l *lab, fewer int) (func(addr string) []string, error) {
	if err := l.provideBullMQ(ctx); err != nil {
		return nil, err
	}
	fmt.Printf("%-6s %s\n", "bullmq", l.versions["bullmq"])
	return func(addr string) []string {
		host, port, _ := net.SplitHostPort(addr) // which this program has made
		return []string{"node", "own.js", host, port, strconv.Itoa(max(bullmqJobs/fewer, 1))}
	}, nil
}

func readBullMQBench(text []byte) (all []frameworkResult, err error) {
	for line := range bytes.Lines(text) {
		var x frameworkResult
		if json.Unmarshal(line, &x) == nil && x.Benchmark != "" {
			x.Benchmark = "bullmq " + x.Benchmark
			all = append(all, x)
		}
	}
	if len(all) < 4 {
		return all, fmt.Errorf("%d of 4 benchmarks have come to an end", len(all))
	}
	return all, nil
}

// print has a line for each benchmark: the medians, and how many times as fast tutti is.
func (r *frameworksReport) print(w io.Writer, systems []string) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "\nms, medians of %d rounds, one task in %d\t%s\ttimes as fast; the goal is %.0f\n", r.Rounds, r.Fewer, strings.Join(systems, "\t"), frameworkGoal)
	var names []string
	for _, x := range r.Results {
		if !slices.Contains(names, x.Benchmark) {
			names = append(names, x.Benchmark)
		}
	}
	for _, name := range names {
		fmt.Fprint(t, name)
		for _, s := range systems {
			fmt.Fprint(t, "\t", figureOr("%.1f", r.median(s, name)))
		}
		if tutti, redis := r.median("tutti", name), r.median("redis", name); tutti > 0 && redis > 0 {
			fmt.Fprintf(t, "\t%.2f: %s", redis/tutti, pick(redis >= frameworkGoal*tutti, "reached", "missed"))
		}
		fmt.Fprintln(t)
	}
	for _, f := range frameworks() {
		fmt.Fprintf(t, "%s, CPU of the servers, s", f.name)
		for _, s := range systems {
			var all []float64
			for _, x := range r.CPU {
				if x.System == s && x.Framework == f.name {
					all = append(all, x.Seconds)
				}
			}
			fmt.Fprint(t, "\t", figureOr("%.2f", median(all)))
		}
		fmt.Fprintln(t)
	}
	t.Flush()
}

// median is that of the rounds; 0: there is none.
func (r *frameworksReport) median(system, benchmark string) float64 {
	var all []float64
	for _, x := range r.Results {
		if x.System == system && x.Benchmark == benchmark {
			all = append(all, x.Ms)
		}
	}
	return median(all)
}
