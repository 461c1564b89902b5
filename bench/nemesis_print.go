package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
)

// print says what one system did, checker by checker.
func (r *nemesisResult) print() {
	fmt.Printf("\n%s: %s\n", r.System, r.Verdict)
	for _, who := range slices.Sorted(maps.Keys(r.Checkers)) {
		fmt.Printf("  %-14s %s\n", who, r.Checkers[who])
	}
	fmt.Printf("  %-14s %s\n", "operations", counts(r.Operations))
	fmt.Printf("  %-14s %s\n", "errors", counts(r.Errors))
	fmt.Printf("  %-14s %s\n", "faults", counts(r.Faults))
	fmt.Printf("  %-14s %d\n", "leader changes", r.LeaderChanges)
	for _, p := range r.Problems {
		fmt.Printf("  problem: %s\n", p)
	}
	if r.Evidence != "" {
		fmt.Printf("  what shows it: %s\n", r.Evidence)
	}
}

func counts(m map[string]int) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(m)) {
		parts = append(parts, fmt.Sprintf("%s %d", name, m[name]))
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}

// printNemesis is the table of all systems.
func printNemesis(w io.Writer, r *nemesisReport) {
	fmt.Fprintf(w, "\n%d nodes, %v minutes of faults each, seed %d\n", r.Nodes, r.Minutes, r.Seed)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "system\tok\tfailed\tunknown\tfaults\tleader changes\tregisters\tcounters\ttransactions\tverdict")
	for _, s := range r.Systems {
		faults := 0
		for _, n := range s.Faults {
			faults += n
		}
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t%d\t%s\t%s\t%s\t%s\n", s.System, s.Operations["ok"], s.Operations["failed"], s.Operations["unknown"],
			faults, s.LeaderChanges, s.Checkers["registers"], s.Checkers["counters"], s.Checkers["transactions"], s.Verdict)
	}
	_ = t.Flush()
}
