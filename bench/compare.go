package main

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"time"
)

// testCase is one shape of load; every system runs those it can.
type testCase struct {
	name     string
	write    bool
	conns    int
	pipeline int
	random   bool
}

// testCases is SET and GET with 1, 50 and 500 clients, alone and in pipelines
// of 16, through the leader and through a random node.
func testCases() []testCase {
	var cases []testCase
	for _, write := range []bool{true, false} {
		for _, random := range []bool{false, true} {
			for _, shape := range [][2]int{{1, 1}, {50, 1}, {500, 1}, {50, 16}, {500, 16}} {
				c := testCase{write: write, conns: shape[0], pipeline: shape[1], random: random}
				c.name = fmt.Sprintf("%s-c%d-p%d-%s", pick(write, "set", "get"), c.conns, c.pipeline,
					pick(random, "random", "leader"))
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
	case "redis":
		return !c.write || !c.random // replicas refuse writes
	case "etcd", "etcd-tuned":
		return c.pipeline == 1
	}
	return true
}

func compareMain(ctx context.Context, args []string) error {
	flags, o, peers := newFlags("bench", "tutti,redis,etcd")
	seconds := flags.Float64("seconds", 5, "measured `seconds` per case, after a warm-up of a fifth of it")
	rounds := flags.Int("rounds", 3, "how often each system runs, in turn")
	only := flags.String("cases", "", "`regexp` of the cases to run, such as 'set-c50' (names: set|get-cN-pN-leader|random)")
	keys := flags.Int("keys", 1_000_000, "random keys; all are written before the first case")
	quick := flags.Bool("quick", false, "a look in about two minutes: 1 round, 1 s per case, 100,000 keys")
	if err := o.parse(flags, args, peers); err != nil {
		return err
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
	r := &report{Machine: l.machine, Rounds: *rounds, Keys: *keys, ValueBytes: valueLen}
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
	path, err := writeJSON(o.jsonPath, "compare", r.Machine.Date, r)
	if err != nil {
		return err
	}
	fmt.Printf("\nresults: %s\n", path)
	if len(r.Failures) > 0 {
		return fmt.Errorf("%d rounds ended early", len(r.Failures))
	}
	return missingError(missing)
}

// runRound starts one system, runs its cases and stops it.
func (r *report) runRound(ctx context.Context, l *lab, name string, round int, cases []testCase, keys int, measure time.Duration) error {
	c, err := starters[name](ctx, l)
	if err != nil {
		return err
	}
	defer c.stop()
	begin := time.Now()
	if err := c.fill(ctx, keys); err != nil {
		return fmt.Errorf("fill: %w", err)
	}
	fmt.Printf("round %d %-6s %d keys written in %.1f s\n", round, name, keys, time.Since(begin).Seconds())
	for _, tc := range cases {
		if !tc.applies(name) {
			continue
		}
		s, err := measureCase(ctx, c, job{
			write: tc.write, conns: tc.conns, pipeline: tc.pipeline, random: tc.random,
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
