package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"tutti/internal/proof/action"
)

// figuresReport is the JSON file of `faults`; README.md describes it.
type figuresReport struct {
	Machine machine   `json:"machine"`
	Nodes   int       `json:"nodes"`
	Figures []*figure `json:"figures"`
}

// figure is what one fault does to one system.
type figure struct {
	Fault    string    `json:"fault"`
	System   string    `json:"system"`
	What     string    `json:"what"` // is measured
	Runs     int       `json:"runs"`
	MedianMs float64   `json:"median_ms"`
	P99Ms    float64   `json:"p99_ms"`
	MaxMs    float64   `json:"max_ms"`
	ValuesMs []float64 `json:"values_ms"`
	CalmMs   float64   `json:"calm_gap_p50_ms,omitempty"`
	// MovesMax is how often leadership moved in one run, at most, from the
	// beginning of the fault until a second after its end.
	MovesMax   int     `json:"moves_max"`
	GoalMs     float64 `json:"goal_ms,omitempty"`
	GoalOf     string  `json:"goal_of,omitempty"`    // median or max
	MovesGoal  int     `json:"moves_goal,omitempty"` // more is flapping; 0: none
	Reached    bool    `json:"reached"`
	Note       string  `json:"note,omitempty"`
	FirstError string  `json:"first_error,omitempty"`

	calm []float64
}

// scenario is a fault that is measured.
type scenario struct {
	name, what string
	goalMs     float64
	goalOf     string
	movesGoal  int // more is flapping; 0: none
	run        func(ctx context.Context, m *measuring, f *figure) (ms float64, err error)
	disks      bool // needs disks that can be slow
	// gentle has few writers who pause, for gaps shorter than a processor keeps
	// busy ones waiting.
	gentle bool
}

const (
	gentleWriters = 4
	gentlePause   = time.Millisecond
)

// pacedSession pauses before every write.
type pacedSession struct{ session }

func (p pacedSession) put(ctx context.Context, node int, key string, value []byte) error {
	if err := sleep(ctx, gentlePause); err != nil {
		return err
	}
	return p.session.put(ctx, node, key, value)
}

// faultLasts is how long a cut or a pause that is measured lasts.
const faultLasts = 4 * time.Second

func scenarios() []scenario {
	const gap = "longest gap between acknowledged writes"
	return []scenario{
		{name: "leader killed", what: gap, goalMs: 500, goalOf: "max", run: outageOf(planned(killed))},
		{name: "leader paused", what: gap, goalMs: 1000, goalOf: "max", movesGoal: 1, run: outageOf(planned(paused))},
		{name: "leader deaf", what: gap, goalMs: 1000, goalOf: "max", movesGoal: 1, run: outageOf(planned(cutOff(action.Deaf)))},
		{name: "leader mute", what: gap, goalMs: 1000, goalOf: "max", movesGoal: 1, run: outageOf(planned(cutOff(action.Mute)))},
		{name: "leader isolated", what: gap, goalMs: 1000, goalOf: "max", movesGoal: 1, run: outageOf(planned(cutOff(action.Isolate)))},
		{name: "bridge at leader", what: gap, goalMs: 1000, goalOf: "max", movesGoal: 1, run: outageOf(planned(bridgeAt(0)))},
		{name: "bridge of followers", what: gap, goalMs: 1000, goalOf: "max", movesGoal: 1, run: outageOf(planned(bridgeAt(1)))},
		{name: "leader stopped (SIGTERM)", what: gap + " until its process has ended", goalMs: 10, goalOf: "median", movesGoal: 1, gentle: true, run: handOver},
		{name: "all killed", what: "from kill -9 and restart of all to the first acknowledged write", goalMs: 5000, goalOf: "max", run: outageOf(killEverything)},
		{name: "rolling restart", what: "operations that failed, of all", goalOf: "max", run: rollingRestart},
		{name: "slow disk of leader", what: "until leadership has left it", goalMs: 2000, goalOf: "max", movesGoal: 1, run: slowDiskOfLeader, disks: true},
	}
}

// measuring is a running cluster with writers.
type measuring struct {
	b     *bed
	disks *slowDisks
	acks  *ackLog
	worst float64 // of all runs, ms; see handOver
}

func figuresMain(ctx context.Context, args []string) error {
	flags, o := commonFlags("bench faults")
	runs := flags.Int("runs", 5, "`number` of runs per fault and system")
	only := flags.String("only", "", "faults whose names contain this `text`")
	which := flags.String("system", "tutti,etcd", "`systems`, comma separated: tutti, etcd")
	if err := flags.Parse(args); err != nil {
		return errors.Join(errUsage, err)
	}
	o.peers = strings.Split(*which, ",")
	for _, name := range o.peers {
		if name != "tutti" && name != "etcd" {
			return fmt.Errorf("%w: --system is tutti, etcd or both", errUsage)
		}
	}
	if *runs < 1 || flags.NArg() > 0 {
		return fmt.Errorf("%w: --runs must be positive, no further arguments", errUsage)
	}
	l, missing, err := prepare(ctx, o)
	if err != nil {
		return err
	}
	defer l.close()
	report := &figuresReport{Machine: l.machine, Nodes: nodeCount}
	for _, s := range scenarios() {
		if !strings.Contains(s.name, *only) {
			continue
		}
		for _, name := range o.peers {
			f := &figure{Fault: s.name, System: name, What: s.what, GoalMs: s.goalMs, GoalOf: s.goalOf, MovesGoal: s.movesGoal}
			report.Figures = append(report.Figures, f)
			if err := f.measure(ctx, l, s, *runs); err != nil {
				if ctx.Err() != nil {
					return ctx.Err()
				}
				f.FirstError = err.Error()
			}
			f.finish()
			f.print(os.Stdout)
		}
	}
	printFigures(os.Stdout, report)
	err = writeBoth(o.jsonPath, "faults", report.Machine.Date, report, func(w io.Writer) {
		report.Machine.print(w)
		printFigures(w, report)
	})
	if err != nil {
		return err
	}
	return missingError(missing)
}

// measure runs one scenario on a fresh cluster.
func (f *figure) measure(ctx context.Context, l *lab, s scenario, runs int) (err error) {
	m := &measuring{acks: &ackLog{}}
	if s.disks {
		dir, err := l.clusterDir("disks")
		if err != nil {
			return err
		}
		if m.disks, err = newSlowDisks(dir); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, m.disks.close()) }()
	}
	sys := systems()[f.System]()
	if m.b, err = newBed(ctx, l, sys, f.System, nodeCount, 1, m.disks); err != nil {
		return err
	}
	defer m.b.close()
	writing, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	writers := failoverWriters
	if s.gentle {
		writers = gentleWriters
	}
	for w := range writers {
		client, err := sys.session(m.b, m.b.addrs())
		if err != nil {
			return err
		}
		if s.gentle {
			client = pacedSession{client}
		}
		wg.Go(func() {
			defer client.close()
			writeUntil(writing, client, nodeCount, w, m.acks)
		})
	}
	for range runs {
		if err := m.b.ready(ctx); err != nil {
			return err
		}
		ms, err := s.run(ctx, m, f)
		if err != nil {
			return err
		}
		f.ValuesMs = append(f.ValuesMs, ms)
		fmt.Printf("%-26s %-6s %8.1f\n", f.Fault, f.System, ms)
	}
	return nil
}

// hurt begins a fault at the leader and returns how to end it.
type hurt func(b *bed, leader int) (end func() error)

// outageOf measures the longest gap between acknowledged writes from the
// beginning of a fault until a second after its end.
func outageOf(h hurt) func(context.Context, *measuring, *figure) (float64, error) {
	return func(ctx context.Context, m *measuring, f *figure) (float64, error) {
		gap, later, err := m.gaps(ctx, f, h, m.acks.outage)
		return ms(max(gap, later)), err
	}
}

// handOver measures the longest gap between acknowledged writes while the leader
// stops as an operator stops it, from the signal to the first write after the
// end of the process. What else happens until a second after its return, a
// slow fsync for instance, is noted.
func handOver(ctx context.Context, m *measuring, f *figure) (float64, error) {
	gap, later, err := m.gaps(ctx, f, planned(stopped), m.acks.next)
	m.worst = max(m.worst, ms(later))
	f.Note = fmt.Sprintf("until a second after its return %.1f at most", m.worst)
	return ms(gap), err
}

// gaps begins and ends a fault. gap is what look gives when it has begun, later
// the longest gap until a second after its end.
func (m *measuring) gaps(ctx context.Context, f *figure, h hurt, look func(context.Context, time.Time) (time.Duration, error)) (gap, later time.Duration, err error) {
	leader, term, err := m.b.leaderNow(ctx)
	if err != nil {
		return 0, 0, err
	}
	m.acks.arm()
	if err := sleep(ctx, settle); err != nil {
		return 0, 0, err
	}
	calm, _ := m.acks.arm()
	f.calm = append(f.calm, ms(calm))
	moves := m.watchMoves(ctx, term)
	defer moves()
	at := time.Now()
	end := h(m.b, leader)
	gap, err = look(ctx, at)
	if err == nil {
		err = sleep(ctx, time.Until(at.Add(faultLasts)))
	}
	if err = errors.Join(err, end()); err != nil {
		return 0, 0, err
	}
	healed := time.Now()
	if err := m.b.ready(ctx); err != nil {
		return 0, 0, err
	}
	if err := sleep(ctx, time.Until(healed.Add(time.Second))); err != nil {
		return 0, 0, err
	}
	later, _ = m.acks.look()
	f.MovesMax = max(f.MovesMax, moves())
	return gap, later, nil
}

// watchMoves counts how often leadership moves on from a term until the function it returns is
// called, which says so.
func (m *measuring) watchMoves(ctx context.Context, term uint64) (moves func() int) {
	ctx, cancel := context.WithCancel(ctx)
	terms := map[uint64]bool{term: true} // in which somebody led
	var wg sync.WaitGroup
	wg.Go(func() {
		for sleep(ctx, watchEvery) == nil {
			look, done := context.WithTimeout(ctx, watchPatience) // a node may be halted
			if _, term, err := m.b.system.leader(look, m.b); err == nil {
				terms[term] = true
			}
			done()
		}
	})
	return func() int {
		cancel()
		wg.Wait()
		return len(terms) - 1
	}
}

// A leader that leads for less than both together may be missed.
const (
	watchEvery    = 50 * time.Millisecond
	watchPatience = 200 * time.Millisecond
)

// planned begins a fault of the nemesis, and ends it.
func planned(plan func(b *bed, leader int) *action.Plan) hurt {
	return func(b *bed, leader int) func() error {
		p := plan(b, leader)
		err := b.doAll(p.Begin)
		return func() error { return errors.Join(err, b.doAll(p.End)) }
	}
}

func killed(_ *bed, leader int) *action.Plan  { return action.Halt("kill", leader+1) }
func paused(_ *bed, leader int) *action.Plan  { return action.Pause(leader + 1) }
func stopped(_ *bed, leader int) *action.Plan { return action.Halt("stop", leader+1) }

// killEverything has no end: all nodes are started again at once.
func killEverything(b *bed, _ int) func() error {
	for i := range b.nodes {
		b.kill(i)
	}
	var errs []error
	for i := range b.nodes {
		errs = append(errs, b.start(i))
	}
	return func() error { return errors.Join(errs...) }
}

// cutOff cuts the leader from all others in some way.
func cutOff(cut func(host string, others ...string) *action.Plan) func(b *bed, leader int) *action.Plan {
	return func(b *bed, leader int) *action.Plan { return cut(b.host(leader), b.hosts(leader)...) }
}

// bridgeAt cuts two nodes from each other that both reach the third: the
// leader and a follower (0), or the followers (1).
func bridgeAt(first int) func(b *bed, leader int) *action.Plan {
	return func(b *bed, leader int) *action.Plan {
		pair := append([]string{b.host(leader)}, b.hosts(leader)...)[first : first+2]
		return action.Isolate(pair[0], pair[1])
	}
}

func (f *figure) finish() {
	f.Runs = len(f.ValuesMs)
	if f.Runs == 0 {
		return
	}
	sorted := slices.Sorted(slices.Values(f.ValuesMs))
	f.MedianMs, f.CalmMs = median(sorted), median(f.calm)
	f.P99Ms = sorted[(len(sorted)*99+99)/100-1] // nearest rank
	f.MaxMs = sorted[len(sorted)-1]
	value := f.MaxMs
	if f.GoalOf == "median" {
		value = f.MedianMs
	}
	f.Reached = value <= f.GoalMs && (f.MovesGoal == 0 || f.MovesMax <= f.MovesGoal) && f.FirstError == ""
}

func (f *figure) print(w io.Writer) {
	fmt.Fprintf(w, "%-26s %-6s median %.1f, p99 %.1f, max %.1f over %d runs", f.Fault, f.System, f.MedianMs, f.P99Ms, f.MaxMs, f.Runs)
	if f.Note != "" {
		fmt.Fprintf(w, "; %s", f.Note)
	}
	if f.FirstError != "" {
		fmt.Fprintf(w, "; ended by: %s", f.FirstError)
	}
	fmt.Fprintln(w)
}

// printFigures is the table of all.
func printFigures(w io.Writer, r *figuresReport) {
	fmt.Fprintf(w, "\nms; fsync here: p50 %.2f ms, p99 %.2f ms\n", r.Machine.FsyncP50Ms, r.Machine.FsyncP99Ms)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "fault\tsystem\tmedian\tp99\tmax\tmoves\tcalm\truns\tgoal\treached\tnote")
	for _, f := range r.Figures {
		goal := fmt.Sprintf("%s ≤ %.0f", f.GoalOf, f.GoalMs)
		if f.MovesGoal > 0 {
			goal += fmt.Sprintf(", moves ≤ %d", f.MovesGoal)
		}
		note := f.Note
		if f.FirstError != "" {
			note += " ended by: " + f.FirstError
		}
		fmt.Fprintf(t, "%s\t%s\t%.1f\t%.1f\t%.1f\t%d\t%.1f\t%d\t%s\t%s\t%s\n", f.Fault, f.System, f.MedianMs, f.P99Ms, f.MaxMs, f.MovesMax,
			f.CalmMs, f.Runs, goal, pick(f.Reached, "yes", "no"), note)
	}
	_ = t.Flush()
	for _, what := range slices.Sorted(maps.Keys(whatOf(r))) {
		fmt.Fprintf(w, "%s: %s\n", what, strings.Join(whatOf(r)[what], ", "))
	}
}

// whatOf gathers the faults by what is measured of them.
func whatOf(r *figuresReport) map[string][]string {
	all := make(map[string][]string)
	for _, f := range r.Figures {
		if !slices.Contains(all[f.What], f.Fault) {
			all[f.What] = append(all[f.What], f.Fault)
		}
	}
	return all
}
