package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"regexp"
	"time"
)

// testCase is one shape of load; every system runs those it can.
type testCase struct {
	name     string
	work     workload
	conns    int
	pipeline int
	random   bool
}

// usualCases are those that run unless others are asked for.
const usualCases = `^[sg]et-`

// testCases is SET and GET with 1, 50 and 500 clients, alone and in pipelines of 16,
// through the leader and through a random node; and what else clients do, through the
// leader.
func testCases() []testCase {
	var cases []testCase
	for _, w := range workloads() {
		shapes, routes := [][2]int{{50, 1}, {50, 16}}, []bool{false}
		switch {
		case w.name == "set" || w.name == "get":
			shapes, routes = [][2]int{{1, 1}, {50, 1}, {500, 1}, {50, 16}, {500, 16}}, []bool{false, true}
		case w.size > 1<<10:
			shapes = [][2]int{{16, 1}, {16, 4}}
		}
		for _, random := range routes {
			for _, shape := range shapes {
				c := testCase{work: w, conns: shape[0], pipeline: shape[1], random: random}
				c.name = fmt.Sprintf("%s-c%d-p%d-%s", w.name, c.conns, c.pipeline, pick(random, "random", "leader"))
				cases = append(cases, c)
			}
		}
	}
	return cases
}

func pick[T any](first bool, a, b T) T {
	if first {
		return a
	}
	return b
}

// applies says whether a system has this case at all.
func (c testCase) applies(system string) bool {
	switch system {
	case "redis", "valkey":
		return !c.work.write || !c.random // replicas refuse writes
	case "etcd", "etcd-tuned":
		return c.pipeline == 1 && (c.work.name == "set" || c.work.name == "get")
	}
	return true
}

func compareMain(ctx context.Context, args []string) error {
	flags, o, peers := newFlags("bench", "tutti,redis,etcd")
	seconds := flags.Float64("seconds", 5, "measured `seconds` per case, after a warm-up of a fifth of it")
	rounds := flags.Int("rounds", 3, "how often each system runs, in turn")
	only := flags.String("cases", usualCases, "`regexp` of the cases to run, such as 'set-c50' or 'hset|zadd'; all: .")
	drain := flags.Bool("drain", false, "count the CPU until the nodes are idle again after each case, and measure 12 s of each if --seconds is not given")
	keys := flags.Int("keys", 1_000_000, "random keys; all are written before the first case")
	quick := flags.Bool("quick", false, "a look in about two minutes: 1 round, 1 s per case, 100,000 keys")
	if err := o.parse(flags, args, peers); err != nil {
		return err
	}
	if given := false; *drain {
		flags.Visit(func(f *flag.Flag) { given = given || f.Name == "seconds" })
		if !given {
			*seconds = sustainedSeconds
		}
	}
	if *quick {
		*rounds, *seconds, *keys = 1, 1, 100_000
	}
	filter, err := regexp.Compile(*only)
	if err != nil {
		return fmt.Errorf("%w: --cases: %w", errUsage, err)
	}
	var cases []testCase
	for _, c := range testCases() {
		if filter.MatchString(c.name) {
			cases = append(cases, c)
		}
	}
	if len(cases) == 0 || *seconds <= 0 || *rounds < 1 || *keys < 1 {
		return fmt.Errorf("%w: no case matches, or --seconds, --rounds or --keys is not positive", errUsage)
	}

	l, missing, err := prepare(ctx, o)
	if err != nil {
		return err
	}
	defer l.close()
	r := &report{Machine: l.machine, Rounds: *rounds, Keys: *keys, ValueBytes: valueLen, Drained: *drain}
	measure := time.Duration(*seconds * float64(time.Second))
	for round := 1; round <= *rounds; round++ {
		for i := range o.peers {
			// Each round begins with another system, so none always has the
			// machine as the one before left it.
			name := o.peers[(i+round-1)%len(o.peers)]
			if err := r.runRound(ctx, l, name, round, cases, *keys, measure); err != nil {
				if ctx.Err() != nil {
					return ctx.Err()
				}
				fmt.Printf("%s: round %d ended early: %v\n", name, round, err)
				r.Failures = append(r.Failures, fmt.Sprintf("%s round %d: %v", name, round, err))
			}
		}
	}
	r.finish(cases, o.peers)
	r.print(os.Stdout, cases, o.peers)
	if err := writeJSON(o.jsonPath, "compare", r.Machine.Date, r); err != nil {
		return err
	}
	if len(r.Failures) > 0 {
		return fmt.Errorf("%d rounds ended early", len(r.Failures))
	}
	return missingError(missing)
}

// sustainedSeconds is how long a case is measured where what it leaves behind counts too:
// several flushes and compactions of the state lie in it.
const sustainedSeconds = 12

// runRound starts one system, runs its cases and stops it.
func (r *report) runRound(ctx context.Context, l *lab, name string, round int, cases []testCase, keys int, measure time.Duration) error {
	c, err := starters[name](ctx, l)
	if err != nil {
		return err
	}
	defer c.stop()
	filled := make(map[string]bool)
	for _, tc := range cases {
		if !tc.applies(name) {
			continue
		}
		if !filled[tc.work.kind] {
			begin := time.Now()
			if err := c.fill(ctx, tc.work, keys); err != nil {
				return fmt.Errorf("fill: %w", err)
			}
			fmt.Printf("round %d %-6s %d keys of %s written in %.1f s\n", round, name, tc.work.keysOf(keys), tc.work.name, time.Since(begin).Seconds())
			filled[tc.work.kind] = true
			if r.Drained {
				if _, err := idle(ctx, c.pids()); err != nil {
					return err
				}
			}
		}
		s, err := measureCase(ctx, c, r.Drained, job{
			work: tc.work, conns: tc.conns, pipeline: tc.pipeline, random: tc.random,
			keys: keys, warmup: measure / 5, measure: measure,
		})
		if err != nil {
			return fmt.Errorf("%s: %w", tc.name, err)
		}
		s.System, s.Case, s.Round = name, tc.name, round
		r.Samples = append(r.Samples, s)
		fmt.Printf("round %d %-6s %-20s %9.0f ops/s  p50 %7.2f  p99 %7.2f ms  CPU %6.1f µs/op  (client %5.1f)%s\n",
			round, name, tc.name, s.OpsPerSec, s.P50Ms, s.P99Ms, s.ServerCPUUs, s.ClientCPUUs, s.errorNote())
	}
	return nil
}

func (s sample) errorNote() string {
	if s.Errors == 0 {
		return ""
	}
	return fmt.Sprintf("  %d ERRORS, the first: %s", s.Errors, s.FirstError)
}
