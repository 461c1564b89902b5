package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"tutti/internal/proof/check"
)

// Measures of the plot, in pixels.
const (
	plotWidth   = 1160.0
	plotLeft    = 60.0 // of the first moment
	plotHeight  = 120.0
	plotBins    = 200
	faultHeight = 16.0
	faultRows   = 12 // at most; the rest share the last
)

// plot is throughput and latency over the whole run.
type plot struct {
	Left, Width, Height float64
	Total               float64 // height of the drawing
	Top, LatencyTop     float64 // of the two diagrams
	Bars                []bar
	P50, P99            string // points of polylines
	Rate                string // at the upper end of its axis
	Slowest, Fastest    string // at the ends of theirs
	Ticks               []tick
	Faults              []band
	Leaders             []mark
}

type bar struct {
	Class               string
	X, Y, Width, Height float64
}

type tick struct {
	X    float64
	Text string
}

type band struct {
	X, Y, Width, Height float64
	Text, Title         string
}

type mark struct {
	X           float64
	Text, Title string
}

// scale maps times to pixels.
type scale struct {
	from, to    time.Duration
	left, width float64
}

func (s scale) x(at time.Duration) float64 {
	at = min(max(at, s.from), s.to)
	return s.left + float64(at-s.from)/float64(s.to-s.from)*s.width
}

func newPlot(h *check.History) plot {
	s := scale{0, length(h), plotLeft, plotWidth}
	p := plot{Left: plotLeft, Width: plotWidth, Height: plotHeight, Leaders: marks(h, s), Ticks: ticks(s, 10)}
	var rows int
	p.Faults, rows = bands(h.Faults, s)
	p.Top = 36 + float64(rows)*faultHeight
	p.LatencyTop = p.Top + plotHeight + 30
	p.Total = p.LatencyTop + plotHeight + 30
	p.draw(h, s)
	return p
}

// draw fills the diagrams.
func (p *plot) draw(h *check.History, s scale) {
	type bin struct {
		counts [3]int // by outcome
		took   []time.Duration
	}
	bins := make([]bin, plotBins)
	for i := range h.Ops {
		op := &h.Ops[i]
		b := &bins[min(int(float64(op.Until)/float64(s.to)*plotBins), plotBins-1)]
		b.counts[op.Outcome]++
		if op.Outcome == check.OK {
			b.took = append(b.took, op.Until-op.At)
		}
	}
	most, slowest := 1, time.Microsecond
	for i := range bins {
		b := &bins[i]
		slices.Sort(b.took)
		most = max(most, b.counts[0]+b.counts[1]+b.counts[2])
		slowest = max(slowest, percentile(b.took, 99))
	}
	width := s.width / plotBins
	for i := range bins {
		b, x := &bins[i], s.left+float64(i)*width
		y := p.Top + plotHeight
		for outcome, n := range b.counts {
			if n == 0 {
				continue
			}
			height := float64(n) / float64(most) * plotHeight
			y -= height
			p.Bars = append(p.Bars, bar{check.Outcome(outcome).String(), x, y, width, height})
		}
		if len(b.took) > 0 {
			point := func(percent int) string {
				return fmt.Sprintf("%.1f,%.1f ", x+width/2, p.LatencyTop+plotHeight*(1-height(percentile(b.took, percent), slowest)))
			}
			p.P50 += point(50)
			p.P99 += point(99)
		}
	}
	p.Rate = fmt.Sprintf("%.0f/s", float64(most)*plotBins/s.to.Seconds())
	p.Slowest, p.Fastest = rough(slowest), rough(slowest/latencyRange)
}

// latencyRange is the slowest on the axis in times of the fastest.
const latencyRange = 10_000

// height puts a latency on a logarithmic axis that ends at the slowest.
func height(d, slowest time.Duration) float64 {
	return max(0, 1+math.Log10(max(float64(d), 1)/float64(slowest))/math.Log10(latencyRange))
}

// rough is a time in three digits.
func rough(d time.Duration) string {
	digits := time.Duration(1)
	for d/digits >= 1000 {
		digits *= 10
	}
	return d.Round(digits).String()
}

func percentile(sorted []time.Duration, percent int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)*percent/100, len(sorted)-1)]
}

// bands lays out faults so that none covers another, as far as there are rows.
func bands(faults []check.Span, s scale) (all []band, rows int) {
	faults = slices.Clone(faults)
	slices.SortStableFunc(faults, func(a, b check.Span) int { return cmp.Compare(a.From, b.From) })
	var free [faultRows]time.Duration // from when on a row is free
	for _, f := range faults {
		if f.To < s.from || f.From > s.to {
			continue
		}
		row := 0
		for row < faultRows-1 && free[row] > f.From {
			row++
		}
		free[row] = max(free[row], f.To)
		rows = max(rows, row+1)
		x := s.x(f.From)
		b := band{X: x, Y: 18 + float64(row)*faultHeight, Width: max(s.x(f.To)-x, 2), Height: faultHeight - 2,
			Title: shorten(fmt.Sprintf("%s, %.3f s to %.3f s", f.Name, f.From.Seconds(), f.To.Seconds()))}
		if r := []rune(printable(f.Name)); b.Width > 24 {
			b.Text = string(r[:min(len(r), int(b.Width/6.5))])
		}
		all = append(all, b)
	}
	return all, rows
}

func marks(h *check.History, s scale) (all []mark) {
	for _, l := range h.Leaders {
		if l.At < s.from || l.At > s.to {
			continue
		}
		text := fmt.Sprintf("n%d", l.Node)
		if l.Node == 0 {
			text = "–"
		}
		all = append(all, mark{s.x(l.At), text, fmt.Sprintf("%.3f s: leader of shard %d is node %d, term %d", l.At.Seconds(), l.Shard, l.Node, l.Term)})
	}
	return all
}

// ticks are moments at a round distance, at most n.
func ticks(s scale, n int) (all []tick) {
	step := time.Microsecond
	for factors := []time.Duration{2, 5, 10}; (s.to-s.from)/step > time.Duration(n); {
		decade := step
		for _, f := range factors {
			if step = decade * f; (s.to-s.from)/step <= time.Duration(n) {
				break
			}
		}
	}
	for at := (s.from + step - 1).Truncate(step); at <= s.to; at += step {
		all = append(all, tick{s.x(at), at.String()})
	}
	return all
}
