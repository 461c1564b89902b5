package modes

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"tutti/internal/proof/mutant"
)

// Files, from the root of the repository, and how long a test may take.
const (
	ResultsFile = "internal/proof/modes/results.json"
	DocFile     = "docs/FAULTS.md"

	KillMax     = 60 * time.Second
	ScenarioMax = 10 * time.Minute
)

// Result is how a scenario, or the killer of a mutant, ended last.
type Result struct {
	Date    string  `json:"date"` // of the run, YYYY-MM-DD
	Passed  bool    `json:"passed"`
	Seconds float64 `json:"seconds"`
	// Said is the first thing that a failing test said: of a killed mutant, what
	// it was found out by.
	Said string `json:"said,omitempty"`
}

// Results are the last results of all that has been run.
type Results struct {
	// Tests are the scenarios, by Test.String.
	Tests map[string]Result `json:"tests"`
	// Mutants are the killers' runs under their mutants, by the mutants' names.
	// Passed means that the mutant was killed.
	Mutants map[string]Result `json:"mutants"`
}

// Today is the date of a result that ends now.
func Today() string { return time.Now().UTC().Format(time.DateOnly) }

// Load reads a file of results; one that is missing is empty.
func Load(name string) (Results, error) {
	r := Results{Tests: make(map[string]Result), Mutants: make(map[string]Result)}
	b, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &r)
	}
	if err != nil {
		return r, fmt.Errorf("read results: %w", err)
	}
	return r, nil
}

// Save writes a file of results. Those of tests and mutants that the tables do
// not name any more are dropped.
func (r Results) Save(name string) error {
	keep := make(map[string]bool)
	for _, m := range Modes() {
		for _, t := range m.Tests {
			keep[t.String()] = true
		}
	}
	for t := range r.Tests {
		if !keep[t] {
			delete(r.Tests, t)
		}
	}
	clear(keep)
	for _, m := range mutant.All() {
		keep[m.Name] = true
	}
	for m := range r.Mutants {
		if !keep[m] {
			delete(r.Mutants, m)
		}
	}
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(name, append(b, '\n'), 0o644)
}
