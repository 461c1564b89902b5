package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
)

// report is the JSON file of one comparison.
type report struct {
	Machine    machine   `json:"machine"`
	Rounds     int       `json:"rounds"`
	Keys       int       `json:"keys"`
	ValueBytes int       `json:"value_bytes"`
	Drained    bool      `json:"drained"` // CPU is that until the system was idle again
	Medians    []sample  `json:"medians"` // of the rounds; Round is 0
	Goals      []verdict `json:"goals"`
	Samples    []sample  `json:"samples"`
	Failures   []string  `json:"failures,omitempty"`
}

// goal is a ratio that tutti aims at, of medians of one run.
type goal struct {
	peer   string
	name   string // of the case
	figure string // what is compared
	target float64
}

// Figures that goals compare; of the last two less is better.
const (
	rateFigure = "rate"
	cpuFigure  = "CPU"
	p99Figure  = "p99"
)

// goals of the project. Redis' reads are of one node that asks nobody, with all keys in
// memory.
func goals() []goal {
	all := []goal{
		{"redis", "set-c50-p1-leader", rateFigure, 1.1}, {"redis", "set-c500-p1-leader", rateFigure, 1}, {"redis", "set-c50-p16-leader", rateFigure, 0.8},
		{"redis", "set-c50-p1-leader", cpuFigure, 1.2}, {"redis", "set-c500-p1-leader", cpuFigure, 1.2},
		{"redis", "set-c50-p1-leader", p99Figure, 2}, {"redis", "set-c500-p1-leader", p99Figure, 2}, {"redis", "set-c50-p16-leader", p99Figure, 2},
		{"redis", "get-c50-p1-leader", rateFigure, 0.7}, {"redis", "get-c500-p1-leader", rateFigure, 0.9}, {"redis", "get-c50-p16-leader", rateFigure, 0.9},
		{"etcd", "set-c500-p1-leader", rateFigure, 5}, {"etcd", "set-c500-p1-random", rateFigure, 5},
		{"etcd", "get-c50-p1-leader", rateFigure, 15}, {"etcd", "get-c500-p1-leader", rateFigure, 15}, {"etcd", "get-c500-p1-random", rateFigure, 15},
	}
	for _, c := range testCases() {
		switch c.work.name {
		case "set", "get":
		case "set1m":
			all = append(all, goal{"redis", c.name, rateFigure, 0.5})
		case "eval":
			all = append(all, goal{"redis", c.name, rateFigure, 1})
		default:
			all = append(all, goal{"redis", c.name, rateFigure, 0.8})
		}
	}
	return all
}

// verdict is a goal with what was measured.
type verdict struct {
	Goal   string  `json:"goal"`
	Target float64 `json:"target"`
	Ratio  float64 `json:"ratio"`
	Lower  bool    `json:"lower_is_better"`
	Met    bool    `json:"met"`
}

// finish computes medians and ratios.
func (r *report) finish(cases []testCase, systems []string) {
	for _, c := range cases {
		for _, system := range systems {
			if m, ok := r.medianOf(system, c.name); ok {
				r.Medians = append(r.Medians, m)
			}
		}
	}
	for _, g := range goals() {
		ours, ok := r.find("tutti", g.name)
		theirs, ok2 := r.find(g.peer, g.name)
		if !ok || !ok2 {
			continue
		}
		v := verdict{Goal: fmt.Sprintf("%s of %s to %s", g.figure, g.name, g.peer), Target: g.target, Lower: g.figure != rateFigure}
		switch g.figure {
		case cpuFigure:
			v.Ratio = ours.ServerCPUUs / theirs.ServerCPUUs
		case p99Figure:
			v.Ratio = ours.P99Ms / theirs.P99Ms
		default:
			v.Ratio = ours.OpsPerSec / theirs.OpsPerSec
		}
		v.Met = pick(v.Lower, v.Ratio <= g.target, v.Ratio >= g.target)
		r.Goals = append(r.Goals, v)
	}
}

func (r *report) find(system, name string) (sample, bool) {
	for _, m := range r.Medians {
		if m.System == system && m.Case == name {
			return m, true
		}
	}
	return sample{}, false
}

// medianOf takes the median of each figure by itself.
func (r *report) medianOf(system, name string) (sample, bool) {
	m := sample{System: system, Case: name}
	var ops, p50, p99, server, client, serial []float64
	for _, s := range r.Samples {
		if s.System != system || s.Case != name {
			continue
		}
		ops, p50, p99 = append(ops, s.OpsPerSec), append(p50, s.P50Ms), append(p99, s.P99Ms)
		server, client, serial = append(server, s.ServerCPUUs), append(client, s.ClientCPUUs), append(serial, s.SerialUs)
		m.Ops += s.Ops
		m.Errors += s.Errors
		m.Seconds += s.Seconds
		if m.FirstError == "" {
			m.FirstError = s.FirstError
		}
	}
	m.OpsPerSec, m.P50Ms, m.P99Ms = median(ops), median(p50), median(p99)
	m.ServerCPUUs, m.ClientCPUUs, m.SerialUs = median(server), median(client), median(serial)
	return m, len(ops) > 0
}

func (r *report) print(w io.Writer, cases []testCase, systems []string) {
	fmt.Fprintf(w, "\nMedians of %d rounds: ops/s · p50/p99 ms · CPU µs per operation of all servers%s\n", r.Rounds, pick(r.Drained, ", until they are idle again", ""))
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "case\t%s", strings.Join(systems, "\t"))
	peers := []string{}
	if _, ok := r.anyOf("tutti"); ok {
		for _, s := range systems {
			if s != "tutti" {
				peers = append(peers, s)
				fmt.Fprintf(t, "\ttutti/%s", s)
			}
		}
	}
	fmt.Fprintln(t)
	for _, c := range cases {
		fmt.Fprint(t, c.name)
		for _, system := range systems {
			m, ok := r.find(system, c.name)
			if !ok {
				fmt.Fprint(t, "\t–")
				continue
			}
			fmt.Fprintf(t, "\t%.0f · %.2f/%.2f · %.1f", m.OpsPerSec, m.P50Ms, m.P99Ms, m.ServerCPUUs)
		}
		ours, ok := r.find("tutti", c.name)
		for _, peer := range peers {
			theirs, ok2 := r.find(peer, c.name)
			if !ok || !ok2 {
				fmt.Fprint(t, "\t–")
				continue
			}
			fmt.Fprintf(t, "\t%.2f× (CPU %.2f×)", ours.OpsPerSec/theirs.OpsPerSec, ours.ServerCPUUs/theirs.ServerCPUUs)
		}
		fmt.Fprintln(t)
	}
	_ = t.Flush()
	for _, m := range r.Medians {
		if m.SerialUs > 0 {
			fmt.Fprintf(w, "%s %s: the leader's loop works %.2f µs for an operation: at most %.0f/s in one shard\n", m.System, m.Case, m.SerialUs, 1e6/m.SerialUs)
		}
	}
	if len(r.Goals) > 0 {
		fmt.Fprintln(w, "\nGoals")
	}
	for _, g := range r.Goals {
		fmt.Fprintf(w, "%-7s %-44s %.2f× (goal %s %.1f×)\n", pick(g.Met, "met", "not met"), g.Goal, g.Ratio, pick(g.Lower, "≤", "≥"), g.Target)
	}
	for _, m := range r.Medians {
		if m.Errors > 0 {
			fmt.Fprintf(w, "%s %s: %d operations failed; the first: %s\n", m.System, m.Case, m.Errors, m.FirstError)
		}
	}
}

func (r *report) anyOf(system string) (sample, bool) {
	for _, m := range r.Medians {
		if m.System == system {
			return m, true
		}
	}
	return sample{}, false
}

// writeBoth stores a result as JSON, and beside it as the text that print
// writes, for documents to quote.
func writeBoth(path, name, date string, v any, print func(w io.Writer)) error {
	path = resultPath(path, name, date)
	if err := writeJSON(path, name, date, v); err != nil {
		return err
	}
	var text bytes.Buffer
	print(&text)
	return os.WriteFile(strings.TrimSuffix(path, ".json")+".txt", text.Bytes(), 0o644)
}

// verdictOf is what so many violations, and problems that kept some from being found, come to.
func verdictOf(violations, problems int) string {
	switch {
	case violations > 0:
		return "violated"
	case problems > 0:
		return "undecided"
	}
	return "ok"
}

// conclude prints a result, stores it, and fails unless what it came to is ok.
func conclude(o *options, name string, m machine, v any, print func(w io.Writer), came string, seed uint64) error {
	print(os.Stdout)
	err := writeBoth(o.jsonPath, name, m.Date, v, func(w io.Writer) {
		m.print(w)
		print(w)
	})
	if err == nil && came != "ok" {
		err = fmt.Errorf("%s: %s, seed %d", name, came, seed)
	}
	return err
}

// writeJSON stores a result, and tells where.
func writeJSON(path, name, date string, v any) error {
	path = resultPath(path, name, date)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, append(data, '\n'), 0o644); err != nil {
		return err
	}
	fmt.Printf("\nresults: %s\n", path)
	return nil
}

// resultPath is the path asked for, or else one made of date, which is RFC 3339.
func resultPath(path, name, date string) string {
	if path != "" {
		return path
	}
	return filepath.Join("results", strings.NewReplacer(":", "", "-", "").Replace(date)+"-"+name+".json")
}
