package server

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"tutti/internal/command"
	"tutti/internal/histogram"
)

// How long commands take, for LATENCY and INFO: spikes, and a histogram of each command.

// Events of spikes, as Redis calls them.
const (
	spikeCommand = "command"
	spikeFast    = "fast-command"

	spikesMax = 160 // samples of an event, of a second each
)

// spikes keeps, of the seconds in which a command took as long as a setting says, the
// longest time: the newest seconds of each event.
type spikes struct {
	threshold atomic.Int64 // milliseconds; 0: nothing is kept

	mu     sync.Mutex // guards all below
	events map[string]*spikeEvent
}

type spikeEvent struct {
	samples []spike // oldest first
	worst   int64   // milliseconds, since the last reset
}

type spike struct{ at, took int64 } // unix seconds, milliseconds

// note keeps what a command took, if it was long.
func (s *spikes) note(cmd *command.Command, took time.Duration, wall func() int64) {
	limit := s.threshold.Load()
	ms := int64(took / time.Millisecond)
	if limit <= 0 || ms < limit {
		return
	}
	event, at := spikeCommand, wall()/1000
	if cmd.Flags&command.Fast != 0 {
		event = spikeFast
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.events == nil {
		s.events = make(map[string]*spikeEvent)
	}
	e := s.events[event]
	if e == nil {
		e = &spikeEvent{}
		s.events[event] = e
	}
	e.worst = max(e.worst, ms)
	if n := len(e.samples); n > 0 && e.samples[n-1].at == at {
		e.samples[n-1].took = max(e.samples[n-1].took, ms)
		return
	}
	if len(e.samples) == spikesMax {
		e.samples = slices.Delete(e.samples, 0, 1)
	}
	e.samples = append(e.samples, spike{at, ms})
}

// all returns copies of the events by name; samples are oldest first.
func (s *spikes) all() map[string]spikeEvent {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make(map[string]spikeEvent, len(s.events))
	for name, e := range s.events {
		list[name] = spikeEvent{slices.Clone(e.samples), e.worst}
	}
	return list
}

// reset forgets events, all if none is named, and returns how many there were.
func (s *spikes) reset(names [][]byte) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := len(s.events)
	if len(names) == 0 {
		clear(s.events)
	}
	for _, name := range names {
		maps.DeleteFunc(s.events, func(event string, _ *spikeEvent) bool { return strings.EqualFold(event, string(name)) })
	}
	return before - len(s.events)
}

func latencyHandlers() map[string]handler {
	return map[string]handler{
		"latency|doctor":    latencyDoctor,
		"latency|graph":     latencyGraph,
		"latency|histogram": latencyHistogram,
		"latency|history":   latencyHistory,
		"latency|latest":    latencyLatest,
		"latency|reset":     func(r *request, args [][]byte) { r.Int(int64(r.s.logs.slow.spikes.reset(args[2:]))) },
		"latency|help":      help,
	}
}

func latencyLatest(r *request, _ [][]byte) {
	events := r.s.logs.slow.spikes.all()
	r.Array(len(events))
	for _, name := range slices.Sorted(maps.Keys(events)) {
		e := events[name]
		last := e.samples[len(e.samples)-1]
		r.Array(4)
		r.BulkString(name)
		r.Int(last.at)
		r.Int(last.took)
		r.Int(e.worst)
	}
}

func latencyHistory(r *request, args [][]byte) {
	e := r.s.logs.slow.spikes.all()[string(args[2])]
	r.Array(len(e.samples))
	for _, s := range e.samples {
		r.Array(2)
		r.Int(s.at)
		r.Int(s.took)
	}
}

// latencyGraph draws a line for each sample, the newest last.
func latencyGraph(r *request, args [][]byte) {
	e := r.s.logs.slow.spikes.all()[string(args[2])]
	if len(e.samples) == 0 {
		r.Error(fmt.Sprintf("ERR No samples available for event '%.128s'", args[2]))
		return
	}
	low, high := e.samples[0].took, int64(1)
	for _, s := range e.samples {
		low, high = min(low, s.took), max(high, s.took)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s - high %d ms, low %d ms (all time high %d ms)\n", args[2], high, low, e.worst)
	now := r.s.cfg.Wall() / 1000
	for _, s := range e.samples {
		const width = 60
		fmt.Fprintf(&b, "%6ds ago %8d ms %s\n", now-s.at, s.took, strings.Repeat("#", int(max(1, s.took*width/high))))
	}
	r.Verbatim(b.String())
}

func latencyDoctor(r *request, _ [][]byte) {
	log := &r.s.logs.slow.spikes
	limit := log.threshold.Load()
	if limit <= 0 {
		r.Verbatim("No spikes are kept. CONFIG SET latency-monitor-threshold <milliseconds> has this node keep what takes that long; TUTTI.DOCTOR looks at the node and its machine.\n")
		return
	}
	events := log.all()
	if len(events) == 0 {
		r.Verbatim(fmt.Sprintf("No command has taken %d ms or more. TUTTI.DOCTOR looks at the node and its machine.\n", limit))
		return
	}
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(events)) {
		e := events[name]
		sum := int64(0)
		for _, s := range e.samples {
			sum += s.took
		}
		first, last := e.samples[0], e.samples[len(e.samples)-1]
		fmt.Fprintf(&b, "%s: %d seconds with spikes of %d ms or more within %d seconds, on average %d ms, the worst %d ms, the last %d seconds ago.\n",
			name, len(e.samples), limit, max(last.at-first.at, 1), sum/int64(len(e.samples)), e.worst, r.s.cfg.Wall()/1000-last.at)
	}
	b.WriteString("Times go from being handed over to being answered, replication included. SLOWLOG GET says which commands took longest; TUTTI.DOCTOR looks at disks, links and clocks.\n")
	r.Verbatim(b.String())
}

// latencyHistogram answers with the buckets of commands in which there are any: how many
// took at most so many microseconds. A container stands for its subcommands.
func latencyHistogram(r *request, args [][]byte) {
	list := everyCommand(r.s.cfg.Table)
	if len(args) > 2 {
		list = nil
		for _, name := range args[2:] {
			if cmd := r.s.cfg.Table.Find(name); cmd != nil {
				list = append(append(list, cmd), cmd.Subs...)
			}
		}
	}
	if r.s.config.value("latency-tracking") == "no" {
		list = nil
	}
	type row struct {
		name string
		histogram.Snapshot
	}
	var rows []row
	for _, cmd := range list {
		if s := r.s.stats.calls[cmd].took.Snapshot(); s.Count > 0 {
			rows = append(rows, row{cmd.Name, s})
		}
	}
	r.Map(len(rows))
	for _, row := range rows {
		r.BulkString(row.name)
		r.Map(2)
		r.BulkString("calls")
		r.Int(int64(row.Count))
		r.BulkString("histogram_usec")
		buckets := filled(row.Snapshot)
		r.Map(len(buckets))
		for _, b := range buckets {
			r.Int(b.Bound.Microseconds())
			r.Int(int64(b.Count))
		}
	}
}

// filled returns the buckets that hold more than those before, and one for all beyond.
func filled(s histogram.Snapshot) (list []histogram.Bucket) {
	before := uint64(0)
	for _, b := range s.AtMost {
		if b.Count > before {
			list = append(list, b)
		}
		before = b.Count
	}
	if s.Count > before {
		list = append(list, histogram.Bucket{Bound: 2 * s.AtMost[len(s.AtMost)-1].Bound, Count: s.Count})
	}
	return list
}

// infoLatencystats tells within which time so many of a hundred calls of a command were
// answered, by the bounds of the histogram's buckets.
func infoLatencystats(s *Server, w *infoWriter) {
	percentiles := strings.Fields(s.config.value("latency-tracking-info-percentiles"))
	if s.config.value("latency-tracking") == "no" || len(percentiles) == 0 {
		return
	}
	for _, cmd := range everyCommand(s.cfg.Table) {
		took := s.stats.calls[cmd].took.Snapshot()
		if took.Count == 0 {
			continue
		}
		var parts []string
		for _, p := range percentiles {
			parts = append(parts, fmt.Sprintf("p%s=%d.000", p, within(took, p).Microseconds()))
		}
		fmt.Fprintf(&w.text, "latency_percentiles_usec_%s:%s\r\n", cmd.Name, strings.Join(parts, ","))
	}
}

// within returns the bound of the bucket that a percentile, which is a number, falls into.
func within(s histogram.Snapshot, percentile string) time.Duration {
	p, _ := strconv.ParseFloat(percentile, 64)
	list := filled(s)
	for _, b := range list {
		if float64(b.Count) >= p/100*float64(s.Count) {
			return b.Bound
		}
	}
	return list[len(list)-1].Bound
}
