package report

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"tutti/internal/proof/check"
)

// Measures of the timeline.
const (
	timelineOpsMax = 3000
	timelineLeft   = 90.0
	timelineWidth  = 16_000.0 // at most
	opWidth        = 14.0     // on average
	laneHeight     = 16.0
	lanesMax       = 4 // of one client, for pipelines
)

// timeline is the operations around the violations, a lane or more for each
// client.
type timeline struct {
	Left, Width, Height float64
	Full                float64 // width with its margins
	Lanes               []lane
	Ops                 []opBox
	Ticks               []tick
	Faults              []band
	Leaders             []mark
	Shown, All          int
}

type lane struct {
	Y    float64
	Text string
}

type opBox struct {
	Class               string
	Guilty              bool
	X, Y, Width, Height float64
	Title               string
}

func newTimeline(h *check.History, guilty map[int]bool) timeline {
	ops := around(h, guilty)
	t := timeline{Left: timelineLeft, Shown: len(ops), All: len(h.Ops)}
	from, to := length(h), time.Duration(0)
	clients := make(map[int]bool)
	for _, i := range ops {
		from, to = min(from, h.Ops[i].At), max(to, h.Ops[i].Until)
		clients[h.Ops[i].Client] = true
	}
	if len(ops) == 0 {
		return t
	}
	to = max(to, from+time.Microsecond)
	t.Width = min(max(plotWidth-timelineLeft, float64(len(ops))/float64(len(clients))*opWidth*2), timelineWidth)
	t.Full = t.Left + t.Width + 20
	s := scale{from, to, t.Left, t.Width}
	var rows int
	t.Faults, rows = bands(h.Faults, s)
	y := 24 + float64(rows)*faultHeight
	for _, client := range slices.Sorted(maps.Keys(clients)) {
		name := fmt.Sprintf("client %d", client)
		if client == check.FinalReader {
			name = "final reads"
		}
		t.Lanes = append(t.Lanes, lane{y, name})
		y += t.client(h, ops, client, s, y, guilty)
	}
	t.Height = y + 24
	t.Ticks, t.Leaders = ticks(s, int(t.Width/110)), marks(h, s)
	return t
}

// client draws the operations of a client from y downwards and returns how much
// room they took.
func (t *timeline) client(h *check.History, ops []int, client int, s scale, y float64, guilty map[int]bool) float64 {
	var free [lanesMax]time.Duration
	used := 1
	for _, i := range ops {
		op := &h.Ops[i]
		if op.Client != client {
			continue
		}
		row := 0
		for row < lanesMax-1 && free[row] > op.At {
			row++
		}
		free[row] = max(free[row], op.Until)
		used = max(used, row+1)
		x := s.x(op.At)
		t.Ops = append(t.Ops, opBox{Class: op.Outcome.String(), Guilty: guilty[i], X: x, Y: y + float64(row)*laneHeight,
			Width: max(s.x(op.Until)-x, 2), Height: laneHeight - 4, Title: shorten(op.String())})
	}
	return float64(used)*laneHeight + 4
}

// around picks the operations to draw, in the order of their calls: all, or
// those nearest to the violations.
func around(h *check.History, guilty map[int]bool) []int {
	all := make([]int, len(h.Ops))
	for i := range all {
		all[i] = i
	}
	slices.SortFunc(all, func(a, b int) int { return cmp.Compare(h.Ops[a].Call, h.Ops[b].Call) })
	if len(all) <= timelineOpsMax {
		return all
	}
	first := 0
	if len(guilty) > 0 {
		// The last of them shows the mistake: the others are often its setting.
		for p, i := range all {
			if guilty[i] {
				first = p
			}
		}
		first = max(0, first-timelineOpsMax*2/3)
	}
	return all[first:min(first+timelineOpsMax, len(all))]
}
