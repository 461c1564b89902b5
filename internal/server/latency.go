package server

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"tutti/internal/command"
	"tutti/internal/histogram"
	"tutti/internal/spike"
)

// For LATENCY and INFO: what took long, and how long commands take, by a histogram of each.

// spiked is the event that a command is.
func spiked(cmd *command.Command) spike.Event {
	if cmd.Flags&command.Fast != 0 {
		return spike.Fast
	}
	return spike.Command
}

func latencyHandlers() map[string]handler {
	return map[string]handler{
		"latency|doctor":    latencyDoctor,
		"latency|graph":     latencyGraph,
		"latency|histogram": latencyHistogram,
		"latency|history":   latencyHistory,
		"latency|latest":    latencyLatest,
		"latency|reset":     latencyReset,
		"latency|help":      help,
	}
}

func latencyReset(r *request, args [][]byte) {
	var names []string
	for _, a := range args[2:] {
		names = append(names, string(a))
	}
	r.Int(int64(r.s.logs.slow.spikes.Reset(names...)))
}

func latencyLatest(r *request, _ [][]byte) {
	events := r.s.logs.slow.spikes.All()
	r.Array(len(events))
	for _, name := range slices.Sorted(maps.Keys(events)) {
		e := events[name]
		last := e.Samples[len(e.Samples)-1]
		r.Array(4)
		r.BulkString(string(name))
		r.Int(last.At)
		r.Int(last.Took)
		r.Int(e.Worst)
	}
}

func latencyHistory(r *request, args [][]byte) {
	e := r.s.logs.slow.spikes.All()[spike.Event(args[2])]
	r.Array(len(e.Samples))
	for _, s := range e.Samples {
		r.Array(2)
		r.Int(s.At)
		r.Int(s.Took)
	}
}

// latencyGraph draws a line for each sample, the newest last.
func latencyGraph(r *request, args [][]byte) {
	e := r.s.logs.slow.spikes.All()[spike.Event(args[2])]
	if len(e.Samples) == 0 {
		r.Error(fmt.Sprintf("ERR No samples available for event '%.128s'", args[2]))
		return
	}
	low, high := e.Samples[0].Took, int64(1)
	for _, s := range e.Samples {
		low, high = min(low, s.Took), max(high, s.Took)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s - high %d ms, low %d ms (all time high %d ms)\n", args[2], high, low, e.Worst)
	now := r.s.cfg.Wall() / 1000
	for _, s := range e.Samples {
		const width = 60
		fmt.Fprintf(&b, "%6ds ago %8d ms %s\n", now-s.At, s.Took, strings.Repeat("#", int(max(1, s.Took*width/high))))
	}
	r.Verbatim(b.String())
}

// advice says what an event is, and where to look.
func advice(e spike.Event) string {
	switch e {
	case spike.Command:
		return "command: from being handed over to being answered, replication included. SLOWLOG GET says which took longest.\n"
	case spike.Fast:
		return "fast-command: as command, of those that take few steps: they waited for the cluster, the disk or the processor.\n"
	case spike.Fsync:
		return "fsync: this node wrote its raft log. The disk is slow, or others use it; commands wait if those of a majority are.\n"
	case spike.Commit:
		return "commit: a batch led here was on its way to the disks of a majority. See fsync here and on the other nodes, and the links between them.\n"
	case spike.Apply:
		return "apply: a batch that was committed was not visible yet. Large batches and a busy processor do that; see loop and write-stall.\n"
	case spike.Election:
		return "election: a shard had no leader that this node knew. Leaders change when a node stops, is cut off or does not get its turn.\n"
	case spike.Loop:
		return "loop: an event loop of shards did one thing for so long; none of its shards went on meanwhile. Large commands or a busy processor do that.\n"
	case spike.Expire:
		return "expire-cycle: keys that had expired, or the rest of large ones, were removed within a batch.\n"
	case spike.Compaction:
		return "compaction: tables on the disk were merged. Nobody waits for that unless there is write-stall too.\n"
	case spike.Stall:
		return "write-stall: writes to the store waited for tables to be written or merged: the disk does not keep up.\n"
	}
	panic("server: no advice for " + string(e))
}

func latencyDoctor(r *request, _ [][]byte) {
	log := r.s.logs.slow.spikes
	limit := log.Threshold()
	if limit <= 0 {
		r.Verbatim("No spikes are kept. CONFIG SET latency-monitor-threshold <milliseconds> has this node keep what takes that long; TUTTI.DOCTOR looks at the node and its machine.\n")
		return
	}
	events := log.All()
	if len(events) == 0 {
		r.Verbatim(fmt.Sprintf("Nothing has taken %d ms or more. TUTTI.DOCTOR looks at the node and its machine.\n", limit))
		return
	}
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(events)) {
		e := events[name]
		sum := int64(0)
		for _, s := range e.Samples {
			sum += s.Took
		}
		first, last := e.Samples[0], e.Samples[len(e.Samples)-1]
		fmt.Fprintf(&b, "%s: %d seconds with spikes of %d ms or more within %d seconds, on average %d ms, the worst %d ms, the last %d seconds ago.\n",
			name, len(e.Samples), limit, max(last.At-first.At, 1), sum/int64(len(e.Samples)), e.Worst, r.s.cfg.Wall()/1000-last.At)
	}
	for _, name := range slices.Sorted(maps.Keys(events)) {
		b.WriteString(advice(name))
	}
	b.WriteString("TUTTI.DOCTOR looks at disks, links and clocks.\n")
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
