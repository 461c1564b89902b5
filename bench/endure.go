package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"text/tabwriter"
	"time"
)

// One case at full load for many minutes, one system after the other, told minute by minute:
// what a store puts off, as merging tables, must not pile up until others wait for it.

// endureReport is the result file of "bench endure".
type endureReport struct {
	Machine machine         `json:"machine"`
	Case    string          `json:"case"`
	Keys    int             `json:"keys"`
	Seconds float64         `json:"seconds"` // of each sample
	Systems []enduredSystem `json:"systems"`
}

// enduredSystem is what a system did, in order.
type enduredSystem struct {
	System  string   `json:"system"`
	Samples []sample `json:"samples"`
}

func endureMain(ctx context.Context, args []string) error {
	flags, o, peers := newFlags("bench endure", "tutti,redis")
	name := flags.String("case", "set-c50-p1-leader", "the `case`")
	minutes := flags.Int("minutes", 10, "for how many `minutes` each system is under load")
	seconds := flags.Float64("seconds", 60, "`seconds` of a sample, of which there are as many as minutes")
	keys := flags.Int("keys", 1_000_000, "random keys; all are written before")
	if err := o.parse(flags, args, peers); err != nil {
		return err
	}
	cases := testCases()
	i := slices.IndexFunc(cases, func(c testCase) bool { return c.name == *name })
	if i < 0 || *minutes < 1 || *seconds <= 0 || *keys < 1 {
		return fmt.Errorf("%w: no case is called %s, or --minutes, --seconds or --keys is not positive", errUsage, *name)
	}
	l, missing, err := prepare(ctx, o)
	if err != nil {
		return err
	}
	defer l.close()
	r := &endureReport{Machine: l.machine, Case: *name, Keys: *keys, Seconds: *seconds}
	for _, system := range o.peers {
		if err := r.endure(ctx, l, system, cases[i], *minutes); err != nil {
			return err
		}
	}
	r.print()
	if err := writeJSON(o.jsonPath, "endure", r.Machine.Date, r); err != nil {
		return err
	}
	return missingError(missing)
}

// endure has one system under load. It is not paused between samples longer than its clients
// need to connect.
func (r *endureReport) endure(ctx context.Context, l *lab, system string, tc testCase, minutes int) error {
	c, err := starters[system](ctx, l)
	if err != nil {
		return err
	}
	defer c.stop()
	if err := c.fill(ctx, tc.work, r.Keys); err != nil {
		return fmt.Errorf("fill: %w", err)
	}
	all := enduredSystem{System: system}
	for range minutes {
		s, err := measureCase(ctx, c, false, job{
			work: tc.work, conns: tc.conns, pipeline: tc.pipeline, random: tc.random,
			keys: r.Keys, measure: time.Duration(r.Seconds * float64(time.Second)),
		})
		if err != nil {
			return fmt.Errorf("%s of %s: %w", tc.name, system, err)
		}
		all.Samples = append(all.Samples, s)
	}
	r.Systems = append(r.Systems, all)
	return nil
}

func (r *endureReport) print() {
	fmt.Printf("\n%s without a pause, samples of %.0f s in order\n", r.Case, r.Seconds)
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "system\tsample\tops/s\tp50 ms\tp99 ms\tCPU µs/op\terrors")
	for _, s := range r.Systems {
		for i, x := range s.Samples {
			fmt.Fprintf(w, "%s\t%d\t%.0f\t%.2f\t%.2f\t%.1f\t%d\n", s.System, i+1, x.OpsPerSec, x.P50Ms, x.P99Ms, x.ServerCPUUs, x.Errors)
		}
	}
	_ = w.Flush()
}
