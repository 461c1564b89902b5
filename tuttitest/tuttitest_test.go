package tuttitest_test

import (
	"testing"

	"tutti/tuttitest"
)

func TestEveryNodeServes(t *testing.T) {
	c := tuttitest.Start(t)
	if err := c.Client(0).Set(t.Context(), "greeting", "hello", 0).Err(); err != nil {
		t.Fatal(err)
	}
	for i := range tuttitest.NodesCount {
		if got, err := c.Client(i).Get(t.Context(), "greeting").Result(); err != nil || got != "hello" {
			t.Errorf("node %d: %q, %v", i, got, err)
		}
	}
	c.Kill(1)
	if err := c.Client(2).Set(t.Context(), "greeting", "again", 0).Err(); err != nil {
		t.Error(err)
	}
	c.Restart(1)
	if got, err := c.Client(1).Get(t.Context(), "greeting").Result(); err != nil || got != "again" {
		t.Errorf("a node that came back: %q, %v", got, err)
	}
}

func BenchmarkStart(b *testing.B) {
	for b.Loop() {
		b.Run("", func(b *testing.B) { tuttitest.Start(b) })
	}
}
