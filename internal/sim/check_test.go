package sim

import (
	"testing"

	"tutti/internal/check"
)

// judge judges a history. It runs outside of the bubble, on real time.
func judge(t *testing.T, r *History) *check.History {
	t.Helper()
	h := r.History()
	found, err := check.Check(h)
	if err != nil {
		t.Errorf("the history cannot be judged: %v", err)
	}
	for i := range found {
		t.Error(found[i].Story(h))
	}
	t.Logf("%d operations, %d refused, %d unknown %v", len(h.Ops), h.Refused(), h.Count(check.Unknown), r.Texts())
	return h
}
