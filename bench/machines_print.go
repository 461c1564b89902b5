package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
)

// judge compares what was measured with what is aimed at.
func (r *machinesReport) judge() {
	goal := func(what string, value, aim float64, least bool) {
		reached := value <= aim
		if least {
			reached = value >= aim
		}
		r.Goals = append(r.Goals, machinesGoal{What: what, Value: value, Goal: aim, Least: least, Reached: reached})
	}
	if three, five := r.scaleOf(3), r.scaleOf(5); three.ReadsPerS > 0 {
		goal("reads of 5 nodes over those of 3", five.ReadsPerS/three.ReadsPerS, 1.5, true)
	}
	if serves, _ := r.joinsOf(0); len(serves) > 0 {
		goal("join of an empty node until it serves, median in s", median(serves)/1000, 2, false)
	}
	for _, f := range []*moveFigure{r.Moves, r.Slow} {
		if f == nil || len(f.Rounds) == 0 {
			continue
		}
		moves := "a copy moves" + pick(f.Link != "", " over a slow link", "")
		goal("p99 of reads while "+moves+" over that without", f.ReadMoveMs/f.ReadCalmMs, 2, false)
		goal("p99 of writes while "+moves+" over that without", f.WriteMoveMs/f.WriteCalmMs, 2, false)
		goal("commands that failed while "+moves, float64(f.Failed), 0, false)
		goal("elections while "+moves, float64(f.Elections), 0, false)
	}
	for _, f := range r.Rolling {
		goal("commands through a gateway that failed, all nodes restarted by "+f.How, float64(f.Failed), 0, false)
	}
}

// scaleOf takes the median of each figure of clusters of n nodes by itself.
func (r *machinesReport) scaleOf(n int) scaleFigure {
	var reads, readP99, writes, writeP99 []float64
	all := scaleFigure{Nodes: n}
	for _, f := range r.Scaling {
		if f.Nodes == n {
			reads, readP99 = append(reads, f.ReadsPerS), append(readP99, f.ReadP99Ms)
			writes, writeP99 = append(writes, f.WritesPerS), append(writeP99, f.WriteP99Ms)
			all.Cores = f.Cores
			all.Errors += f.Errors
		}
	}
	if len(reads) > 0 {
		all.ReadsPerS, all.ReadP99Ms, all.WritesPerS, all.WriteP99Ms = median(reads), median(readP99), median(writes), median(writeP99)
	}
	return all
}

func (r *machinesReport) joinsOf(mib int) (serves, placed []float64) {
	for _, f := range r.Joins {
		if f.DataMiB == mib {
			serves, placed = append(serves, f.ServesMs), append(placed, f.PlacedMs)
		}
	}
	return serves, placed
}

// wireOf takes the medians of one case.
func (r *machinesReport) wireOf(name string, secure bool) (f wireFigure) {
	var ops, p99, cpu []float64
	for _, x := range r.TLS {
		if x.Case == name && x.TLS == secure {
			ops, p99, cpu = append(ops, x.OpsPerS), append(p99, x.P99Ms), append(cpu, x.CPUUs)
		}
	}
	f = wireFigure{Case: name, TLS: secure}
	if len(ops) > 0 {
		f.OpsPerS, f.P99Ms, f.CPUUs = median(ops), median(p99), median(cpu)
	}
	return f
}

func (r *machinesReport) print(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	if len(r.Scaling) > 0 {
		fmt.Fprintf(w, "\nMore nodes, each held to a share of a core (%s), clients at each; medians\n", r.Shares)
		fmt.Fprintln(t, "nodes\tcores each\treads/s\tof 3 nodes\tp99 ms\twrites/s\tof 3 nodes\tp99 ms\terrors\t")
		three := r.scaleOf(3)
		for _, n := range scaleNodes {
			f := r.scaleOf(n)
			fmt.Fprintf(t, "%d\t%.2f\t%.0f\t%.2f×\t%.1f\t%.0f\t%.2f×\t%.1f\t%d\t\n", n, f.Cores, f.ReadsPerS, f.ReadsPerS/three.ReadsPerS, f.ReadP99Ms,
				f.WritesPerS, f.WritesPerS/three.WritesPerS, f.WriteP99Ms, f.Errors)
		}
		_ = t.Flush()
	}
	for i, f := range r.Joins {
		if i == 0 || r.Joins[i-1].DataMiB != f.DataMiB {
			serves, placed := r.joinsOf(f.DataMiB)
			fmt.Fprintf(w, "\nA node that joins three with %d MiB: serves after %.0f ms, has all copies after %.0f ms (medians of %d; longest %.0f and %.0f)\n",
				f.DataMiB, median(serves), median(placed), len(serves), slices.Max(serves), slices.Max(placed))
		}
	}
	r.Moves.print(w, t)
	r.Slow.print(w, t)
	for _, f := range r.Rolling {
		fmt.Fprintf(w, "\nAll three nodes restarted, %s: of %d commands through a gateway %d failed %s, the longest took %.0f ms\n", f.How, f.Commands, f.Failed, f.FirstError, f.LongestMs)
	}
	r.printWires(w, t)
	if len(r.Goals) > 0 {
		fmt.Fprintln(w, "\nGoals")
	}
	for _, g := range r.Goals {
		fmt.Fprintf(w, "%-11s %s: %.2f (goal %s %.2f)\n", pick(g.Reached, "reached", "not reached"), g.What, g.Value, pick(g.Least, "≥", "≤"), g.Goal)
	}
	for _, e := range r.Errors {
		fmt.Fprintf(w, "ended early: %s\n", e)
	}
}

func (r *machinesReport) printWires(w io.Writer, t *tabwriter.Writer) {
	if len(r.TLS) == 0 {
		return
	}
	fmt.Fprintf(w, "\nTLS against plain RESP, %d clients of all three nodes; medians\n", wireConns)
	fmt.Fprintln(t, "case\tplain ops/s\tTLS ops/s\t\tplain CPU µs\tTLS CPU µs\t\tplain p99 ms\tTLS p99 ms\t")
	var names []string
	for _, f := range r.TLS {
		if !slices.Contains(names, f.Case) {
			names = append(names, f.Case)
		}
	}
	for _, name := range names {
		plain, secure := r.wireOf(name, false), r.wireOf(name, true)
		fmt.Fprintf(t, "%s\t%.0f\t%.0f\t%.2f×\t%.1f\t%.1f\t%.2f×\t%.1f\t%.1f\t\n", name, plain.OpsPerS, secure.OpsPerS, secure.OpsPerS/plain.OpsPerS,
			plain.CPUUs, secure.CPUUs, secure.CPUUs/plain.CPUUs, plain.P99Ms, secure.P99Ms)
	}
	_ = t.Flush()
}
