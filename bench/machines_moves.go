package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"tutti/internal/node"
	"tutti/internal/proof/netfault"
)

// What clients feel of a copy that moves: parts `moves` and `slow-moves` of machines.

// moveFigure compares clients while nothing moves with the same clients while a new
// node copies everything. Each p99 is the median of those of its windows, so that one
// window in which something else stood still decides nothing, whichever it is.
type moveFigure struct {
	DataMiB     int         `json:"data_mib"`
	Link        string      `json:"link,omitempty"` // of the new node; empty: as good as the others'
	Runs        int         `json:"runs"`
	CopyMs      []float64   `json:"copy_ms"`
	ReadCalmMs  float64     `json:"read_p99_calm_ms"` // before and after copies
	ReadMoveMs  float64     `json:"read_p99_moving_ms"`
	WriteCalmMs float64     `json:"write_p99_calm_ms"`
	WriteMoveMs float64     `json:"write_p99_moving_ms"`
	Rounds      []moveRound `json:"rounds"`
	Failed      int         `json:"failed"`
	FirstError  string      `json:"first_error,omitempty"`
	// Elections is by how many terms the shards have moved on while copies moved.
	Elections uint64 `json:"elections"`
}

// moveRound is one copy. Settling is from the end of the filling, or from the leaving
// of the node before, until calm is measured: nodes then still bring in order what was
// written and give back memory, which is not what the copy is compared with.
type moveRound struct {
	Settling moveWindow `json:"settling"`
	Before   moveWindow `json:"before"`
	Moving   moveWindow `json:"moving"`
	After    moveWindow `json:"after"`
}

// moveWindow is what clients felt for a time.
type moveWindow struct {
	ReadMs    float64 `json:"read_p99_ms"`
	WriteMs   float64 `json:"write_p99_ms"`
	LongestMs float64 `json:"longest_ms"`
	Busy      float64 `json:"cores_busy"` // share of the machine's cores at work: near 1, they are the limit
}

// moveRest is how long nodes settle.
const moveRest = 20 * time.Second

// The link of a node that is far away: each direction of it, all its connections together.
const (
	slowLinkDelay = 50 * time.Millisecond
	slowLinkRate  = 2 << 20 // bytes a second
)

// moving measures clients of three nodes while nothing moves, while a fourth copies
// everything, and when it has, in turn.
func (r *machinesReport) moving(ctx context.Context, l *lab, o machinesOptions) error {
	g, err := newGrown(ctx, l, 3, false)
	if err != nil {
		return err
	}
	defer g.stop()
	r.Moves = &moveFigure{DataMiB: o.data}
	return r.Moves.rounds(ctx, g, o)
}

// movingSlowly is moving where the node that copies is behind a slow link: the state is
// streamed to it for long, and what the others do must not wait for that.
func (r *machinesReport) movingSlowly(ctx context.Context, l *lab, o machinesOptions) error {
	g, err := newSeed(l, false)
	if err != nil {
		return err
	}
	rounds := min(o.rounds, joinsMax)
	if err := g.wire(3 + rounds); err != nil {
		return err
	}
	for i := 3; i < 3+rounds; i++ {
		g.slowLink(i)
	}
	if err := g.grow(ctx, 3); err != nil {
		return err
	}
	defer g.stop()
	r.Slow = &moveFigure{DataMiB: o.slowData, Link: fmt.Sprintf("%d MiB/s, %v each way", slowLinkRate>>20, slowLinkDelay)}
	return r.Slow.rounds(ctx, g, o)
}

// slowLink has node i of a cluster with a switch be behind one.
func (g *grown) slowLink(i int) {
	slow := func(p *netfault.Path) { p.Delay, p.BytesPerSecond = slowLinkDelay, slowLinkRate }
	for j, other := range g.nodes {
		if i != j {
			g.net.Set(g.nodes[i].name, other.name, slow)
			g.net.Set(other.name, g.nodes[i].name, slow)
		}
	}
}

// rounds has one node after the other copy all, and leave again.
func (f *moveFigure) rounds(ctx context.Context, g *grown, o machinesOptions) error {
	if err := g.fillBulk(ctx, f.DataMiB); err != nil {
		return err
	}
	p, err := g.startPaced(ctx, 3)
	if err != nil {
		return err
	}
	defer p.end()
	for i := 3; i < 3+min(o.rounds, joinsMax); i++ {
		if err := f.round(ctx, g, p, i, o.measure()); err != nil {
			return err
		}
		if err := g.leave(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

// terms adds up those of all shards.
func (g *grown) terms(ctx context.Context) (sum uint64, err error) {
	var s node.Status
	err = g.ask(ctx, 0, &s, "TUTTI.STATUS", "LOCAL")
	for _, x := range s.Shards {
		sum += x.Term
	}
	return sum, err
}

// round measures the copy to node i.
func (f *moveFigure) round(ctx context.Context, g *grown, p *paced, i int, measure time.Duration) error {
	var x moveRound
	if err := sleep(ctx, moveRest); err != nil {
		return err
	}
	x.Settling = f.window(p)
	if err := sleep(ctx, measure); err != nil {
		return err
	}
	terms, err := g.terms(ctx)
	if err != nil {
		return err
	}
	x.Before = f.window(p)
	j, err := g.measureJoin(ctx, i)
	if err != nil {
		return err
	}
	x.Moving = f.window(p)
	now, err := g.terms(ctx)
	if err != nil {
		return err
	}
	f.Elections += now - terms
	if err := sleep(ctx, measure); err != nil {
		return err
	}
	x.After = f.window(p)
	f.Runs++
	f.CopyMs, f.Rounds = append(f.CopyMs, j.PlacedMs), append(f.Rounds, x)
	f.summarize()
	fmt.Printf("move %d: %d MiB in %.0f ms; p99 of reads %.1f ms before, %.1f moving, %.1f after, of writes %.1f, %.1f and %.1f\n", f.Runs, f.DataMiB, j.PlacedMs,
		x.Before.ReadMs, x.Moving.ReadMs, x.After.ReadMs, x.Before.WriteMs, x.Moving.WriteMs, x.After.WriteMs)
	return nil
}

// window takes what was measured since the last one.
func (f *moveFigure) window(p *paced) moveWindow {
	l := p.take()
	if f.Failed += l.failed; f.FirstError == "" && l.first != nil {
		f.FirstError = l.first.Error()
	}
	return moveWindow{ReadMs: ms(l.reads.quantile(0.99)), WriteMs: ms(l.writes.quantile(0.99)), LongestMs: ms(max(l.reads.quantile(1), l.writes.quantile(1))), Busy: l.cores.share()}
}

func (f *moveFigure) summarize() {
	var readCalm, readMove, writeCalm, writeMove []float64
	for _, x := range f.Rounds {
		readCalm, writeCalm = append(readCalm, x.Before.ReadMs, x.After.ReadMs), append(writeCalm, x.Before.WriteMs, x.After.WriteMs)
		readMove, writeMove = append(readMove, x.Moving.ReadMs), append(writeMove, x.Moving.WriteMs)
	}
	f.ReadCalmMs, f.ReadMoveMs, f.WriteCalmMs, f.WriteMoveMs = median(readCalm), median(readMove), median(writeCalm), median(writeMove)
}

func (f *moveFigure) print(w io.Writer, t *tabwriter.Writer) {
	if f == nil || len(f.Rounds) == 0 {
		return
	}
	behind := ""
	if f.Link != "" {
		behind = " over a link of " + f.Link
	}
	fmt.Fprintf(w, "\nWhile a fourth node copies %d MiB%s (%d times, median %.0f ms), %d clients of the others, %.0f commands a second: p99 of reads %.1f ms, without %.1f; of writes %.1f ms, without %.1f; %d failed %s; %d elections\n",
		f.DataMiB, behind, f.Runs, median(f.CopyMs), pacedClients, pacedClients/pacedEvery.Seconds(), f.ReadMoveMs, f.ReadCalmMs, f.WriteMoveMs, f.WriteCalmMs, f.Failed, f.FirstError, f.Elections)
	fmt.Fprintln(t, "round\twindow\tp99 of reads, ms\tof writes, ms\tlongest, ms\tcores busy\t")
	for i, x := range f.Rounds {
		for _, y := range []struct {
			name string
			moveWindow
		}{{"settling", x.Settling}, {"before", x.Before}, {"moving", x.Moving}, {"after", x.After}} {
			fmt.Fprintf(t, "%d\t%s\t%.1f\t%.1f\t%.1f\t%.0f %%\t\n", i+1, y.name, y.ReadMs, y.WriteMs, y.LongestMs, 100*y.Busy)
		}
	}
	_ = t.Flush()
}
