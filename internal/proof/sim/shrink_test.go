package sim

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// TestShrink takes steps from a schedule that fails, as many as it can so that it
// still fails, and writes what is left beside it.
//
//	TUTTI_SIM_SHRINK=/tmp/x.txt go test ./internal/proof/sim -run Shrink -v
//
// It runs this program for each try, as a failure may end it. TUTTI_SIM_TIMES
// is how often a schedule may pass and still count as one that fails.
func TestShrink(t *testing.T) {
	file := os.Getenv("TUTTI_SIM_SHRINK")
	if file == "" {
		t.Skip("set TUTTI_SIM_SHRINK to the file of a schedule that fails")
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ParseSchedule(string(b))
	if err != nil {
		t.Fatal(err)
	}
	if !fails(t, s) {
		t.Fatal("it does not fail")
	}
	for part := (len(s.Steps) + 1) / 2; part > 0; part /= 2 {
		for at := 0; at < len(s.Steps); {
			tried := *s
			tried.Steps = slices.Delete(slices.Clone(s.Steps), at, min(at+part, len(s.Steps)))
			if !fails(t, &tried) {
				at += part
				continue
			}
			*s = tried
			t.Logf("%d steps are left", len(s.Steps))
			if err := os.WriteFile(file+".small", []byte(s.String()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// fails reports whether a schedule fails, in one of several tries.
func fails(t *testing.T, s *Schedule) bool {
	t.Helper()
	name := filepath.Join(t.TempDir(), "try.txt")
	if err := os.WriteFile(name, []byte(s.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestSchedules$", "-test.failfast", fmt.Sprintf("-test.count=%d", 1+env("TUTTI_SIM_TIMES", 2)))
	cmd.Env = append(os.Environ(), "TUTTI_SIM_SCHEDULE="+name, "TUTTI_SIM_LOGS="+t.TempDir())
	return cmd.Run() != nil
}
