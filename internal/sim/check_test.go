package sim

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"tutti/internal/check"
	"tutti/internal/check/report"
)

// judge judges a history. It runs outside of the bubble, on real time.
func judge(t *testing.T, r *History) *check.History {
	t.Helper()
	h := r.History()
	h.Suite.FinalNodes = r.finalNodes
	found, err := check.Check(h)
	if err != nil {
		t.Errorf("the history cannot be judged: %v", err)
	}
	for i := range found {
		t.Error(found[i].Story(h))
	}
	t.Logf("%d operations, %d refused, %d unknown %v", len(h.Ops), h.Refused(), h.Count(check.Unknown), r.Texts())
	if dir := os.Getenv(logsEnv); dir != "" && t.Failed() {
		keep(t, dir, h, found, err)
	}
	return h
}

// keep leaves the history of a failed run, and a page about it.
func keep(t *testing.T, dir string, h *check.History, found []check.Violation, err error) {
	t.Helper()
	commit, gitErr := exec.Command("git", "describe", "--always", "--dirty").Output()
	if gitErr != nil {
		commit = []byte("unknown: " + gitErr.Error())
	}
	path, saveErr := report.Save(dir, t.Name(), report.Run{Title: t.Name(), Commit: strings.TrimSpace(string(commit)), History: h, Found: found, Err: err,
		Command: "go test ./internal/sim -run '^" + strings.ReplaceAll(t.Name(), "/", "$/^") + "$' -count=10", Times: 10})
	if saveErr != nil {
		t.Log(saveErr)
	}
	t.Logf("report: %s", path)
}
