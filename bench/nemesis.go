package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"tutti/internal/proof/check"
	pages "tutti/internal/proof/check/report"
)

// roundMax is how long the faults of one round last. Every round has a fresh
// cluster and a history of its own, so a run of hours needs no more memory
// than one of minutes.
const roundMax = 2 * time.Minute

// quiet is how long clients work before the first fault and after the last.
const quiet = 2 * time.Second

// giveUp is how long a node goes on with an operation that its client has given
// up: until then it may take effect, and final reads would differ by right.
const giveUp = 6 * time.Second

// systems by the names that --system takes.
func systems() map[string]func() system {
	return map[string]func() system{
		"tutti":         func() system { return tuttiSystem{} },
		"etcd":          func() system { return &etcdSystem{} },
		"redis":         func() system { return &redisSystem{} },
		"redis-promote": func() system { return &redisSystem{promote: true} },
	}
}

var systemNames = []string{"tutti", "etcd", "redis", "redis-promote"}

// nemesisReport is the JSON file of a run; README.md describes it.
type nemesisReport struct {
	Machine machine          `json:"machine"`
	Nodes   int              `json:"nodes"`
	Seed    uint64           `json:"seed"`
	Minutes float64          `json:"minutes"`
	Systems []*nemesisResult `json:"systems"`
}

// nemesisResult is one system's part.
type nemesisResult struct {
	System        string            `json:"system"`
	Rounds        int               `json:"rounds"`
	Operations    map[string]int    `json:"operations"` // by outcome: ok, failed, unknown
	Errors        map[string]int    `json:"errors"`     // by first word
	Faults        map[string]int    `json:"faults"`     // by kind
	LeaderChanges int               `json:"leader_changes"`
	Keys          int               `json:"keys"`
	Checkers      map[string]string `json:"checkers"` // by what they judge: "ok", or what they found
	Violations    map[string]int    `json:"violations"`
	Problems      []string          `json:"problems"` // what no fault explains, and no convergence
	Verdict       string            `json:"verdict"`  // "ok", "violated" or "undecided"
	Evidence      string            `json:"evidence,omitempty"`

	kinds []fault // nil: faultKinds
	timed bool    // some keys have a time to live
}

func nemesisMain(ctx context.Context, args []string) error {
	flags, o := commonFlags("bench nemesis")
	nodes := flags.Int("nodes", 3, "`number` of nodes, 3 or 5")
	minutes := flags.Float64("minutes", 2, "how long faults are made, per system")
	seed := flags.Uint64("seed", 0, "`seed` of the faults (0: a fresh one)")
	which := flags.String("system", "tutti", "`systems`, comma separated, or all: "+strings.Join(systemNames, ", "))
	if err := flags.Parse(args); err != nil {
		return errors.Join(errUsage, err)
	}
	names := strings.Split(*which, ",")
	if *which == "all" {
		names = systemNames
	}
	for _, name := range names {
		if systems()[name] == nil {
			return fmt.Errorf("%w: unknown system %q in --system", errUsage, name)
		}
	}
	if *nodes < 3 || *nodes > 7 || *minutes <= 0 || flags.NArg() > 0 {
		return fmt.Errorf("%w: --nodes 3 to 7, --minutes above 0, no further arguments", errUsage)
	}
	if *seed == 0 {
		*seed = rand.Uint64()
	}
	for _, name := range names {
		o.peers = append(o.peers, strings.TrimSuffix(name, "-promote"))
	}
	o.peers = slices.Compact(o.peers)
	l, missing, err := prepare(ctx, o)
	if err != nil {
		return err
	}
	defer l.close()
	all := &nemesisReport{Machine: l.machine, Nodes: *nodes, Seed: *seed, Minutes: *minutes}
	fmt.Printf("seed %d, %d nodes, %v minutes each\n", *seed, *nodes, *minutes)
	var failed []error
	for _, name := range names {
		if slices.Contains(missing, strings.TrimSuffix(name, "-promote")) {
			continue
		}
		result := &nemesisResult{System: name, Operations: map[string]int{}, Errors: map[string]int{}, Faults: map[string]int{}, Violations: map[string]int{}}
		all.Systems = append(all.Systems, result)
		if err := result.run(ctx, l, *nodes, *seed, time.Duration(*minutes*float64(time.Minute))); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		result.print()
		if name == "tutti" && result.Verdict != "ok" {
			failed = append(failed, fmt.Errorf("tutti: %s, seed %d", result.Verdict, *seed))
		}
	}
	printNemesis(os.Stdout, all)
	err = writeBoth(o.jsonPath, "nemesis", all.Machine.Date, all, func(w io.Writer) {
		all.Machine.print(w)
		printNemesis(w, all)
	})
	if err != nil {
		return err
	}
	return errors.Join(append(failed, missingError(missing))...)
}

// run makes rounds until faults have been made for long enough.
func (r *nemesisResult) run(ctx context.Context, l *lab, nodes int, seed uint64, d time.Duration) error {
	for round := uint64(0); d > 0; round++ {
		part := min(d, roundMax)
		d -= part
		fmt.Printf("\n%s, round %d\n", r.System, round+1)
		if err := r.round(ctx, l, nodes, seed+round, part); err != nil {
			return err
		}
		r.Rounds++
	}
	r.finish()
	return nil
}

// round runs one cluster under faults, heals it, reads every key and judges.
func (r *nemesisResult) round(ctx context.Context, l *lab, nodes int, seed uint64, d time.Duration) error {
	b, err := newBed(ctx, l, systems()[r.System](), r.System, nodes, seed, nil)
	if err != nil {
		return err
	}
	defer b.close()
	through := []int{0} // at the end every key is read through these
	for i := 1; i < nodes && b.system.traits().finalNodes; i++ {
		through = append(through, i)
	}
	rec := check.NewRecorder(loadSuite(through, r.timed), 0)
	keys := newKeyring()
	if err := r.underFaults(ctx, b, rec, keys, seed, d); err != nil {
		return err
	}
	for why := b.died(); why != ""; why = b.died() {
		rec.Problem("%s", why)
	}
	if err := sleep(ctx, giveUp); err != nil {
		return err
	}
	if err := keys.readAll(b, rec, through); err != nil {
		rec.Problem("%v", err)
	}
	if err := b.system.equal(ctx, b); err != nil {
		rec.Problem("replicas: %v", err)
	}
	r.Keys += len(keys.all)
	return r.judge(l, rec, nodes, seed)
}

// underFaults lets clients work while faults are made for d, and for a moment
// before and after. When it returns, everything is healed and the clients have
// stopped.
func (r *nemesisResult) underFaults(ctx context.Context, b *bed, rec *check.Recorder, keys *keyring, seed uint64, d time.Duration) error {
	stop := make(chan struct{})
	var wg sync.WaitGroup
	defer wg.Wait()
	defer close(stop)
	for id := range nemesisClients {
		s, err := b.system.session(b, b.fronts())
		if err != nil {
			return err
		}
		c := &client{id: id + 1, rec: rec, keys: keys, s: s, rand: rand.New(rand.NewPCG(seed, uint64(id))), node: id % len(b.nodes), all: len(b.nodes), timed: r.timed}
		wg.Go(func() { c.run(stop) })
	}
	wg.Go(func() { r.watchLeader(ctx, stop, b, rec) })
	n := &nemesis{b: b, rec: rec, rand: rand.New(rand.NewPCG(seed, 1<<32)), kinds: r.kinds, counts: r.Faults, problem: rec.Problem,
		say: func(format string, args ...any) {
			fmt.Printf("%7.1f s  %s\n", rec.Now().Seconds(), fmt.Sprintf(format, args...))
		}}
	if err := sleep(ctx, quiet); err != nil {
		return err
	}
	if err := n.run(ctx, d); err != nil {
		return err
	}
	if err := b.heal(); err != nil {
		return err
	}
	if err := b.ready(ctx); err != nil {
		rec.Problem("not available again within 30 s: %v", err)
	}
	return sleep(ctx, quiet)
}

// watchLeader takes down every change of leader.
func (r *nemesisResult) watchLeader(ctx context.Context, stop <-chan struct{}, b *bed, rec *check.Recorder) {
	last, lastTerm := -1, uint64(0)
	for {
		select {
		case <-stop:
			return
		case <-time.After(200 * time.Millisecond):
		}
		node, term, err := b.system.leader(ctx, b)
		if err != nil || node == last && term == lastTerm {
			continue
		}
		rec.Leader(1, node+1, term)
		if last >= 0 {
			r.LeaderChanges++
		}
		last, lastTerm = node, term
	}
}

// judge runs the checkers and keeps what a violation needs to be looked at.
func (r *nemesisResult) judge(l *lab, rec *check.Recorder, nodes int, seed uint64) error {
	for text, n := range rec.Texts() {
		r.Errors[text] += n
	}
	h := rec.History()
	for _, o := range []check.Outcome{check.OK, check.Failed, check.Unknown} {
		r.Operations[o.String()] += h.Count(o)
	}
	began := time.Now()
	violations, err := check.Check(h)
	fmt.Printf("%d operations judged in %v\n", len(h.Ops), time.Since(began).Round(time.Millisecond))
	if err != nil {
		r.Problems = append(r.Problems, firstLines(err.Error(), problemLines))
	}
	for i := range violations {
		r.Violations[kindOf(violations[i].Key)+": "+violations[i].Name]++
	}
	if len(violations) == 0 && err == nil {
		return nil
	}
	return r.keepEvidence(l, h, violations, err, nodes, seed)
}

func kindOf(key string) string {
	switch {
	case strings.HasPrefix(key, registerKeys):
		return "registers"
	case strings.HasPrefix(key, counterKeys):
		return "counters"
	case strings.HasPrefix(key, mortalKeys):
		return "deadlines"
	}
	return "transactions"
}

// problemLines is how much of what makes a verdict impossible is told.
const problemLines = 10

func firstLines(s string, n int) string {
	lines := strings.SplitN(s, "\n", n+1)
	if len(lines) > n {
		lines[n] = "…"
	}
	return strings.Join(lines, "\n")
}

// keepEvidence leaves the history and a page about it.
func (r *nemesisResult) keepEvidence(l *lab, h *check.History, found []check.Violation, err error, nodes int, seed uint64) error {
	page, err := pages.Save(filepath.Join(os.TempDir(), "tutti-nemesis"), fmt.Sprintf("%s-%d", r.System, seed), pages.Run{
		Title: r.System + ", real processes", Seed: seed, Commit: l.machine.Commit, Times: 5,
		Command: fmt.Sprintf("cd bench && go run . nemesis --system %s --nodes %d --seed %d", r.System, nodes, seed),
		History: h, Found: found, Err: err,
	})
	r.Evidence = page
	return err
}

// finish says what each checker found.
func (r *nemesisResult) finish() {
	r.Checkers = map[string]string{"registers": "ok", "counters": "ok", "transactions": "ok"}
	if r.timed {
		r.Checkers["deadlines"] = "ok"
	}
	for _, name := range slices.Sorted(maps.Keys(r.Violations)) {
		who, what, _ := strings.Cut(name, ": ")
		found := fmt.Sprintf("%d × %s", r.Violations[name], what)
		if r.Checkers[who] != "ok" {
			found = r.Checkers[who] + ", " + found
		}
		r.Checkers[who] = found
	}
	r.Verdict = verdictOf(len(r.Violations), len(r.Problems))
}
