package check

import (
	"fmt"
	"slices"
	"strings"
)

// Step is one transaction of a cycle.
type Step struct {
	Op  int    // in History.Ops
	Why string // it comes before the next, the last before the first
}

// anomalies are the kinds of cycles, the worst first: what must be among the
// edges, what the others may be. In single ones the first is the only rw.
var anomalies = []struct {
	name     string
	first    dependency
	others   dependency
	realtime bool
}{
	{name: "G0", first: ww, others: ww},
	{name: "G1c", first: wr, others: ww | wr},
	{name: "G-single", first: rw, others: ww | wr},
	{name: "G2-item", first: rw, others: ww | wr | rw},
	{name: "G0-realtime", first: ww, others: ww | realtime},
	{name: "G1c-realtime", first: wr, others: ww | wr | realtime},
	{name: "G-single-realtime", first: rw, others: ww | wr | realtime},
	{name: "G2-item-realtime", first: rw, others: ww | wr | rw | realtime},
}

// cycles reports one cycle of each strongly connected part: the shortest of the
// worst kind.
func (a *appends) cycles(g graph) {
	all := make([]int32, len(g))
	for i := range all {
		all[i] = int32(i)
	}
	for _, part := range components(g, all, ww|wr|rw|realtime) {
		for _, kind := range anomalies {
			if edges, from := worst(g, part, kind.first, kind.others); edges != nil {
				a.reportCycle(kind.name, from, edges)
				break
			}
		}
	}
}

func (a *appends) reportCycle(name string, from int32, edges []edge) {
	v := Violation{Name: name}
	var text strings.Builder
	fmt.Fprintf(&text, "%d transactions, each before the next, the last before the first:", len(edges))
	for _, e := range edges {
		op := a.txns[from].op
		v.Ops = append(v.Ops, op)
		v.Cycle = append(v.Cycle, Step{Op: op, Why: a.explain(e)})
		fmt.Fprintf(&text, "\n  %v\n    %s", &a.h.Ops[op], a.explain(e))
		from = e.to
	}
	v.Text = text.String()
	a.report(v)
}

// triesMax bounds the searches for the shortest cycle of a kind. In parts with
// more candidates, a longer one may be shown, and a G-single called G2-item.
const triesMax = 256

// worst returns the shortest cycle of a kind in a part: it begins with a first
// edge and goes on with others.
func worst(g graph, part []int32, first, others dependency) (cycle []edge, from int32) {
	tries := 0
	for _, p := range components(g, part, first|others) {
		in := make(map[int32]bool, len(p))
		for _, t := range p {
			in[t] = true
		}
		for _, t := range p {
			for _, e := range g[t] {
				if e.why != first || !in[e.to] {
					continue
				}
				if tries++; tries > triesMax {
					return cycle, from
				}
				if back, ok := path(g, in, e.to, t, others); ok && (cycle == nil || len(back)+1 < len(cycle)) {
					cycle, from = append([]edge{e}, back...), t
				}
			}
		}
	}
	return cycle, from
}

// path returns the shortest way over some kinds of edges inside a part.
func path(g graph, in map[int32]bool, from, to int32, kinds dependency) (way []edge, ok bool) {
	type arrival struct {
		from int32
		by   edge
	}
	came := map[int32]arrival{from: {from: -1}}
	for queue := []int32{from}; len(queue) > 0; queue = queue[1:] {
		t := queue[0]
		if t == to {
			for a := came[t]; a.from >= 0; a = came[a.from] {
				way = append(way, a.by)
			}
			slices.Reverse(way)
			return way, true
		}
		for _, e := range g[t] {
			if _, seen := came[e.to]; e.why&kinds != 0 && in[e.to] && !seen {
				came[e.to] = arrival{t, e}
				queue = append(queue, e.to)
			}
		}
	}
	return nil, false
}

// components returns the strongly connected parts of more than one transaction
// of a part, over some kinds of edges (Tarjan, with a stack of its own).
func components(g graph, part []int32, kinds dependency) [][]int32 {
	type state struct {
		index, low int32 // from 1; 0: not seen
		on, in     bool
	}
	type frame struct {
		txn  int32
		edge int
	}
	var parts [][]int32
	states := make(map[int32]*state, len(part))
	for _, t := range part {
		states[t] = &state{in: true}
	}
	var stack []int32
	var next int32
	for _, root := range part {
		if states[root].index != 0 {
			continue
		}
		for calls := []frame{{txn: root}}; len(calls) > 0; {
			f := &calls[len(calls)-1]
			s := states[f.txn]
			if f.edge == 0 && s.index == 0 {
				next++
				s.index, s.low, s.on = next, next, true
				stack = append(stack, f.txn)
			}
			if f.edge < len(g[f.txn]) {
				e := g[f.txn][f.edge]
				f.edge++
				to := states[e.to]
				switch {
				case to == nil || e.why&kinds == 0:
				case to.index == 0:
					calls = append(calls, frame{txn: e.to})
				case to.on:
					s.low = min(s.low, to.index)
				}
				continue
			}
			calls = calls[:len(calls)-1]
			if len(calls) > 0 {
				up := states[calls[len(calls)-1].txn]
				up.low = min(up.low, s.low)
			}
			if s.low != s.index {
				continue
			}
			i := len(stack) - 1
			for stack[i] != f.txn {
				i--
			}
			for _, t := range stack[i:] {
				states[t].on = false
			}
			if len(stack)-i > 1 {
				parts = append(parts, slices.Clone(stack[i:]))
			}
			stack = stack[:i]
		}
	}
	return parts
}
