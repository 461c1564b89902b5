package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"text/tabwriter"
	"time"
)

// Two systems at once, measured by turns in slices of half a second: the speed of a shared
// machine drifts by a fifth within a minute, so what one system did a minute after the
// other says little. Whoever is not measured is idle. What a system puts off, as the
// compaction of tables, is charged to whoever comes next: for sustained writes there is
// --drain of the comparison.

// pairsReport is the result file of "bench pairs".
type pairsReport struct {
	Machine machine      `json:"machine"`
	Systems [2]string    `json:"systems"`
	Slices  int          `json:"slices"`
	Seconds float64      `json:"slice_seconds"`
	Keys    int          `json:"keys"`
	Cases   []pairedCase `json:"cases"`
}

// pairedCase is what both systems did in one case.
type pairedCase struct {
	Case      string     `json:"case"`
	OpsPerSec [2]float64 `json:"ops_per_sec"` // medians
	CPUUs     [2]float64 `json:"cpu_us_per_op"`
	P99Ms     [2]float64 `json:"p99_ms"`
	// Rate and CPU are the first system's divided by the second's, slice by slice: lower
	// quartile, median and upper quartile.
	Rate   [3]float64 `json:"rate_ratio"`
	CPU    [3]float64 `json:"cpu_ratio"`
	Errors [2]uint64  `json:"errors"`
}

func pairsMain(ctx context.Context, args []string) error {
	flags, o, peers := newFlags("bench pairs", "tutti,redis")
	than := flags.String("than", "", "tutti `binary` to compare with, instead of with another system")
	only := flags.String("cases", usualCases, "`regexp` of the cases to run")
	number := flags.Int("slices", 16, "how often each system is measured in each case")
	seconds := flags.Float64("seconds", 0.5, "`seconds` of a slice, after a warm-up of a fifth of it")
	keys := flags.Int("keys", 1000, "random keys")
	if err := o.parse(flags, args, peers); err != nil {
		return err
	}
	filter, err := regexp.Compile(*only)
	if err != nil {
		return fmt.Errorf("%w: --cases: %w", errUsage, err)
	}
	if *than != "" {
		o.peers = []string{"tutti", "tutti"}
	}
	if len(o.peers) != 2 || *number < 1 || *seconds <= 0 || *keys < 1 {
		return fmt.Errorf("%w: --peers names two systems, and --slices, --seconds and --keys are positive", errUsage)
	}
	l, missing, err := prepare(ctx, o)
	if err != nil {
		return err
	}
	defer l.close()
	r := &pairsReport{Machine: l.machine, Systems: [2]string(o.peers), Slices: *number, Seconds: *seconds, Keys: *keys}
	both, err := r.start(ctx, l, *than)
	for _, c := range both {
		defer c.stop()
	}
	if err != nil {
		return err
	}
	if err := r.measure(ctx, both, filter); err != nil {
		return err
	}
	r.print()
	if err := writeJSON(o.jsonPath, "pairs", r.Machine.Date, r); err != nil {
		return err
	}
	return missingError(missing)
}

// start starts both systems; what it returns is to be stopped even if it fails.
func (r *pairsReport) start(ctx context.Context, l *lab, than string) (both []contender, err error) {
	for i, name := range r.Systems {
		if i == 1 && than != "" {
			if l.binary["tutti"], err = filepath.Abs(than); err != nil {
				return both, err
			}
			r.Systems = [2]string{"this", "than"}
		}
		c, err := starters[name](ctx, l)
		if err != nil {
			return both, err
		}
		both = append(both, c)
	}
	return both, nil
}

func (r *pairsReport) measure(ctx context.Context, both []contender, filter *regexp.Regexp) error {
	slice := time.Duration(r.Seconds * float64(time.Second))
	filled := make(map[string]bool)
	for _, tc := range testCases() {
		if !filter.MatchString(tc.name) || slices.ContainsFunc(r.Systems[:], func(name string) bool { return !tc.applies(name) }) {
			continue
		}
		var samples [2][]sample
		for n := range 2 * r.Slices {
			i := (n + n/2) % 2 // neither is always the first
			c := both[i]
			if !filled[tc.work.kind] && n < 2 {
				if err := c.fill(ctx, tc.work, r.Keys); err != nil {
					return fmt.Errorf("fill: %w", err)
				}
			}
			s, err := measureCase(ctx, c, false, job{
				work: tc.work, conns: tc.conns, pipeline: tc.pipeline, random: tc.random,
				keys: r.Keys, warmup: slice / 5, measure: slice,
			})
			if err != nil {
				return fmt.Errorf("%s of %s: %w", tc.name, r.Systems[i], err)
			}
			if s.Errors > 0 {
				fmt.Printf("%s of %s:%s\n", tc.name, r.Systems[i], s.errorNote())
			}
			samples[i] = append(samples[i], s)
		}
		filled[tc.work.kind] = true
		r.Cases = append(r.Cases, paired(tc.name, samples))
	}
	if len(r.Cases) == 0 {
		return fmt.Errorf("%w: no case matches that both systems have", errUsage)
	}
	return nil
}

// paired compares what two systems did by turns.
func paired(name string, samples [2][]sample) pairedCase {
	p := pairedCase{Case: name}
	rate := func(s sample) float64 { return s.OpsPerSec }
	cpu := func(s sample) float64 { return s.ServerCPUUs }
	for i, all := range samples {
		for _, s := range all {
			p.Errors[i] += uint64(s.Errors)
		}
		p.OpsPerSec[i], p.CPUUs[i] = medianOf(all, rate), medianOf(all, cpu)
		p.P99Ms[i] = medianOf(all, func(s sample) float64 { return s.P99Ms })
	}
	p.Rate, p.CPU = ratios(samples, rate), ratios(samples, cpu)
	return p
}

// ratios returns the quartiles of a figure of the first system divided by the second's.
func ratios(samples [2][]sample, of func(sample) float64) (quartiles [3]float64) {
	var all []float64
	for i, a := range samples[0] {
		if b := of(samples[1][i]); b > 0 {
			all = append(all, of(a)/b)
		}
	}
	if len(all) == 0 {
		return quartiles
	}
	slices.Sort(all)
	for i := range quartiles {
		quartiles[i] = all[(i+1)*(len(all)-1)/4]
	}
	return quartiles
}

func (r *pairsReport) print() {
	fmt.Printf("\n%s and %s by turns, %d slices of %.1f s each: medians, and ratios slice by slice (quartiles)\n",
		r.Systems[0], r.Systems[1], r.Slices, r.Seconds)
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "case\tops/s\tp99 ms\tCPU µs/op\trate\tCPU\n")
	for _, c := range r.Cases {
		fmt.Fprintf(w, "%s\t%.0f / %.0f\t%.2f / %.2f\t%.1f / %.1f\t%.2f× (%.2f–%.2f)\t%.2f× (%.2f–%.2f)\n", c.Case,
			c.OpsPerSec[0], c.OpsPerSec[1], c.P99Ms[0], c.P99Ms[1], c.CPUUs[0], c.CPUUs[1],
			c.Rate[1], c.Rate[0], c.Rate[2], c.CPU[1], c.CPU[0], c.CPU[2])
	}
	_ = w.Flush()
}
