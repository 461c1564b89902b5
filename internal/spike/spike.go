// Package spike keeps what took long on a node of late: of each second in which
// something of a kind took as long as a setting says, the longest. Whoever does
// such things notes them; LATENCY shows them.
package spike

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Event is a kind of things that take time.
type Event string

// What is noted, by the names that LATENCY has for it.
const (
	// Command and Fast are commands of clients, from being handed over to being
	// answered. Fast are those that take the same few steps whatever the data.
	Command Event = "command"
	Fast    Event = "fast-command"
	// Fsync is the writing of the raft log with its fsync.
	Fsync Event = "fsync"
	// Commit is the way of a batch from its proposal to its being durable at a
	// majority, Apply from there to its being visible; both at its leader.
	Commit Event = "commit"
	Apply  Event = "apply"
	// Election is the time without a known leader of a shard.
	Election Event = "election"
	// Loop is one turn of the event loop of shards: nothing of its shards goes on
	// meanwhile.
	Loop Event = "loop"
	// Expire is a part of the work on what has expired or was removed.
	Expire Event = "expire-cycle"
	// Compaction is the merging of tables on the disk, Stall the waiting of writes
	// for that.
	Compaction Event = "compaction"
	Stall      Event = "write-stall"
)

// SamplesMax is of how many seconds an event has samples.
const SamplesMax = 160

// Log is the spikes of a node. It is safe for concurrent use; nil notes nothing.
type Log struct {
	wall      func() int64
	threshold atomic.Int64 // milliseconds; 0: nothing is kept

	mu     sync.Mutex // guards events
	events map[Event]*History
}

// History is the samples of an event, oldest first, and the longest time since the
// last reset, in milliseconds.
type History struct {
	Samples []Sample
	Worst   int64
}

// Sample is the longest time of an event in one second.
type Sample struct{ At, Took int64 } // unix seconds, milliseconds

// New returns a log that keeps nothing yet. wall is in milliseconds.
func New(wall func() int64) *Log { return &Log{wall: wall, events: make(map[Event]*History)} }

// Keep sets how long something must take to be kept, in milliseconds. 0: nothing is.
func (l *Log) Keep(threshold int64) { l.threshold.Store(threshold) }

// Threshold returns what Keep was told last.
func (l *Log) Threshold() int64 { return l.threshold.Load() }

// Note keeps how long something took, if that was long.
func (l *Log) Note(e Event, took time.Duration) {
	if l == nil {
		return
	}
	limit, ms := l.threshold.Load(), int64(took/time.Millisecond)
	if limit <= 0 || ms < limit {
		return
	}
	at := l.wall() / 1000
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.events[e]
	if h == nil {
		h = &History{}
		l.events[e] = h
	}
	h.Worst = max(h.Worst, ms)
	if n := len(h.Samples); n > 0 && h.Samples[n-1].At == at {
		h.Samples[n-1].Took = max(h.Samples[n-1].Took, ms)
		return
	}
	if len(h.Samples) == SamplesMax {
		h.Samples = slices.Delete(h.Samples, 0, 1)
	}
	h.Samples = append(h.Samples, Sample{at, ms})
}

// All returns copies of all that is kept. Each history has a sample.
func (l *Log) All() map[Event]History {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := make(map[Event]History, len(l.events))
	for e, h := range l.events {
		list[e] = History{slices.Clone(h.Samples), h.Worst}
	}
	return list
}

// Reset forgets events by name, in any case, all if none is named, and returns of how
// many there was something.
func (l *Log) Reset(names ...string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	before := len(l.events)
	if len(names) == 0 {
		clear(l.events)
	}
	for _, name := range names {
		maps.DeleteFunc(l.events, func(e Event, _ *History) bool { return strings.EqualFold(string(e), name) })
	}
	return before - len(l.events)
}
