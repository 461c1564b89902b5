package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"
)

// machinesReport is the JSON file of `machines`; README.md describes it.
type machinesReport struct {
	Machine machine        `json:"machine"`
	Shares  string         `json:"shares"` // how nodes are held to theirs
	Scaling []scaleFigure  `json:"scaling,omitempty"`
	Joins   []joinFigure   `json:"joins,omitempty"`
	Moves   *moveFigure    `json:"moves,omitempty"`
	Slow    *moveFigure    `json:"slow_moves,omitempty"`
	Rolling []rollFigure   `json:"rolling,omitempty"`
	TLS     []wireFigure   `json:"tls,omitempty"`
	Goals   []machinesGoal `json:"goals"`
	Errors  []string       `json:"errors,omitempty"`
}

// scaleFigure is what a cluster of so many nodes answers, each node held to a share
// of a core.
type scaleFigure struct {
	Nodes      int     `json:"nodes"`
	Cores      float64 `json:"cores_per_node"`
	Round      int     `json:"round"`
	ReadsPerS  float64 `json:"reads_per_s"`
	ReadP99Ms  float64 `json:"read_p99_ms"`
	WritesPerS float64 `json:"writes_per_s"`
	WriteP99Ms float64 `json:"write_p99_ms"`
	Errors     int     `json:"errors"`
	FirstError string  `json:"first_error,omitempty"`
	// Reading and Writing is what each node did of that.
	Reading []nodeFigure `json:"reading"`
	Writing []nodeFigure `json:"writing"`
}

// nodeFigure is what one node of several answered, and took.
type nodeFigure struct {
	OpsPerS float64 `json:"ops_per_s"`
	Cores   float64 `json:"cores"`
}

// joinFigure is one join, from the start of tutti join.
type joinFigure struct {
	DataMiB  int     `json:"data_mib"`
	ServesMs float64 `json:"serves_ms"` // until it answers a read
	PlacedMs float64 `json:"placed_ms"` // until it has all copies
}

// rollFigure is a restart of all storage nodes, one after the other.
type rollFigure struct {
	How        string  `json:"how"` // SIGTERM or kill -9
	Commands   int     `json:"commands"`
	Failed     int     `json:"failed"`
	LongestMs  float64 `json:"longest_ms"`
	FirstError string  `json:"first_error,omitempty"`
}

// wireFigure is what clients get with and without TLS.
type wireFigure struct {
	Case    string  `json:"case"`
	TLS     bool    `json:"tls"`
	Round   int     `json:"round"`
	OpsPerS float64 `json:"ops_per_s"`
	P99Ms   float64 `json:"p99_ms"`
	CPUUs   float64 `json:"server_cpu_us_per_op"`
}

// machinesGoal is a figure that is aimed at.
type machinesGoal struct {
	What    string  `json:"what"`
	Value   float64 `json:"value"`
	Goal    float64 `json:"goal"`
	Least   bool    `json:"at_least"` // else at most
	Reached bool    `json:"reached"`
}

// machinesOptions are the flags.
type machinesOptions struct {
	only          string
	share         float64
	seconds       float64
	keys, data    int
	slowData      int
	rounds, joins int
	clients       int
}

func (o machinesOptions) has(part string) bool {
	return o.only == "" || slices.Contains(strings.Split(o.only, ","), part)
}

func (o machinesOptions) measure() time.Duration {
	return time.Duration(o.seconds * float64(time.Second))
}

// machinesParts are what --only takes.
var machinesParts = []string{"scaling", "joins", "moves", "slow-moves", "rolling", "tls"}

func machinesMain(ctx context.Context, args []string) error {
	flags, o := commonFlags("bench machines")
	var m machinesOptions
	flags.StringVar(&m.only, "only", "", "`parts` to run, comma separated: "+strings.Join(machinesParts, ", "))
	flags.Float64Var(&m.share, "share", 0.2, "`cores` of each node in scaling")
	flags.Float64Var(&m.seconds, "seconds", 8, "measured `seconds` of each figure")
	flags.IntVar(&m.keys, "keys", 100_000, "random keys in scaling and tls")
	flags.IntVar(&m.data, "data-mb", 1024, "`MiB` that a joining node copies, in joins and moves")
	flags.IntVar(&m.slowData, "slow-mb", 48, "`MiB` that a node behind a slow link copies, in slow-moves")
	flags.IntVar(&m.rounds, "rounds", 3, "how often each cluster is measured, in turn")
	flags.IntVar(&m.joins, "joins", 5, "how many nodes join, empty cluster and full")
	flags.IntVar(&m.clients, "clients", 128, "clients of each node in scaling")
	if err := flags.Parse(args); err != nil {
		return errors.Join(errUsage, err)
	}
	for part := range strings.SplitSeq(m.only, ",") {
		if part != "" && !slices.Contains(machinesParts, part) {
			return fmt.Errorf("%w: --only knows %s, not %q", errUsage, strings.Join(machinesParts, ", "), part)
		}
	}
	if flags.NArg() > 0 || m.share < shareMin || m.share > shareMost || m.seconds <= 0 || min(m.keys, m.data, m.slowData, m.rounds, m.joins, m.clients) < 1 || m.joins > joinsMax {
		return fmt.Errorf("%w: a flag is out of its range (--share from %.2f to %d, --joins to %d), or there are arguments", errUsage, shareMin, shareMost, joinsMax)
	}
	o.peers = []string{"tutti"}
	l, missing, err := prepare(ctx, o)
	if err != nil {
		return err
	}
	defer l.close()
	r := &machinesReport{Machine: l.machine, Shares: shareMethod}
	for _, part := range []struct {
		name string
		run  func(context.Context, *lab, machinesOptions) error
	}{{"scaling", r.scaling}, {"joins", r.joining}, {"moves", r.moving}, {"slow-moves", r.movingSlowly}, {"rolling", r.rolling}, {"tls", r.wires}} {
		if !m.has(part.name) {
			continue
		}
		if err := part.run(ctx, l, m); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			fmt.Printf("%s ended early: %v\n", part.name, err)
			r.Errors = append(r.Errors, fmt.Sprintf("%s: %v", part.name, err))
		}
	}
	r.judge()
	r.print(os.Stdout)
	err = writeBoth(o.jsonPath, "machines", r.Machine.Date, r, func(w io.Writer) {
		r.Machine.print(w)
		r.print(w)
	})
	if err != nil {
		return err
	}
	if len(r.Errors) > 0 {
		return errors.New(strings.Join(r.Errors, "; "))
	}
	return missingError(missing)
}

// scaleNodes are the sizes of clusters that are compared.
var scaleNodes = []int{1, 3, 5}

// scaling measures clusters of 1, 3 and 5 nodes in turn, each node held to its share
// of a core, with as many clients at each.
func (r *machinesReport) scaling(ctx context.Context, l *lab, o machinesOptions) error {
	for round := 1; round <= o.rounds; round++ {
		for _, n := range scaleNodes {
			f, err := scaled(ctx, l, o, n)
			if err != nil {
				return fmt.Errorf("%d nodes: %w", n, err)
			}
			f.Round = round
			r.Scaling = append(r.Scaling, f)
			fmt.Printf("round %d  %d nodes of %.2f cores: %7.0f reads/s, p99 %6.1f ms; %7.0f writes/s, p99 %6.1f ms; %d errors %s\n",
				round, n, f.Cores, f.ReadsPerS, f.ReadP99Ms, f.WritesPerS, f.WriteP99Ms, f.Errors, f.FirstError)
			for i := range n {
				fmt.Printf("         m%d: %6.0f reads/s with %.2f cores, %6.0f writes/s with %.2f\n", i+1, f.Reading[i].OpsPerS, f.Reading[i].Cores, f.Writing[i].OpsPerS, f.Writing[i].Cores)
			}
		}
	}
	return nil
}

func scaled(ctx context.Context, l *lab, o machinesOptions, n int) (f scaleFigure, err error) {
	shares, err := newCPUShares()
	if err != nil {
		return f, err
	}
	// As on a machine with one core, which is more than they get.
	g, err := newGrown(ctx, l, n, false, "GOMAXPROCS=1")
	if err != nil {
		return f, err
	}
	defer func() {
		g.stop()
		err = errors.Join(err, shares.close())
	}()
	if err := fillRESP(ctx, g.nodes[0].addr, workloadOf("set"), o.keys, false); err != nil {
		return f, err
	}
	for _, pid := range g.pids(n) {
		if err := shares.hold(pid, o.share); err != nil {
			return f, err
		}
	}
	f.Nodes, f.Cores = n, o.share
	j := job{conns: o.clients, pipeline: 1, keys: o.keys, warmup: o.measure() / 4, measure: o.measure()}
	for _, j.work = range []workload{workloadOf("get"), workloadOf("set")} {
		t, each, err := g.perNode(ctx, n, j)
		if err != nil {
			return f, err
		}
		ops, p99 := float64(t.ops)/t.elapsed.Seconds(), ms(t.latency.quantile(0.99))
		if j.work.write {
			f.WritesPerS, f.WriteP99Ms, f.Writing = ops, p99, each
		} else {
			f.ReadsPerS, f.ReadP99Ms, f.Reading = ops, p99, each
		}
		if f.Errors += t.errors; t.first != nil {
			f.FirstError = t.first.Error()
		}
	}
	return f, nil
}

// joinsMax is how many nodes may come and go in one cluster of three.
const joinsMax = grownMost - 3

// joining measures nodes that join three, one after the other, each of which leaves
// again: with nothing to copy, then with data.
func (r *machinesReport) joining(ctx context.Context, l *lab, o machinesOptions) error {
	for _, mib := range []int{0, o.data} {
		g, err := newGrown(ctx, l, 3, false)
		if err != nil {
			return err
		}
		err = g.fillBulk(ctx, mib)
		joins := o.joins
		if mib > 0 {
			joins = min(joins, 3)
		}
		for i := 3; i < 3+joins && err == nil; i++ {
			var f joinFigure
			if f, err = g.measureJoin(ctx, i); err == nil {
				f.DataMiB = mib
				r.Joins = append(r.Joins, f)
				fmt.Printf("join, %4d MiB: serves after %6.0f ms, has all copies after %7.0f ms\n", mib, f.ServesMs, f.PlacedMs)
				err = g.leave(ctx, i)
			}
		}
		g.stop()
		if err != nil {
			return fmt.Errorf("%d MiB: %w", mib, err)
		}
	}
	return nil
}

func (g *grown) measureJoin(ctx context.Context, i int) (f joinFigure, err error) {
	began := time.Now()
	if err := g.join(ctx, i, "node"); err != nil {
		return f, err
	}
	f.ServesMs = ms(time.Since(began))
	if err := g.placed(ctx, i+1); err != nil {
		return f, err
	}
	f.PlacedMs = ms(time.Since(began))
	return f, nil
}

// rolling restarts three nodes one after the other while clients work through a
// gateway: by SIGTERM, then by kill -9.
func (r *machinesReport) rolling(ctx context.Context, l *lab, _ machinesOptions) error {
	g, err := newGrown(ctx, l, 3, false)
	if err != nil {
		return err
	}
	defer g.stop()
	const gateway = 3
	if err := g.join(ctx, gateway, "gateway"); err != nil {
		return err
	}
	for _, how := range []struct {
		name string
		sig  syscall.Signal
	}{{"SIGTERM", syscall.SIGTERM}, {"kill -9", syscall.SIGKILL}} {
		x, err := g.startCounted(ctx, how.name, gateway)
		if err != nil {
			return err
		}
		for i := 0; i < 3 && err == nil; i++ {
			if err = sleep(ctx, settle); err == nil {
				err = g.restart(ctx, i, how.sig)
			}
		}
		err = errors.Join(err, sleep(ctx, settle))
		x.end()
		if err != nil {
			return err
		}
		f := rollFigure{How: how.name, Commands: x.commands, Failed: x.failed, LongestMs: ms(x.longest)}
		if x.first != nil {
			f.FirstError = x.first.Error()
		}
		r.Rolling = append(r.Rolling, f)
		fmt.Printf("rolling restart, %-7s: %d commands through a gateway, %d failed %s, the longest took %.0f ms\n", f.How, f.Commands, f.Failed, f.FirstError, f.LongestMs)
	}
	return nil
}

// wireConns is how many clients compare TLS with plain RESP.
const wireConns = 32

// wires measures the same load with and without TLS, in turn.
func (r *machinesReport) wires(ctx context.Context, l *lab, o machinesOptions) error {
	for round := 1; round <= o.rounds; round++ {
		for _, secure := range []bool{round%2 == 0, round%2 != 0} {
			if err := r.wire(ctx, l, o, round, secure); err != nil {
				return fmt.Errorf("TLS %t: %w", secure, err)
			}
		}
	}
	return nil
}

func (r *machinesReport) wire(ctx context.Context, l *lab, o machinesOptions, round int, secure bool) error {
	g, err := newGrown(ctx, l, 3, secure)
	if err != nil {
		return err
	}
	defer g.stop()
	for _, j := range []job{{work: workloadOf("set"), pipeline: 1}, {work: workloadOf("set"), pipeline: 16}, {work: workloadOf("get"), pipeline: 1}, {work: workloadOf("get"), pipeline: 16}} {
		j.conns, j.keys, j.warmup, j.measure = wireConns, o.keys, o.measure()/4, o.measure()
		before, err := cpuTime(g.pids(3))
		if err != nil {
			return err
		}
		t, err := g.closedLoop(ctx, 3, j)
		if err != nil {
			return err
		}
		after, err := cpuTime(g.pids(3))
		if err != nil {
			return err
		}
		// The CPU of the warm-up counts too, and so do its operations: at the same pace.
		all := float64(t.ops) * (j.warmup + j.measure).Seconds() / j.measure.Seconds()
		f := wireFigure{Case: fmt.Sprintf("%s-p%d", j.work.name, j.pipeline), TLS: secure, Round: round,
			OpsPerS: float64(t.ops) / j.measure.Seconds(), P99Ms: ms(t.latency.quantile(0.99)), CPUUs: float64((after - before).Microseconds()) / all}
		r.TLS = append(r.TLS, f)
		fmt.Printf("round %d  %-7s %-5s %8.0f ops/s  p99 %6.1f ms  CPU %6.1f µs/op\n", round, f.Case, pick(secure, "TLS", "plain"), f.OpsPerS, f.P99Ms, f.CPUUs)
	}
	return nil
}
