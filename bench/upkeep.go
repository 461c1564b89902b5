package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// upkeepReport is the JSON file of `upkeep`; README.md describes it.
type upkeepReport struct {
	Machine  machine        `json:"machine"`
	Seed     uint64         `json:"seed"`
	Rounds   int            `json:"rounds"`
	Done     map[string]int `json:"done"`     // what was done to the end, by kind
	Kills    map[string]int `json:"kills"`    // of nodes, and of commands by their name
	Writes   int            `json:"writes"`   // acknowledged, and looked for
	Unknown  int            `json:"unknown"`  // writes of which nobody was told what became of them
	Problems []string       `json:"problems"` // what must not be
	Longest  float64        `json:"longest_s"`
	Verdict  string         `json:"verdict"` // "ok" or "violated"
}

// upkeepJobs are what is done to a cluster, each once in every round.
var upkeepJobs = []struct {
	name string
	run  func(*upkeep, context.Context) error
}{
	{"rotation", (*upkeep).rotate},
	{"drain", (*upkeep).drain},
	{"replacement", (*upkeep).replace},
	{"removal", (*upkeep).remove},
}

// upkeepNodes is how many nodes the cluster has: so many that a dead one and one that is
// drained leave three.
const upkeepNodes = 5

func upkeepMain(ctx context.Context, args []string) error {
	flags, o := commonFlags("bench upkeep")
	rounds := flags.Int("rounds", 3, "how often everything is done")
	only := flags.String("only", "", "what to do, comma separated: rotation, drain, replacement, removal (default: all)")
	seed := flags.Uint64("seed", 0, "`seed` of what is killed when (0: a fresh one)")
	if err := flags.Parse(args); err != nil {
		return errors.Join(errUsage, err)
	}
	if *rounds < 1 || *rounds > upkeepRoundsMax || flags.NArg() > 0 {
		return fmt.Errorf("%w: --rounds from 1 to %d, no further arguments", errUsage, upkeepRoundsMax)
	}
	l, err := prepareTutti(ctx, o, seed)
	if err != nil {
		return err
	}
	defer l.close()
	fmt.Printf("seed %d, %d nodes, %d rounds\n", *seed, upkeepNodes, *rounds)
	r := newUpkeepReport(*seed, *rounds)
	r.Machine = l.machine
	if err := r.run(ctx, l, *only); err != nil {
		return err
	}
	return conclude(o, "upkeep", r.Machine, r, r.print, r.Verdict, *seed)
}

// upkeepRoundsMax is bounded by the nodes that one cluster may have had.
const upkeepRoundsMax = grownMost - upkeepNodes

func newUpkeepReport(seed uint64, rounds int) *upkeepReport {
	return &upkeepReport{Seed: seed, Rounds: rounds, Done: map[string]int{}, Kills: map[string]int{}}
}

// run makes a cluster, does everything to it while clients write, and looks for their
// writes in the end.
func (r *upkeepReport) run(ctx context.Context, l *lab, only string) error {
	g, err := newGrown(ctx, l, upkeepNodes, true)
	if err != nil {
		return err
	}
	defer g.stop()
	u := &upkeep{g: g, report: r, rand: rand.New(rand.NewPCG(r.Seed, 1))}
	for i := range upkeepNodes {
		u.in = append(u.in, i)
	}
	u.next = upkeepNodes
	w := u.startWriters(ctx)
	for range r.Rounds {
		for _, job := range upkeepJobs {
			if only != "" && !slices.Contains(strings.Split(only, ","), job.name) {
				continue
			}
			began := time.Now()
			if err = job.run(u, ctx); err == nil {
				err = u.whole(ctx)
			}
			if err != nil {
				err = fmt.Errorf("%s: %w", job.name, err)
				break
			}
			took := time.Since(began).Seconds()
			r.Done[job.name]++
			r.Longest = max(r.Longest, took)
			fmt.Printf("%-12s done after %5.1f s\n", job.name, took)
		}
		if err != nil {
			break
		}
	}
	w.end()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		r.problem("%v", err)
	}
	r.Writes, r.Unknown = w.acknowledged, w.unknown
	u.lookFor(ctx, w)
	r.Verdict = pick(len(r.Problems) == 0, "ok", "violated")
	return nil
}

func (r *upkeepReport) problem(format string, args ...any) {
	r.Problems = append(r.Problems, firstLines(fmt.Sprintf(format, args...), problemLines))
}

func (r *upkeepReport) print(w io.Writer) {
	var kills []string
	for _, what := range slices.Sorted(maps.Keys(r.Kills)) {
		kills = append(kills, fmt.Sprintf("%d of %s", r.Kills[what], what))
	}
	fmt.Fprintf(w, "\nupkeep: %s. %d nodes, %d rounds, seed %d\n", r.Verdict, upkeepNodes, r.Rounds, r.Seed)
	fmt.Fprintf(w, "  done     %s; the longest took %.1f s\n", counts(r.Done), r.Longest)
	fmt.Fprintf(w, "  killed   %s\n", strings.Join(kills, ", "))
	fmt.Fprintf(w, "  writes   %d were acknowledged and looked for, of %d nobody was told what became of them\n", r.Writes, r.Unknown)
	for _, text := range r.Problems {
		fmt.Fprintf(w, "  - %s\n", text)
	}
}
