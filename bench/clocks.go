package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"tutti/internal/proof/action"
)

// clocksNodes is how many nodes have right clocks while one is off: the others.
const clocksNodes = 3

// clocksMain has the clock of one node after the other jump while it runs, and judges what
// clients are told: also keys with a time to live.
func clocksMain(ctx context.Context, args []string) error {
	flags, o := commonFlags("bench clocks")
	minutes := flags.Float64("minutes", 2, "how long clocks jump")
	seed := flags.Uint64("seed", 0, "`seed` of the jumps (0: a fresh one)")
	if err := flags.Parse(args); err != nil {
		return errors.Join(errUsage, err)
	}
	if *minutes <= 0 || flags.NArg() > 0 {
		return fmt.Errorf("%w: --minutes above 0, no further arguments", errUsage)
	}
	l, err := prepareTutti(ctx, o, seed)
	if err != nil {
		return err
	}
	defer l.close()
	fmt.Printf("seed %d, %d nodes, %v minutes\n", *seed, clocksNodes, *minutes)
	r := newClocksResult()
	all := &nemesisReport{Machine: l.machine, Nodes: clocksNodes, Seed: *seed, Minutes: *minutes, Systems: []*nemesisResult{r}}
	if err := r.run(ctx, l, clocksNodes, *seed, time.Duration(*minutes*float64(time.Minute))); err != nil {
		return err
	}
	r.print()
	return conclude(o, "clocks", all.Machine, all, func(w io.Writer) { printClocks(w, all) }, r.Verdict, *seed)
}

func newClocksResult() *nemesisResult {
	return &nemesisResult{System: "tutti", Operations: map[string]int{}, Errors: map[string]int{}, Faults: map[string]int{}, Violations: map[string]int{},
		kinds: clockFaults(), timed: true}
}

// clockFaults are jumps of one node's clock, and ends of the node whose clock is off: those of
// the majority are right at all times, and answer.
func clockFaults() []fault {
	off, now := 0, time.Duration(0) // the node whose clock may be off, and by how much
	jump := func(n *nemesis, node int) (*action.Plan, time.Duration) {
		next := now
		for next == now {
			next = []time.Duration{-time.Hour, 0, time.Hour}[n.rand.IntN(3)]
		}
		if now != 0 && off != node {
			node, next = off, 0 // before another is off
		}
		lasts := time.Duration(0)
		if next == 0 {
			lasts = clockLearned
		}
		off, now = node, next
		return &action.Plan{Begin: []string{setClock(node, next)}}, lasts
	}
	ends := func(how func() *action.Plan, most time.Duration) func(*nemesis, int) (*action.Plan, time.Duration) {
		return func(n *nemesis, _ int) (*action.Plan, time.Duration) {
			return how(), n.between(100*time.Millisecond, most)
		}
	}
	return []fault{
		{name: "clock", weight: 6, fits: always, plan: jump, alone: true},
		{name: "kill", weight: 1, fits: always, plan: ends(func() *action.Plan { return action.Halt("kill", off+1) }, 2*time.Second), alone: true},
		{name: "pause", weight: 1, fits: always, plan: ends(func() *action.Plan { return action.Pause(off + 1) }, 3*time.Second), alone: true},
	}
}

// clockLearned is after which all nodes know that a clock is right again: they ask every
// second. Until then two would seem to be off if another was.
const clockLearned = 2500 * time.Millisecond

func setClock(node int, ahead time.Duration) string {
	return fmt.Sprintf("clock %d ahead=%v", node+1, ahead)
}

func printClocks(w io.Writer, r *nemesisReport) {
	for _, s := range r.Systems {
		fmt.Fprintf(w, "\nclocks: %s. %d nodes, %v minutes, seed %d\n", s.Verdict, r.Nodes, r.Minutes, r.Seed)
		fmt.Fprintf(w, "  jumps and more  %s; leader changes %d\n", counts(s.Faults), s.LeaderChanges)
		fmt.Fprintf(w, "  operations      %s\n", counts(s.Operations))
		fmt.Fprintf(w, "  judged          %d keys: registers %s, counters %s, transactions %s, deadlines %s\n", s.Keys, s.Checkers["registers"], s.Checkers["counters"],
			s.Checkers["transactions"], s.Checkers["deadlines"])
		for _, text := range s.Problems {
			fmt.Fprintf(w, "  - %s\n", text)
		}
	}
}
