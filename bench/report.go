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
	Medians    []sample  `json:"medians"` // of the rounds; Round is 0
	Goals      []verdict `json:"goals"`
	Samples    []sample  `json:"samples"`
	Failures   []string  `json:"failures,omitempty"`
}

// goal is a ratio that tutti aims at, of medians of one run.
type goal struct {
	what   string
	peer   string
	tutti  string // case of tutti
	other  string // case of the peer
	cpu    bool   // compare CPU per operation (lower is better), else ops/s
	target float64
}

// goals of the project. Where a goal says "c ≥ 256", 500 clients stand for it.
var goals = []goal{
	{"SET c=50 P=1 vs redis+WAIT", "redis", "set-c50-p1-leader", "set-c50-p1-leader", false, 1.5},
	{"SET c=500 P=1 vs redis+WAIT", "redis", "set-c500-p1-leader", "set-c500-p1-leader", false, 1.5},
	{"SET c=50 P=16 vs redis+WAIT", "redis", "set-c50-p16-leader", "set-c50-p16-leader", false, 1},
	{"SET c=500 P=16 vs redis+WAIT", "redis", "set-c500-p16-leader", "set-c500-p16-leader", false, 1},
	{"SET CPU/op c=50 P=1 vs redis+WAIT", "redis", "set-c50-p1-leader", "set-c50-p1-leader", true, 0.8},
	{"SET CPU/op c=500 P=1 vs redis+WAIT", "redis", "set-c500-p1-leader", "set-c500-p1-leader", true, 0.8},
	{"SET c=500 vs etcd Put", "etcd", "set-c500-p1-leader", "set-c500-p1-leader", false, 5},
	{"SET c=500 random node vs etcd Put", "etcd", "set-c500-p1-random", "set-c500-p1-random", false, 5},
	{"GET c=50 vs etcd linearizable", "etcd", "get-c50-p1-leader", "get-c50-p1-leader", false, 4},
	{"GET c=500 vs etcd linearizable", "etcd", "get-c500-p1-leader", "get-c500-p1-leader", false, 4},
	{"GET c=500 random node vs etcd linearizable", "etcd", "get-c500-p1-random", "get-c500-p1-random", false, 4},
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
	for _, g := range goals {
		ours, ok := r.find("tutti", g.tutti)
		theirs, ok2 := r.find(g.peer, g.other)
		if !ok || !ok2 {
			continue
		}
		v := verdict{Goal: g.what, Target: g.target, Lower: g.cpu}
		if g.cpu {
			v.Ratio = ours.ServerCPUUs / theirs.ServerCPUUs
			v.Met = v.Ratio <= g.target
		} else {
			v.Ratio = ours.OpsPerSec / theirs.OpsPerSec
			v.Met = v.Ratio >= g.target
		}
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
	var ops, p50, p99, server, client []float64
	for _, s := range r.Samples {
		if s.System != system || s.Case != name {
			continue
		}
		ops, p50, p99 = append(ops, s.OpsPerSec), append(p50, s.P50Ms), append(p99, s.P99Ms)
		server, client = append(server, s.ServerCPUUs), append(client, s.ClientCPUUs)
		m.Ops += s.Ops
		m.Errors += s.Errors
		m.Seconds += s.Seconds
		if m.FirstError == "" {
			m.FirstError = s.FirstError
		}
	}
	m.OpsPerSec, m.P50Ms, m.P99Ms = median(ops), median(p50), median(p99)
	m.ServerCPUUs, m.ClientCPUUs = median(server), median(client)
	return m, len(ops) > 0
}

func (r *report) print(w io.Writer, cases []testCase, systems []string) {
	fmt.Fprintf(w, "\nMedians of %d rounds: ops/s · p50/p99 ms · CPU µs per operation of all servers\n", r.Rounds)
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
func writeBoth(path, name, date string, v any, print func(w io.Writer)) (string, error) {
	path, err := writeJSON(path, name, date, v)
	if err != nil {
		return "", err
	}
	var text bytes.Buffer
	print(&text)
	return path, os.WriteFile(strings.TrimSuffix(path, ".json")+".txt", text.Bytes(), 0o644)
}

// writeJSON stores a result; date is RFC 3339 and becomes part of the name.
func writeJSON(path, name, date string, v any) (string, error) {
	if path == "" {
		if err := os.MkdirAll("results", 0o755); err != nil {
			return "", err
		}
		path = filepath.Join("results", strings.NewReplacer(":", "", "-", "").Replace(date)+"-"+name+".json")
	}
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return "", err
	}
	return path, os.WriteFile(path, append(data, '\n'), 0o644)
}
