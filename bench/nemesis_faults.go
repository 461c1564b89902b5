package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"tutti/internal/proof/check"
	"tutti/internal/proof/netfault"
)

// nemesis makes faults. All of its chance comes from its seed, so the schedule
// is the same again as far as the cluster lets it be: who leads, and how long a
// process takes to end, is not ours to choose.
type nemesis struct {
	b      *bed
	rec    *check.Recorder
	rand   *rand.Rand
	active []*activeFault
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
	// begin begins the fault at some node and returns in words what it did, how
	// long that lasts, and how to end it. A nil end: it could not begin now.
	begin func(ctx context.Context, n *nemesis, node int) (text string, lasts time.Duration, end func())
	// alone faults hit all nodes; nothing else goes on meanwhile.
	alone bool
}

type activeFault struct {
	name  string
	text  string
	node  int
	from  time.Duration // since the history's start
	until time.Time
	end   func()
}

// activeMax is how many faults may overlap.
const activeMax = 2

func always(traits) bool { return true }

// faultKinds are the faults that are drawn from.
func faultKinds() []fault {
	return []fault{
		{name: "kill -9", weight: 4, fits: always, begin: killOne},
		{name: "kill -9 of all", weight: 1, fits: always, begin: killAll, alone: true},
		{name: "pause", weight: 4, fits: always, begin: pauseOne},
		{name: "graceful stop", weight: 2, fits: always, begin: stopOne},
		{name: "rolling restart", weight: 1, fits: always, begin: roll, alone: true},
		{name: "deaf", weight: 2, fits: always, begin: deaf},
		{name: "mute", weight: 2, fits: always, begin: mute},
		{name: "isolated", weight: 2, fits: always, begin: isolate},
		{name: "bridge", weight: 2, fits: always, begin: bridge},
		{name: "replies cut", weight: 2, fits: always, begin: cutReplies},
		{name: "slow links", weight: 2, fits: always, begin: slowLinks},
		{name: "resets", weight: 2, fits: always, begin: resets},
		{name: "tampering", weight: 2, fits: func(t traits) bool { return t.tls }, begin: tamper},
	}
}

// run makes faults for d, one or two at a time, and undoes them all.
func (n *nemesis) run(ctx context.Context, d time.Duration) error {
	var kinds []fault
	for _, f := range faultKinds() {
		if f.fits(n.b.system.traits()) {
			kinds = append(kinds, slices.Repeat([]fault{f}, f.weight)...)
		}
	}
	for end := time.Now().Add(d); time.Now().Before(end); {
		if err := sleep(ctx, n.between(100*time.Millisecond, 1200*time.Millisecond)); err != nil {
			return err
		}
		n.expire(time.Now())
		n.revive()
		f := kinds[n.rand.IntN(len(kinds))]
		node := n.target(ctx)
		if len(n.active) >= activeMax || f.alone && len(n.active) > 0 || n.busy(node) {
			continue
		}
		from := n.rec.Now()
		text, lasts, undo := f.begin(ctx, n, node)
		if undo == nil {
			continue
		}
		n.counts[f.name]++
		n.say("%-15s %s", f.name, text)
		n.active = append(n.active, &activeFault{f.name, text, node, from, time.Now().Add(lasts), undo})
		if f.alone {
			if err := sleep(ctx, lasts); err != nil {
				return err
			}
			n.expire(time.Time{})
		}
	}
	n.expire(time.Time{})
	return nil
}

// expire ends the faults that are due, all for the zero time.
func (n *nemesis) expire(now time.Time) {
	n.active = slices.DeleteFunc(n.active, func(a *activeFault) bool {
		if !now.IsZero() && a.until.After(now) {
			return false
		}
		a.end()
		n.rec.Fault(a.name+" "+a.text, a.from)
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

func killOne(_ context.Context, n *nemesis, node int) (string, time.Duration, func()) {
	n.b.kill(node)
	return n.b.host(node), n.between(100*time.Millisecond, 4*time.Second), func() { n.started(n.b.start(node)) }
}

func killAll(_ context.Context, n *nemesis, _ int) (string, time.Duration, func()) {
	for i := range n.b.nodes {
		n.b.kill(i)
	}
	return "", n.between(50*time.Millisecond, time.Second), func() {
		for i := range n.b.nodes {
			n.started(n.b.start(i))
		}
	}
}

func pauseOne(_ context.Context, n *nemesis, node int) (string, time.Duration, func()) {
	n.b.halt(node)
	return n.b.host(node), n.between(200*time.Millisecond, 5*time.Second), func() { n.b.resume(node) }
}

func stopOne(_ context.Context, n *nemesis, node int) (string, time.Duration, func()) {
	n.b.terminate(node)
	return n.b.host(node), n.between(100*time.Millisecond, 2*time.Second), func() { n.started(n.b.start(node)) }
}

// roll stops and starts one node after the other, each when all are there.
func roll(ctx context.Context, n *nemesis, first int) (string, time.Duration, func()) {
	for i := range n.b.nodes {
		node := (first + i) % len(n.b.nodes)
		n.b.terminate(node)
		n.started(n.b.start(node))
		if err := n.b.ready(ctx); err != nil && ctx.Err() == nil {
			n.problem("rolling restart: %v", err)
		}
	}
	return fmt.Sprintf("from %s on", n.b.host(first)), 0, func() {}
}

// paths changes all directions from or to a node, towards its peers.
func (n *nemesis) paths(node int, from, to func(p *netfault.Path)) {
	for _, o := range n.b.others(node) {
		if from != nil {
			n.b.net.Set(n.b.host(node), n.b.host(o), from)
		}
		if to != nil {
			n.b.net.Set(n.b.host(o), n.b.host(node), to)
		}
	}
}

func cut(p *netfault.Path)    { p.Cut = true }
func mend(p *netfault.Path)   { p.Cut = false }
func quick(p *netfault.Path)  { p.Delay, p.Jitter, p.BytesPerSecond = 0, 0, 0 }
func honest(p *netfault.Path) { p.TamperBytes = 0 }

func deaf(_ context.Context, n *nemesis, node int) (string, time.Duration, func()) {
	n.paths(node, nil, cut)
	return n.b.host(node), n.between(200*time.Millisecond, 4*time.Second), func() { n.paths(node, nil, mend) }
}

func mute(_ context.Context, n *nemesis, node int) (string, time.Duration, func()) {
	n.paths(node, cut, nil)
	return n.b.host(node), n.between(200*time.Millisecond, 4*time.Second), func() { n.paths(node, mend, nil) }
}

func isolate(_ context.Context, n *nemesis, node int) (string, time.Duration, func()) {
	n.paths(node, cut, cut)
	return n.b.host(node), n.between(200*time.Millisecond, 6*time.Second), func() { n.paths(node, mend, mend) }
}

// bridge cuts a node from one other: both still reach the rest.
func bridge(_ context.Context, n *nemesis, node int) (string, time.Duration, func()) {
	others := n.b.others(node)
	a, b := n.b.host(node), n.b.host(others[n.rand.IntN(len(others))])
	both := func(f func(p *netfault.Path)) {
		n.b.net.Set(a, b, f)
		n.b.net.Set(b, a, f)
	}
	both(cut)
	return a + " and " + b, n.between(300*time.Millisecond, 6*time.Second), func() { both(mend) }
}

// cutReplies loses what a node says to clients: what they asked for is done.
func cutReplies(_ context.Context, n *nemesis, node int) (string, time.Duration, func()) {
	n.b.net.Set(n.b.host(node), clientHost, cut)
	return "from " + n.b.host(node), n.between(200*time.Millisecond, 2*time.Second), func() {
		n.b.net.Set(n.b.host(node), clientHost, mend)
	}
}

func slowLinks(_ context.Context, n *nemesis, node int) (string, time.Duration, func()) {
	delay := n.between(5*time.Millisecond, 150*time.Millisecond)
	rate := int64(64<<10) << n.rand.IntN(6)
	slow := func(p *netfault.Path) { p.Delay, p.Jitter, p.BytesPerSecond = delay, delay/2, rate }
	n.paths(node, slow, slow)
	return fmt.Sprintf("of %s: %v, %d KiB/s", n.b.host(node), delay.Round(time.Millisecond), rate>>10),
		n.between(500*time.Millisecond, 5*time.Second), func() { n.paths(node, quick, quick) }
}

func resets(_ context.Context, n *nemesis, node int) (string, time.Duration, func()) {
	for _, o := range n.b.others(node) {
		n.b.net.Reset(n.b.host(node), n.b.host(o))
	}
	return n.b.host(node), 0, func() {}
}

func tamper(_ context.Context, n *nemesis, node int) (string, time.Duration, func()) {
	mean := int64(4<<10) << n.rand.IntN(6)
	bad := func(p *netfault.Path) { p.TamperBytes = mean }
	n.paths(node, bad, bad)
	return fmt.Sprintf("of %s: a bit in %d KiB", n.b.host(node), mean>>10),
		n.between(300*time.Millisecond, 3*time.Second), func() { n.paths(node, honest, honest) }
}
