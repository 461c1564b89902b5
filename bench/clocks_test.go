package main

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"tutti/internal/proof/action"
	"tutti/internal/proof/check"
)

// A sample of what bench clocks does for minutes: clocks of real processes jump by an hour and
// more while they run.
func TestClocksJumpOnRealNodes(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	l := tuttiLab(t)
	r, seed := newClocksResult(), uint64(time.Now().UnixNano())
	if err := r.run(t.Context(), l, clocksNodes, seed, 10*time.Second); err != nil {
		t.Fatal(err)
	}
	if r.Verdict != "ok" || r.Faults["clock"] < 2 || r.Operations["ok"] == 0 {
		logLogs(t, l)
		t.Errorf("seed %d: %s: %v, %v, %v\n%s", seed, r.Verdict, r.Faults, r.Operations, r.Checkers, strings.Join(r.Problems, "\n"))
	}
}

// What bench sets is what a running node says, forward and back.
func TestClockOfARunningNodeIsSet(t *testing.T) {
	if testing.Short() {
		t.Skip("starts nodes")
	}
	l := tuttiLab(t)
	b, err := newBed(t.Context(), l, tuttiSystem{}, "tutti", 1, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer b.close()
	pid := b.nodes[0].pid()
	for _, ahead := range []time.Duration{time.Hour, -time.Hour, 0} {
		if err := b.do(t.Context(), setClock(0, ahead)); err != nil {
			t.Fatal(err)
		}
		if err := eventuallyAhead(t.Context(), b, ahead); err != nil {
			t.Errorf("%v: %v", ahead, err)
		}
	}
	if b.nodes[0].pid() != pid {
		t.Error("it was started again")
	}
}

// One clock at a time is off, and all know that it is right again before another one is not.
func TestOneClockIsOffAtATime(t *testing.T) {
	n := &nemesis{rand: rand.New(rand.NewPCG(1, 2))}
	jump := clockFaults()[0].plan
	seen, was, at := map[string]bool{}, 0, time.Duration(0)
	for range 500 {
		plan, lasts := jump(n, n.rand.IntN(clocksNodes))
		a := action.Parse(plan.Begin[0])
		node, ahead := a.Node(clocksNodes), a.Duration("ahead", 0)
		switch {
		case a.Err() != nil || len(plan.Begin) != 1 || len(plan.End) != 0:
			t.Fatalf("%+v, %v", plan, a.Err())
		case node == was && ahead == at, node != was && (at != 0 || ahead == 0):
			t.Fatalf("%s while that of node %d is %v ahead", plan.Begin[0], was, at)
		case ahead == 0 && lasts < clockLearned:
			t.Fatalf("%s lasts %v", plan.Begin[0], lasts)
		}
		was, at = node, ahead
		seen[plan.Begin[0]] = true
	}
	if len(seen) != 3*clocksNodes {
		t.Errorf("jumps: %v", slices.Sorted(maps.Keys(seen)))
	}
}

// A key that goes when the clock jumps is a violation of the load's suite, one that goes in
// time is none.
func TestEarlyDeadlineIsFound(t *testing.T) {
	for _, tt := range []struct {
		gone time.Duration
		want int
	}{{time.Second, 1}, {2990 * time.Millisecond, 0}} {
		set, get := check.Command("SET", "e1", "7", "PX", "3000"), check.Command("GET", "e1")
		set.Reply, get.Reply = check.Reply{Kind: check.KindString, Str: "OK"}, check.Reply{Kind: check.KindNil}
		h := &check.History{Suite: loadSuite(nil, true), Ops: []check.Op{
			{Client: 1, Node: 1, Cmds: []check.Cmd{set}, Call: 1, Return: 2, Until: time.Millisecond, Outcome: check.OK},
			{Client: 1, Node: 2, Cmds: []check.Cmd{get}, Call: 3, Return: 4, At: tt.gone, Until: tt.gone + time.Millisecond, Outcome: check.OK},
		}}
		found, err := check.Check(h)
		if err != nil || len(found) != tt.want {
			t.Errorf("gone after %v: %v, %v", tt.gone, found, err)
		}
	}
	if kindOf("e1") != "deadlines" {
		t.Errorf("e1 is told under %s", kindOf("e1"))
	}
}

func TestClocksReport(t *testing.T) {
	r := newClocksResult()
	r.Violations["deadlines: not linearizable"] = 2
	r.finish()
	var out bytes.Buffer
	printClocks(&out, &nemesisReport{Nodes: 3, Seed: 7, Minutes: 2, Systems: []*nemesisResult{r}})
	for _, line := range []string{"clocks: violated. 3 nodes, 2 minutes, seed 7", "deadlines 2 × not linearizable"} {
		if !strings.Contains(out.String(), line) {
			t.Errorf("no line %q in\n%s", line, out.String())
		}
	}
}

// eventuallyAhead waits until the clock that the first node shows is so far ahead of this one's.
func eventuallyAhead(ctx context.Context, b *bed, want time.Duration) (err error) {
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); {
		v, failed := askRESP(ctx, b.nodes[0].addr, "TIME")
		if err = failed; err == nil && len(v.Elems) == 2 {
			seconds, _ := strconv.ParseInt(string(v.Elems[0].Str), 10, 64)
			ahead := time.Until(time.Unix(seconds, 0))
			if (ahead - want).Abs() < 2*time.Second {
				return nil
			}
			err = fmt.Errorf("%v ahead", ahead)
		}
		if stopped := sleep(ctx, 20*time.Millisecond); stopped != nil {
			return stopped
		}
	}
	return err
}
