package mutant

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestTable(t *testing.T) {
	names := make(map[string]bool)
	for _, m := range All() {
		name := m.String()
		if name == "" || m.Breaks() == "" || names[name] {
			t.Errorf("mutant %d is called %q and breaks %q", m, name, m.Breaks())
		}
		names[name] = true
		if got, err := Parse(name); err != nil || got != m {
			t.Errorf("%q is %v, %v", name, got, err)
		}
		if On(m) {
			t.Errorf("%v is on", m)
		}
	}
	if _, err := Parse("nobody"); err == nil {
		t.Error("a mutant of that name")
	}
}

// TestNothingRemains looks into the product: neither the question nor a name of
// a mutant is there, so what depends on it is not either.
func TestNothingRemains(t *testing.T) {
	name := filepath.Join(t.TempDir(), "tutti")
	if out, err := exec.Command("go", "build", "-o", name, "tutti/cmd/tutti").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	symbols, err := exec.Command("go", "tool", "nm", name).Output()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(symbols, []byte("tutti/internal/shard.(*Replica).propose")) {
		t.Fatal("the symbols of the product are not in its binary")
	}
	for line := range strings.Lines(string(symbols)) {
		if strings.Contains(line, "tutti/internal/proof/mutant") || strings.Contains(line, "reevaluateReads") {
			t.Errorf("in the product: %s", line)
		}
	}
}
