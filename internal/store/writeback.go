package store

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"tutti/internal/cluster"
)

// backLimits is when the runs of a shard are written to Pebble.
type backLimits struct {
	bytes int   // of runs
	log   int64 // of entries since the last time: they stay in the log until then
	total int64 // of the runs of all shards; who has twice as much waits for its own to be written
}

// backAfter is how many looks of the loop, see WriteBack, are between two times if less is
// late than the limits. Together they are about five seconds: what a start replays.
const backAfter = 8

// backLimits returns the limits of a node. While runs are written there are a batch of as
// many bytes, and the runs that have come meanwhile. Half as much took SETs in
// pipelines a sixth more processor time, and the slowest of a hundred twice as long.
func (p profile) backLimits() backLimits {
	return backLimits{bytes: int(p.stateBack), log: p.logMemtable / 2, total: 2 * p.stateBack}
}

// heavyPart is the part of the bytes of a shard that large values may be: they take long to
// write, and few of them are written again. A fourth, 8 MiB, had small SETs beside them take
// half as long again.
const heavyPart = 16

// pace is how much was applied of a shard.
type pace struct {
	applied int64 // bytes of entries and a little for each, since the start
	back    int64 // applied, when runs were last written back
	seen    int64 // applied, at the last look
	looks   int   // since runs were last written back
}

// paceEntry counts an entry that writes nothing.
const paceEntry = 16

func (p *pace) add(size int) { p.applied += int64(size) + paceEntry }

// behind is how much was applied since runs were last written back.
func (p *pace) behind() int64 { return p.applied - p.back }

// begin notes that all is written back that was applied.
func (p *pace) begin() { p.back, p.looks = p.applied, 0 }

// writeBack is the writing of the oldest runs of a shard, so that Pebble has them. It is
// done beside all loops.
type writeBack struct {
	runs    runs
	entries int64 // bytes of those that wrote them
	err     error // why Pebble does not have them, once done is closed
	done    chan struct{}
}

// errCutShort is what came of a write whose goroutine ended in Pebble, as it does where many
// nodes share a process and one of them fails.
var errCutShort = errors.New("the node failed meanwhile")

// put puts the newest of each row into a batch, and reports whether rows are deleted.
func (l runs) put(b *pebble.Batch) (deletes bool, err error) {
	err = l.each(func(r *run, i int, kind rowKind) error {
		if kind&rowPut == 0 {
			deletes = true
			return b.Delete(r.key(i), nil)
		}
		return b.Set(r.key(i), r.value(i), nil)
	})
	return deletes, err
}

// unwritten is the runs that are not being written back.
func (x *lateShard) unwritten() runs {
	if x.writing == nil {
		return x.runs
	}
	return x.runs[:len(x.runs)-len(x.writing.runs)]
}

// writes reports whether runs are still being written back.
func (x *lateShard) writes() bool {
	if x.writing == nil {
		return false
	}
	select {
	case <-x.writing.done:
		return false
	default:
		return true
	}
}

// crowded reports whether there is no room for another run before some are written back.
func (x *lateShard) crowded(l *layers) bool {
	return x.writes() && (x.unwritten().bytes() >= l.back.bytes || l.held.Load() > 2*l.back.total)
}

// finish waits until no runs are being written back; after an error they are late as before.
func (x *lateShard) finish(s *State) error {
	w := x.writing
	if w == nil {
		return nil
	}
	<-w.done
	x.collect(s)
	return w.err
}

// collect has the next layer lie over what Pebble has, if runs have been written back.
func (x *lateShard) collect(s *State) {
	if x.writing == nil || x.writes() {
		return
	}
	if x.writing.err != nil { // the node ends; nothing may be taken for written until then
		x.writing = nil
		return
	}
	s.late.held.Add(-int64(x.writing.runs.bytes()))
	x.base.release()
	x.runs, x.base, x.writing = x.unwritten(), newSnapshot(s), nil
}

// push makes a run of the layer on top, and begins another one.
func (x *lateShard) push(s *State) {
	if x.crowded(&s.late) {
		_ = x.finish(s) // the node is told of an error by who has met it
	}
	x.collect(s)
	if r := x.top.Load().run(); r != nil {
		before, writing := x.runs.bytes(), 0
		if x.writing != nil {
			writing = len(x.writing.runs)
		}
		x.runs = x.runs.add(r, writing)
		s.late.held.Add(int64(x.runs.bytes() - before))
	}
	x.begin(s)
	x.limit(s)
}

// limit has runs written back if they are as many as may be late.
func (x *lateShard) limit(s *State) {
	limits := &s.late.back
	if list := x.unwritten(); list.bytes() >= limits.bytes || list.heavy() >= limits.bytes/heavyPart || x.pace.behind() >= limits.log || s.late.held.Load() > limits.total {
		x.writeBack(s)
	}
}

// writeBack begins to write all runs to Pebble, unless some are being written.
func (x *lateShard) writeBack(s *State) {
	if x.writing != nil || len(x.runs) == 0 {
		return
	}
	w := &writeBack{runs: x.runs, entries: x.pace.behind(), err: errCutShort, done: make(chan struct{})}
	x.writing = w
	x.pace.begin()
	go func() {
		defer close(w.done)
		if w.err = w.write(s); w.err != nil {
			s.cfg.Fatal(fmt.Errorf("write rows back: %w", damage(w.err)))
		}
	}()
}

// write commits the runs, and has them become tables if they are many, or what the log
// keeps for them is: others can wait in the memtable until FlushIfLarge says otherwise.
func (w *writeBack) write(s *State) error {
	size := 0
	for _, r := range w.runs {
		size += len(r.data) + r.heavy
	}
	b := s.db.NewBatchWithSize(size + size/8)
	defer b.Close()
	deletes, err := w.runs.put(b)
	if err != nil {
		return err
	}
	return s.commits.exclusive(func() error {
		err := b.Commit(pebble.NoSync)
		if err != nil {
			return err
		}
		s.reclaimer.note(deletes)
		s.unflushed.Add(w.entries)
		if limits := &s.late.back; w.entries >= limits.log/2 || size >= limits.bytes/2 {
			s.unflushed.Store(0)
			_, err = s.db.AsyncFlush()
		}
		return err
	})
}

// WriteBack is for the loop of a shard to call now and then, when it has neither a batch
// open nor a commit under way: what has been late for long, or for more than max bytes of
// entries, or when nothing is applied any more, begins to be written to Pebble. The log can
// be cut behind what is late only. It reports whether nothing is late any more but in
// views, so that the newest is better opened again.
func WriteBack(s *State, shard cluster.ShardID, max int64) (clear bool) {
	x := s.late.of(shard)
	top := x.top.Load()
	if top == nil {
		return false
	}
	x.collect(s)
	p := &x.pace
	idle := p.seen == p.applied
	p.seen = p.applied
	p.looks++
	switch {
	case idle && x.writing == nil && top.empty() && len(x.runs) == 0:
		x.renew(&s.late)
		return true
	case x.writing == nil && (idle || p.looks >= backAfter || p.behind() >= max):
		x.push(s)
		x.writeBack(s)
	}
	return false
}
