// Command run runs the scenarios of the failure modes and the mutants, prints
// a table, and keeps the results for docs/FAULTS.md. It is run in the root of
// the repository. Its exit code is 1 if a scenario fails or a mutant survives.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"syscall"

	"tutti/internal/proof/modes"
	"tutti/internal/proof/mutant"
)

func main() {
	var o options
	flag.BoolVar(&o.scenarios, "scenarios", false, "only the scenarios")
	flag.BoolVar(&o.mutants, "mutants", false, "only the mutants")
	flag.StringVar(&o.only, "only", "", "only tests and mutants whose name matches this `expression`")
	flag.IntVar(&o.count, "count", 1, "how often each is run; one failure, or one survival, is enough to fail")
	flag.BoolVar(&o.dry, "dry", false, "keep no results")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

type options struct {
	scenarios, mutants, dry bool
	only                    string
	count                   int
}

func run(ctx context.Context, o options) error {
	match, err := regexp.Compile(o.only)
	if err != nil {
		return err
	}
	results, err := modes.Load(modes.ResultsFile)
	if err != nil {
		return err
	}
	tmp, err := os.MkdirTemp("", "tutti-proof-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	var failures []error
	b := &binaries{dir: tmp, built: make(map[string]string)}
	if !o.mutants {
		failures = append(failures, scenarios(ctx, b, match, o.count, results)...)
	}
	if !o.scenarios {
		failures = append(failures, mutants(ctx, b, match, o.count, results)...)
	}
	if !o.dry && ctx.Err() == nil {
		failures = append(failures, keep(results))
	}
	return errors.Join(append(failures, ctx.Err())...)
}

// keep writes the results and the document that shows them.
func keep(results modes.Results) error {
	c, err := modes.LoadComparison(".")
	if err != nil {
		return err
	}
	return errors.Join(results.Save(modes.ResultsFile), os.WriteFile(modes.DocFile, modes.Markdown(results, c), 0o644))
}

// scenarios runs every test of a failure mode once, however many modes it is
// for.
func scenarios(ctx context.Context, b *binaries, match *regexp.Regexp, count int, results modes.Results) (failures []error) {
	done := make(map[modes.Test]bool)
	for _, m := range modes.Modes() {
		for _, t := range m.Tests {
			if done[t] || !match.MatchString(t.String()) || ctx.Err() != nil {
				continue
			}
			done[t] = true
			r := b.plain(ctx, count, t, modes.ScenarioMax)
			results.Tests[t.String()] = modes.Result{Date: modes.Today(), Passed: r.passed, Seconds: r.seconds, Said: r.said}
			verdict := "passed"
			if !r.passed {
				verdict = "FAILED"
				failures = append(failures, fmt.Errorf("%d: %s failed: %s", m.Number, t, r.said))
			}
			fmt.Printf("%2d %-8s %6.1f s  %s\n", m.Number, verdict, r.seconds, t)
		}
	}
	return failures
}

// mutants runs every killer without its mutant, which it must pass, and with
// it, which it must not.
func mutants(ctx context.Context, b *binaries, match *regexp.Regexp, count int, results modes.Results) (failures []error) {
	healthy := make(map[modes.Test]ran)
	for _, m := range mutant.All() {
		if !match.MatchString(m.Name) || ctx.Err() != nil {
			continue
		}
		killer := modes.Test(m.Killer)
		plain, ok := healthy[killer]
		if !ok {
			plain = b.plain(ctx, count, killer, modes.KillMax)
			healthy[killer] = plain
		}
		r := b.mutated(ctx, count, m, modes.KillMax)
		killed := plain.passed && r.failed == count && !r.broken
		results.Mutants[m.Name] = modes.Result{Date: modes.Today(), Passed: killed, Seconds: r.seconds, Said: r.said}
		verdict := "killed"
		switch {
		case !plain.passed:
			verdict = "UNKNOWN"
			failures = append(failures, fmt.Errorf("%s, the killer of %s, fails without it: %s", killer, m.Name, plain.said))
		case r.broken:
			verdict = "UNKNOWN"
			failures = append(failures, fmt.Errorf("%s, the killer of %s, can't be run: %s", killer, m.Name, r.said))
		case !killed:
			verdict = "SURVIVED"
			failures = append(failures, fmt.Errorf("%s survived %s in %d of %d runs", m.Name, killer, count-r.failed, count))
		}
		fmt.Printf("%-8s %6.1f s, built in %4.1f s  %-24s %s: %s\n", verdict, r.seconds, r.build, m.Name, killer, r.said)
	}
	return failures
}
