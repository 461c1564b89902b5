package house_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tutti/internal/proof/modes"
	"tutti/internal/proof/mutant"
)

var update = flag.Bool("update", false, "write docs/FAULTS.md")

// The document is what its sources say: the tables of internal/proof, the
// results of the last run, and those of bench.
func TestFaultsDocumentIsUpToDate(t *testing.T) {
	results, err := modes.Load(filepath.Join(root, modes.ResultsFile))
	if err != nil {
		t.Fatal(err)
	}
	comparison, err := modes.LoadComparison(root)
	if err != nil {
		t.Fatal(err)
	}
	name, want := filepath.Join(root, modes.DocFile), modes.Markdown(results, comparison)
	if *update {
		if err := os.WriteFile(name, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is stale: go test ./internal/proof/house -run Faults -update", modes.DocFile)
	}
}

// Every failure mode has its number, and a test or a reason why not.
func TestFaultsAreComplete(t *testing.T) {
	const modeCount = 46
	for i, m := range modes.Modes() {
		if m.Number != i+1 || m.Mode == "" || len(m.Tests) == 0 && m.Open == "" || len(m.Tests) > 0 && m.Scenario == "" {
			t.Errorf("row %d: %+v", i+1, m)
		}
		for _, test := range m.Tests {
			wantTest(t, test)
		}
	}
	if n := len(modes.Modes()); n != modeCount {
		t.Errorf("%d failure modes, not %d", n, modeCount)
	}
}

// Every mutant has a killer. That it applies is a test of package mutant.
func TestMutantsAreComplete(t *testing.T) {
	for _, m := range mutant.All() {
		wantTest(t, modes.Test(m.Killer))
	}
}

// wantTest checks that a test is there. One with a slash is a schedule.
func wantTest(t *testing.T, test modes.Test) {
	t.Helper()
	function, schedule, one := strings.Cut(test.Name, "/")
	if one {
		if _, err := os.Stat(filepath.Join(root, test.Dir, "testdata/schedules", schedule+".txt")); err != nil {
			t.Errorf("%s: %v", test, err)
		}
	}
	names, err := filepath.Glob(filepath.Join(root, test.Dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	var text string
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		text += string(b)
	}
	if !strings.Contains(text, "\nfunc "+function+"(t *testing.T) {") {
		t.Errorf("%s does not exist", test)
	}
}
