package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"tutti/internal/proof/action"
	"tutti/internal/proof/check"
)

// nemesis makes faults. All of its chance comes from its seed, so the schedule
// is the same again as far as the cluster lets it be: who leads, and how long a
// process takes to end, is not ours to choose.
type nemesis struct {
	b      *bed
	rec    *check.Recorder
	rand   *rand.Rand
	active []*activeFault
	past   []span  // the faults that are over
	kinds  []fault // nil: faultKinds
	counts map[string]int
	say    func(format string, args ...any)
	// problem is told of what no fault explains.
	problem func(format string, args ...any)
}

// fault is a kind of fault.
type fault struct {
	name   string
	weight int // how often, compared with the others
	fits   func(t traits) bool
	// plan is the fault at some node, and how long that lasts.
	plan func(n *nemesis, node int) (*action.Plan, time.Duration)
	// alone faults hit all nodes; nothing else goes on meanwhile.
	alone bool
}

type activeFault struct {
	name  string
	plan  *action.Plan
	node  int
	from  time.Duration // since the history's start
	until time.Time
}

// activeMax is how many faults may overlap.
const activeMax = 2

func always(traits) bool { return true }

// faultKinds are the faults that are drawn from, with the names and the actions
// that they have in the simulation.
func faultKinds() []fault {
	return []fault{
		{name: "kill", weight: 4, fits: always, plan: halt("kill", 4*time.Second)},
		{name: "kill of all", weight: 1, fits: always, plan: killAll, alone: true},
		{name: "pause", weight: 4, fits: always, plan: pause},
		{name: "stop", weight: 2, fits: always, plan: halt("stop", 2*time.Second)},
		{name: "rolling restart", weight: 1, fits: always, plan: roll, alone: true},
		{name: "deaf", weight: 2, fits: always, plan: oneWay(action.Deaf)},
		{name: "mute", weight: 2, fits: always, plan: oneWay(action.Mute)},
		{name: "isolate", weight: 2, fits: always, plan: isolate},
		{name: "bridge", weight: 2, fits: always, plan: bridge},
		{name: "client cut", weight: 2, fits: always, plan: cutReplies},
		{name: "slow link", weight: 2, fits: always, plan: slowLinks},
		{name: "reset", weight: 2, fits: always, plan: resets},
		{name: "corruption", weight: 2, fits: func(t traits) bool { return t.tls }, plan: tamper},
	}
}

// run makes faults for d, one or two at a time, and undoes them all.
func (n *nemesis) run(ctx context.Context, d time.Duration) error {
	from := n.kinds
	if from == nil {
		from = faultKinds()
	}
	var kinds []fault
	for _, f := range from {
		if f.fits(n.b.system.traits()) {
			kinds = append(kinds, slices.Repeat([]fault{f}, f.weight)...)
		}
	}
	for end := time.Now().Add(d); time.Now().Before(end); {
		if err := sleep(ctx, n.between(100*time.Millisecond, 1200*time.Millisecond)); err != nil {
			return err
		}
		n.expire(ctx, time.Now())
		n.revive()
		f := kinds[n.rand.IntN(len(kinds))]
		node := n.target(ctx)
		if len(n.active) >= activeMax || f.alone && len(n.active) > 0 || n.busy(node) {
			continue
		}
		plan, lasts := f.plan(n, node)
		n.counts[f.name]++
		n.say("%-15s %s", f.name, strings.Join(plan.Begin, ", "))
		from := n.rec.Now()
		n.do(ctx, plan.Begin)
		n.active = append(n.active, &activeFault{f.name, plan, node, from, time.Now().Add(lasts)})
		if f.alone {
			if err := sleep(ctx, lasts); err != nil {
				return err
			}
			n.expire(ctx, time.Time{})
		}
	}
	n.expire(ctx, time.Time{})
	return nil
}

// expire ends the faults that are due, all for the zero time.
func (n *nemesis) expire(ctx context.Context, now time.Time) {
	n.active = slices.DeleteFunc(n.active, func(a *activeFault) bool {
		if !now.IsZero() && a.until.After(now) {
			return false
		}
		n.do(ctx, a.plan.End)
		n.rec.Fault(a.name+": "+strings.Join(a.plan.Begin, ", "), a.from)
		n.past = append(n.past, span{a.name, a.from, n.rec.Now()})
		return true
	})
}

// revive starts again what ended by itself, which is a problem of its own.
func (n *nemesis) revive() {
	for why := n.b.died(); why != ""; why = n.b.died() {
		n.problem("%s", why)
	}
	for i := range n.b.nodes {
		if !n.busy(i) {
			n.started(n.b.start(i))
		}
	}
}

func (n *nemesis) busy(node int) bool {
	return slices.ContainsFunc(n.active, func(a *activeFault) bool { return a.node == node })
}

// target is the leader half of the time, else any node.
func (n *nemesis) target(ctx context.Context) int {
	any := n.rand.IntN(len(n.b.nodes)) // drawn in any case: the schedule must not depend on the answer
	if n.rand.IntN(2) == 0 {
		if leader, _, err := n.b.system.leader(ctx, n.b); err == nil {
			return leader
		}
	}
	return any
}

func (n *nemesis) between(least, most time.Duration) time.Duration {
	return least + time.Duration(n.rand.Int64N(int64(most-least)))
}

func (n *nemesis) started(err error) {
	if err != nil {
		n.problem("a node could not be started: %v", err)
	}
}

// do does actions. One that fails is a problem: each plan undoes what it does.
func (n *nemesis) do(ctx context.Context, lines []string) {
	for _, line := range lines {
		if err := n.b.do(ctx, line); err != nil && ctx.Err() == nil {
			n.problem("%s: %v", line, err)
		}
	}
}

// halt ends the process of a node in some way, for at most a time.
func halt(how string, most time.Duration) func(n *nemesis, node int) (*action.Plan, time.Duration) {
	return func(n *nemesis, node int) (*action.Plan, time.Duration) {
		return action.Halt(how, node+1), n.between(100*time.Millisecond, most)
	}
}

func killAll(n *nemesis, _ int) (*action.Plan, time.Duration) {
	all := &action.Plan{}
	for i := range n.b.nodes {
		one := action.Halt("kill", i+1)
		all.Begin, all.End = append(all.Begin, one.Begin...), append(all.End, one.End...)
	}
	return all, n.between(50*time.Millisecond, time.Second)
}

func pause(n *nemesis, node int) (*action.Plan, time.Duration) {
	return action.Pause(node + 1), n.between(200*time.Millisecond, 5*time.Second)
}

// roll stops and starts one node after the other, each when all are there.
func roll(n *nemesis, first int) (*action.Plan, time.Duration) {
	all := &action.Plan{}
	for i := range n.b.nodes {
		one := action.Halt("stop", (first+i)%len(n.b.nodes)+1)
		all.Begin = append(append(append(all.Begin, one.Begin...), one.End...), "ready")
	}
	return all, 0
}

func oneWay(cut func(host string, others ...string) *action.Plan) func(n *nemesis, node int) (*action.Plan, time.Duration) {
	return func(n *nemesis, node int) (*action.Plan, time.Duration) {
		return cut(n.b.host(node), n.b.hosts(node)...), n.between(200*time.Millisecond, 4*time.Second)
	}
}

func isolate(n *nemesis, node int) (*action.Plan, time.Duration) {
	return action.Isolate(n.b.host(node), n.b.hosts(node)...), n.between(200*time.Millisecond, 6*time.Second)
}

// bridge cuts a node from one other: both still reach the rest.
func bridge(n *nemesis, node int) (*action.Plan, time.Duration) {
	others := n.b.hosts(node)
	return action.Isolate(n.b.host(node), others[n.rand.IntN(len(others))]), n.between(300*time.Millisecond, 6*time.Second)
}

// cutReplies loses what a node says to clients: what they asked for is done.
func cutReplies(n *nemesis, node int) (*action.Plan, time.Duration) {
	return action.Mute(n.b.host(node), clientHost), n.between(200*time.Millisecond, 2*time.Second)
}

func slowLinks(n *nemesis, node int) (*action.Plan, time.Duration) {
	delay := n.between(5*time.Millisecond, 150*time.Millisecond).Round(time.Millisecond)
	settings := fmt.Sprintf("delay=%v jitter=%v rate=%d", delay, delay/2, int64(64<<10)<<n.rand.IntN(6))
	return action.Link(settings, n.b.host(node), n.b.hosts(node)...), n.between(500*time.Millisecond, 5*time.Second)
}

func resets(n *nemesis, node int) (*action.Plan, time.Duration) {
	return action.Reset(n.b.host(node), n.b.hosts(node)...), 0
}

func tamper(n *nemesis, node int) (*action.Plan, time.Duration) {
	settings := fmt.Sprintf("tamper=%d", int64(4<<10)<<n.rand.IntN(6))
	return action.Link(settings, n.b.host(node), n.b.hosts(node)...), n.between(300*time.Millisecond, 3*time.Second)
}
