package modes

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// Comparison is the newest kept run of bench's nemesis: real processes of
// several systems, the same faults and checkers for all.
type Comparison struct {
	File    string         `json:"-"` // from the root; empty: no run is kept
	Nodes   int            `json:"nodes"`
	Minutes float64        `json:"minutes"`
	Systems []systemResult `json:"systems"`
}

// systemResult is what bench writes of one system.
type systemResult struct {
	System        string         `json:"system"`
	Operations    map[string]int `json:"operations"` // by outcome
	Faults        map[string]int `json:"faults"`     // by kind
	LeaderChanges int            `json:"leader_changes"`
	Violations    map[string]int `json:"violations"` // by kind
	Verdict       string         `json:"verdict"`
}

// comparisons are the results of bench that are kept; their names begin with the
// date.
const comparisons = "bench/results/*-nemesis*.json"

// LoadComparison reads the newest one.
func LoadComparison(root string) (Comparison, error) {
	var c Comparison
	names, err := filepath.Glob(filepath.Join(root, comparisons))
	if err != nil || len(names) == 0 {
		return c, err
	}
	name := slices.Max(names)
	b, err := os.ReadFile(name)
	if err == nil {
		err = json.Unmarshal(b, &c)
	}
	if err != nil {
		return c, fmt.Errorf("read comparison %s: %w", name, err)
	}
	c.File, err = filepath.Rel(root, name)
	c.File = filepath.ToSlash(c.File)
	return c, err
}

func (c Comparison) markdown(b *bytes.Buffer) {
	b.WriteString("\n## The same faults and checkers for others\n\n")
	if c.File == "" {
		fmt.Fprintf(b, "%s runs real processes of tutti, etcd and redis under one nemesis; no run is kept yet.\n", code("cd bench && go run . nemesis"))
		return
	}
	fmt.Fprintf(b, "From %s: real processes, %d nodes, %.0f minutes each, what fits the system of the same workloads.\n\n", code(c.File), c.Nodes, c.Minutes)
	b.WriteString("| system | answered | unknown | faults | leader changes | violations | verdict |\n|---|---|---|---|---|---|---|\n")
	for _, s := range c.Systems {
		fmt.Fprintf(b, "| %s | %d | %d | %d | %d | %s | %s |\n", s.System, s.Operations["ok"], s.Operations["unknown"], sum(s.Faults), s.LeaderChanges, list(s.Violations), s.Verdict)
	}
}

func sum(counts map[string]int) (n int) {
	for _, c := range counts {
		n += c
	}
	return n
}

func list(counts map[string]int) string {
	var b bytes.Buffer
	for i, name := range slices.Sorted(maps.Keys(counts)) {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%s %d", name, counts[name])
	}
	return b.String()
}
