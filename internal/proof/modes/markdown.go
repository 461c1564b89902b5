package modes

import (
	"bytes"
	"fmt"
	"strings"

	"tutti/internal/proof/mutant"
)

// Markdown is DocFile.
func Markdown(r Results, c Comparison) []byte {
	var b bytes.Buffer
	count := make(map[string]int)
	for _, m := range Modes() {
		count[m.Status()]++
	}
	fmt.Fprintf(&b, `# Faults and teeth

<!-- Generated from internal/proof: go run ./internal/proof/run, or go test ./internal/proof/house -run Faults -update -->

## Failure modes

Ways in which stores like this one were found broken: by Jepsen, in FoundationDB's and TigerBeetle's simulations, in the
issues of etcd, NATS, CockroachDB, Redis. Of %d, %d are shown by scenarios, %d partly, %d are open. A scenario runs whole
nodes on virtual time in package sim, or one node, or real processes. "Last result" is from %s, written by
%s, which is a part of %s.

`, len(Modes()), count["shown"], count["partly"], count["open"],
		code(ResultsFile), code("go run ./internal/proof/run"), code(".ci/nightly"))
	b.WriteString("| # | failure mode | what the scenario does | tests | last result |\n|---|---|---|---|---|\n")
	for _, m := range Modes() {
		var tests, last []string
		for _, t := range m.Tests {
			tests = append(tests, code(t.Name)+" ("+t.Dir+")")
			last = append(last, outcome(r.Tests, t.String()))
		}
		scenario := m.Scenario
		if m.Open != "" {
			scenario = strings.TrimPrefix(scenario+". Open: "+m.Open, ". ")
		}
		if len(tests) == 0 {
			last = []string{"open"}
		}
		fmt.Fprintf(&b, "| %d | %s | %s | %s | %s |\n", m.Number, m.Mode, scenario, strings.Join(tests, "<br>"), strings.Join(last, "<br>"))
	}
	fmt.Fprintf(&b, `
## Teeth

A test that can't fail shows nothing. Each row is a safeguard that is left out by laying other lines over the sources when
the test is built (%s in %s; the product itself knows nothing of it), and the test that fails then, and
passes without: at most %v s each, without the build.

| mutant | killed by | seconds |
|---|---|---|
`, code("go test -overlay"), code("internal/proof/mutant"), KillMax.Seconds())
	for _, m := range mutant.All() {
		seconds := "not run"
		if got, ok := r.Mutants[m.Name]; ok {
			seconds = fmt.Sprintf("%.1f", got.Seconds)
			if !got.Passed {
				seconds = "**survived** " + got.Date
			}
		}
		fmt.Fprintf(&b, "| %s: %s | %s (%s) | %s |\n", code(m.Name), m.Breaks, code(m.Killer.Name), m.Killer.Dir, seconds)
	}
	c.markdown(&b)
	return b.Bytes()
}

func outcome(results map[string]Result, name string) string {
	r, ok := results[name]
	switch {
	case !ok:
		return "not run"
	case r.Passed:
		return fmt.Sprintf("%s passed, %.1f s", r.Date, r.Seconds)
	}
	return fmt.Sprintf("%s **failed**, %.1f s", r.Date, r.Seconds)
}

func code(s string) string { return "`" + s + "`" }
