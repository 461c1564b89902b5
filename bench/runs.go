package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// Commands that do nothing, a process each, run by tools that run one for each argument.

// runTools are the tools that --peers takes. Each runs true for each line of stdin, so
// many at once; tutti on the nodes of a cluster of three, here with tasks that
// this machine runs.
var runTools = map[string]func(c *tuttiCluster, jobs string) []string{
	"xargs": func(_ *tuttiCluster, jobs string) []string { return []string{"xargs", "-P", jobs, "-n", "1", "true"} },
	"parallel": func(_ *tuttiCluster, jobs string) []string {
		return []string{"parallel", "--will-cite", "-j", jobs, "true"}
	},
	"tutti": func(c *tuttiCluster, jobs string) []string {
		return []string{c.binary, "run", "--addr", c.addrs[0], "-j", jobs, "--", "true"}
	},
	"here": func(c *tuttiCluster, jobs string) []string {
		return []string{c.binary, "run", "--addr", c.addrs[0], "-j", jobs, "--here", "--", "true"}
	},
}

// runsReport is what was measured.
type runsReport struct {
	Machine  machine     `json:"machine"`
	Commands int         `json:"commands"`
	Jobs     int         `json:"jobs"`
	Rounds   int         `json:"rounds"`
	Samples  []runSample `json:"samples"`
}

// runSample is one run of all commands.
type runSample struct {
	Tool    string  `json:"tool"`
	Round   int     `json:"round"`
	Seconds float64 `json:"seconds"`
	PerSec  float64 `json:"commands_per_sec"`
}

func runsMain(ctx context.Context, args []string) error {
	flags, o, peers := newFlags("run", "xargs,parallel,tutti,here")
	commands := flags.Int("commands", 1000, "commands of one `run`")
	jobs := flags.Int("jobs", runtime.NumCPU(), "how many `run` at once")
	rounds := flags.Int("rounds", 5, "`rounds`, each of all tools")
	if err := o.parseKnown(flags, args, peers, func(name string) bool { return runTools[name] != nil }, "xargs, parallel, tutti, here"); err != nil {
		return err
	}
	if *commands < 1 || *jobs < 1 || *rounds < 1 {
		return fmt.Errorf("%w: --commands, --jobs or --rounds is not positive", errUsage)
	}
	tools := o.peers
	if slices.Contains(tools, "parallel") {
		if _, err := exec.LookPath("parallel"); err != nil {
			if err := aptInstall(ctx, "parallel"); err != nil {
				return err
			}
		}
	}
	o.peers = []string{"tutti"}
	l, _, err := prepare(ctx, o)
	if err != nil {
		return err
	}
	defer l.close()
	c, err := startTutti(ctx, l, "--allow-exec="+strconv.Itoa(*jobs))
	if err != nil {
		return err
	}
	defer c.stop()
	r := &runsReport{Machine: l.machine, Commands: *commands, Jobs: *jobs, Rounds: *rounds}
	for round := 1; round <= *rounds; round++ {
		for i := range tools {
			if err := r.measure(ctx, c, tools[(i+round-1)%len(tools)], round); err != nil {
				return err
			}
		}
	}
	r.print(os.Stdout, tools)
	return writeJSON(o.jsonPath, "run", r.Machine.Date, r)
}

// measure runs all commands by one tool.
func (r *runsReport) measure(ctx context.Context, c *tuttiCluster, tool string, round int) error {
	var lines strings.Builder
	for i := range r.Commands {
		fmt.Fprintln(&lines, i)
	}
	args := runTools[tool](c, strconv.Itoa(r.Jobs))
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Stdin = strings.NewReader(lines.String())
	began := time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", tool, err, out)
	}
	took := time.Since(began).Seconds()
	s := runSample{Tool: tool, Round: round, Seconds: took, PerSec: float64(r.Commands) / took}
	r.Samples = append(r.Samples, s)
	fmt.Printf("round %d %-8s %6.2f s  %6.0f commands/s\n", round, tool, s.Seconds, s.PerSec)
	return nil
}

// print shows the medians, and how tutti's compare.
func (r *runsReport) print(w io.Writer, tools []string) {
	rate := map[string]float64{}
	for _, tool := range tools {
		var all []float64
		for _, s := range r.Samples {
			if s.Tool == tool {
				all = append(all, s.PerSec)
			}
		}
		rate[tool] = median(all)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "\ntrue ×%d, %d at once, medians of %d rounds\tcommands/s\n", r.Commands, r.Jobs, r.Rounds)
	for _, tool := range tools {
		fmt.Fprintf(t, "%s\t%.0f\n", tool, rate[tool])
	}
	t.Flush()
	fmt.Fprintln(w)
	for _, goal := range []struct {
		tool  string
		times float64
	}{{"xargs", 0.8}, {"parallel", 3}} {
		if ours, theirs := rate["tutti"], rate[goal.tool]; ours > 0 && theirs > 0 {
			fmt.Fprintf(w, "tutti run: %.2f times %s; the goal is %.1f: %s\n", ours/theirs, goal.tool, goal.times, pick(ours >= goal.times*theirs, "reached", "missed"))
		}
	}
}
