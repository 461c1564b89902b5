package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"tutti/internal/proof/check"
)

// usersReport is the JSON file of `users`; README.md describes it.
type usersReport struct {
	Machine    machine                   `json:"machine"`
	Nodes      int                       `json:"nodes"`
	Seed       uint64                    `json:"seed"`
	Minutes    float64                   `json:"minutes"`
	Faults     map[string]int            `json:"faults"`     // by kind
	Changes    map[fate]int              `json:"changes"`    // by what came of them
	InFaults   int                       `json:"in_faults"`  // changes that were answered while there was a fault
	Attempts   map[string]map[answer]int `json:"attempts"`   // by what was tried and what came of it
	Strict     int                       `json:"strict"`     // logins and commands without a shard that were judged
	Violations map[string]int            `json:"violations"` // by kind
	Texts      []string                  `json:"texts,omitempty"`
	Problems   []string                  `json:"problems,omitempty"`
	Verdict    string                    `json:"verdict"` // "ok", "violated" or "undecided"
}

// usersShards is how many shards have to confirm a change.
const usersShards = 2

func usersMain(ctx context.Context, args []string) error {
	flags, o := commonFlags("bench users")
	nodes := flags.Int("nodes", 3, "`number` of nodes, 3 to 7")
	minutes := flags.Float64("minutes", 2, "how long faults are made")
	seed := flags.Uint64("seed", 0, "`seed` of the faults (0: a fresh one)")
	if err := flags.Parse(args); err != nil {
		return errors.Join(errUsage, err)
	}
	if *nodes < 3 || *nodes > 7 || *minutes <= 0 || flags.NArg() > 0 {
		return fmt.Errorf("%w: --nodes 3 to 7, --minutes above 0, no further arguments", errUsage)
	}
	l, err := prepareTutti(ctx, o, seed)
	if err != nil {
		return err
	}
	defer l.close()
	fmt.Printf("seed %d, %d nodes, %v minutes\n", *seed, *nodes, *minutes)
	r := &usersReport{Machine: l.machine, Nodes: *nodes, Seed: *seed, Minutes: *minutes, Faults: make(map[string]int)}
	if err := r.run(ctx, l, time.Duration(*minutes*float64(time.Minute))); err != nil {
		return err
	}
	return conclude(o, "users", r.Machine, r, r.print, r.Verdict, *seed)
}

// run has users change under faults, heals all, looks at every user through every node, and
// judges.
func (r *usersReport) run(ctx context.Context, l *lab, d time.Duration) error {
	b, err := newBed(ctx, l, tuttiSystem{shards: usersShards}, "tutti", r.Nodes, r.Seed, nil)
	if err != nil {
		return err
	}
	defer b.close()
	rec := check.NewRecorder(check.Suite{}, 0)
	c := &crowd{rec: rec, addrs: b.addrs()}
	n := &nemesis{b: b, rec: rec, rand: rand.New(rand.NewPCG(r.Seed, 1<<32)), kinds: userFaults(), counts: r.Faults, problem: r.problem,
		say: func(format string, args ...any) {
			fmt.Printf("%7.1f s  %s\n", rec.Now().Seconds(), fmt.Sprintf(format, args...))
		}}
	if err := c.underFaults(ctx, n, r.Seed, d); err != nil {
		return err
	}
	for why := b.died(); why != ""; why = b.died() {
		r.problem("%s", why)
	}
	if err := sleep(ctx, giveUp); err != nil { // what was not answered has taken effect by now, or never will
		return err
	}
	c.lookAtAll(ctx, r)
	r.judge(c, n.past)
	return nil
}

func (r *usersReport) problem(format string, args ...any) {
	r.Problems = append(r.Problems, firstLines(fmt.Sprintf(format, args...), problemLines))
}

// underFaults has users change, and tries what they may, while there are faults. When it
// returns everything is healed and all have stopped.
func (c *crowd) underFaults(ctx context.Context, n *nemesis, seed uint64, d time.Duration) error {
	stop := make(chan struct{})
	var wg sync.WaitGroup
	defer wg.Wait()
	defer close(stop)
	for i := range uint64(usersAtOnce) {
		wg.Go(func() { c.owner(ctx, stop, rand.New(rand.NewPCG(seed, i))) })
	}
	for i := range uint64(watchers) {
		wg.Go(func() { c.watcher(ctx, stop, rand.New(rand.NewPCG(seed, 100+i))) })
	}
	if err := sleep(ctx, quiet); err != nil {
		return err
	}
	for end := time.Now().Add(d); time.Now().Before(end); {
		if err := c.cutFromMeta(ctx, n); err != nil {
			return err
		}
		if err := n.run(ctx, n.between(8*time.Second, 16*time.Second)); err != nil {
			return err
		}
		if err := n.b.heal(); err != nil {
			return err
		}
		if err := n.b.ready(ctx); err != nil {
			n.problem("not available again within 30 s: %v", err)
		}
		if err := sleep(ctx, learnTime+calmTime); err != nil {
			return err
		}
	}
	return nil
}

// calmTime is how long there is no fault, between faults and in the end, once all nodes must
// have learned what they have missed.
const calmTime = 3 * time.Second

// lookAtAll looks at the users through every node when all is over: what they may is the same
// everywhere, and what was answered.
func (c *crowd) lookAtAll(ctx context.Context, r *usersReport) {
	c.mu.Lock()
	accounts := slices.Clone(c.accounts[max(0, len(c.accounts)-lookedAt):])
	c.mu.Unlock()
	random := rand.New(rand.NewPCG(r.Seed, 1<<33))
	for _, a := range accounts {
		var first string
		for i, addr := range c.addrs {
			text, err := changeThrough(ctx, random, addr, []string{"ACL", "GETUSER", a.name})
			if i == 0 {
				first = text
			}
			if err != nil || text != first {
				r.problem("%s through node 1 is %s, through node %d %s, %v", a.name, first, i+1, text, err)
			}
			for range 3 {
				c.visitOnce(ctx, random, a, i)
			}
		}
	}
}

// lookedAt is how many users are looked at in the end, the last ones.
const lookedAt = 30

// visitOnce logs in with the newest password and tries one thing.
func (c *crowd) visitOnce(ctx context.Context, r *rand.Rand, a *account, node int) {
	password := ""
	for _, x := range a.changes {
		password = x.to.password
	}
	conn, err := dialFrom(ctx, r, c.addrs[node], time.Now().Add(tryTimeout))
	if err != nil {
		return
	}
	defer conn.Close()
	if l, in := c.logIn(conn, a, password, node); in {
		c.try(conn, r, l, node, c.key(r, l), allTries())
	}
}

// judge fills in what was found.
func (r *usersReport) judge(c *crowd, faults []span) {
	r.Changes = make(map[fate]int)
	j := judgeUsers(c.attempts, faults)
	for _, a := range c.accounts {
		for _, x := range a.changes {
			if r.Changes[x.fate]++; x.fate == changed && len(j.faultsAt(x.asked, x.end)) > 0 {
				r.InFaults++
			}
		}
	}
	r.Attempts, r.Strict, r.Violations, r.Texts = j.counts, j.strict, j.found, j.texts
	if r.InFaults == 0 || r.Strict == 0 || r.Attempts[tryRead][done] == 0 || r.Attempts[tryWrite][denied] == 0 {
		r.problem("too little has happened to show anything")
	}
	r.Verdict = verdictOf(len(r.Violations), len(r.Problems))
}

func (r *usersReport) print(w io.Writer) {
	var faults, changes int
	for _, n := range r.Faults {
		faults += n
	}
	for _, n := range r.Changes {
		changes += n
	}
	fmt.Fprintf(w, "\nusers: %s. %d changes of users through %d nodes, %d faults in %v minutes, seed %d\n", r.Verdict, changes, r.Nodes, faults, r.Minutes, r.Seed)
	fmt.Fprintf(w, "  changes     %s; %d were answered while there was a fault\n", fates(r.Changes), r.InFaults)
	fmt.Fprintf(w, "  faults      %s\n", counts(r.Faults))
	fmt.Fprintf(w, "  judged      all that reaches data; %d logins and answers without a shard where no fault was within %v\n", r.Strict, learnTime)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "  tried\t%s\t%s\t%s\t%s\n", done, denied, undecided, lost)
	for _, what := range slices.Sorted(maps.Keys(r.Attempts)) {
		n := r.Attempts[what]
		fmt.Fprintf(t, "  %s\t%d\t%d\t%d\t%d\n", what, n[done], n[denied], n[undecided], n[lost])
	}
	_ = t.Flush()
	for _, what := range slices.Sorted(maps.Keys(r.Violations)) {
		fmt.Fprintf(w, "  VIOLATED    %s: %d\n", what, r.Violations[what])
	}
	for _, text := range append(slices.Clone(r.Texts), r.Problems...) {
		fmt.Fprintf(w, "  - %s\n", text)
	}
}

func fates(m map[fate]int) string {
	var parts []string
	for _, f := range []fate{changed, halfDone, unchanged, doubtful} {
		parts = append(parts, fmt.Sprintf("%d %s", m[f], f))
	}
	return strings.Join(parts, ", ")
}
