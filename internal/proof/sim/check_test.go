package sim

import (
	"os/exec"
	"strings"
	"testing"

	"tutti/internal/proof/check"
	"tutti/internal/proof/check/report"
)

// judge judges a history. It runs outside of the bubble, on real time. again is
// how a failure is run again.
func judge(t *testing.T, r *History, again string) *check.History {
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
	if t.Failed() {
		keep(t, h, found, err, again)
	}
	return h
}

// keep leaves the history of a failed run, and a page about it.
func keep(t *testing.T, h *check.History, found []check.Violation, err error, again string) {
	t.Helper()
	commit, gitErr := exec.Command("git", "describe", "--always", "--dirty").Output()
	if gitErr != nil {
		commit = []byte("unknown: " + gitErr.Error())
	}
	path, saveErr := report.Save(logsDir(t), t.Name(), report.Run{Title: t.Name(), Commit: strings.TrimSpace(string(commit)), History: h, Found: found, Err: err,
		Command: again, Times: 10})
	if saveErr != nil {
		t.Log(saveErr)
	}
	t.Logf("report: %s", path)
}
