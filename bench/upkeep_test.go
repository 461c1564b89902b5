package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

// A sample of what bench upkeep does for minutes: a node is drained, and removed, by commands
// that are killed, while nodes are.
func TestUpkeepOnRealNodes(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	l := tuttiLab(t)
	r := newUpkeepReport(uint64(time.Now().UnixNano()), 1)
	if err := r.run(t.Context(), l, "drain,removal"); err != nil {
		t.Fatal(err)
	}
	if r.Verdict != "ok" || r.Done["drain"] != 1 || r.Done["removal"] != 1 || r.Writes == 0 || len(r.Kills) == 0 {
		logLogs(t, l)
		t.Errorf("seed %d: %s: %v, %d writes, kills %v\n%s", r.Seed, r.Verdict, r.Done, r.Writes, r.Kills, strings.Join(r.Problems, "\n"))
	}
}

func TestUpkeepReport(t *testing.T) {
	r := newUpkeepReport(7, 2)
	r.Done["drain"], r.Kills["nodes"], r.Kills["tutti node drain"], r.Writes, r.Verdict = 2, 5, 4, 900, "violated"
	r.problem("3 of 900 acknowledged writes are lost")
	var out bytes.Buffer
	r.print(&out)
	for _, line := range []string{"upkeep: violated. 5 nodes, 2 rounds, seed 7", "done     drain 2;", "killed   5 of nodes, 4 of tutti node drain", "- 3 of 900 acknowledged writes are lost"} {
		if !strings.Contains(out.String(), line) {
			t.Errorf("no line %q in\n%s", line, out.String())
		}
	}
}
