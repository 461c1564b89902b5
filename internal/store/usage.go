package store

import (
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"tutti/internal/rowcache"
	"tutti/internal/spike"
)

// Usage is what a store takes of the disk and what it has done since it was
// opened.
type Usage struct {
	Bytes uint64 // on the disk
	// Debt is how many bytes are still to be compacted.
	Debt uint64
	// In is what was written to its write-ahead log, Out what it has written to the
	// disk in all: that log, flushes and compactions.
	In, Out uint64
	// Hits and Misses are of the cache of blocks.
	Hits, Misses uint64
	// Stalls counts how often writes have waited for flushes or compactions.
	Stalls uint64
	// Fsyncs is how long fsyncs of the write-ahead log took, in nanoseconds. Nil:
	// the store has none.
	Fsyncs prometheus.Histogram
}

// stalls counts how often writes to one store had to wait.
type stalls struct {
	n   atomic.Uint64
	now atomic.Bool // one waits
}

// watch has Pebble tell of what takes its time.
func (s *stalls) watch(o *pebble.Options, spikes *spike.Log) {
	var began time.Time // of the one that waits: Pebble calls both with its mutex held
	o.EventListener.WriteStallBegin = func(pebble.WriteStallBeginInfo) { s.n.Add(1); s.now.Store(true); began = time.Now() }
	o.EventListener.WriteStallEnd = func() { s.now.Store(false); spikes.Note(spike.Stall, time.Since(began)) }
	o.EventListener.CompactionEnd = func(info pebble.CompactionInfo) { spikes.Note(spike.Compaction, info.TotalDuration) }
}

func usage(db *pebble.DB, stalled *stalls) Usage {
	m := db.Metrics()
	total := m.Total()
	u := Usage{Bytes: m.DiskSpaceUsage(), Debt: m.Compact.EstimatedDebt, Stalls: stalled.n.Load(),
		In: m.WAL.BytesIn, Out: total.TableBytesFlushed + total.TableBytesCompacted, // the former has what went to the log
		Hits: uint64(m.BlockCache.Hits), Misses: uint64(m.BlockCache.Misses)}
	u.Fsyncs = m.LogWriter.FsyncLatency
	return u
}

// Usage describes the log store, since it was opened or has rested last. It must not
// be closed.
func (l *Log) Usage() Usage {
	db, done := l.use()
	defer done()
	return usage(db, l.stalls)
}

// Rows describes the rows that are kept in memory. The state must not be closed.
func (s *State) Rows() rowcache.Usage {
	if s.hot.cache == nil {
		return rowcache.Usage{}
	}
	return s.hot.cache.Usage()
}

// Usage describes the state store. It must not be closed.
func (s *State) Usage() Usage {
	u := usage(s.db, s.stalls)
	u.Fsyncs = nil // it has no write-ahead log
	return u
}

// FsyncsWithin returns how many fsyncs there were and within which time that part
// of them ended; 0: beyond all that is measured.
func (u Usage) FsyncsWithin(part float64) (d time.Duration, n uint64) {
	var m dto.Metric
	if u.Fsyncs == nil || u.Fsyncs.Write(&m) != nil {
		return 0, 0
	}
	n = m.GetHistogram().GetSampleCount()
	for _, b := range m.GetHistogram().GetBucket() {
		if float64(b.GetCumulativeCount()) >= part*float64(n) {
			return time.Duration(b.GetUpperBound()), n
		}
	}
	return 0, n
}

// Buffers is what the caches and buffers of both stores come to at most, in
// bytes: of the log store three memtables may be alive.
func (c Config) Buffers() int64 {
	p := c.profile()
	return p.cache + 3*p.logMemtable + p.stateWaiting + c.RowBytes
}

// Room is the disk below a node's folder, in bytes.
type Room struct {
	Total uint64
	// Left is what the node takes for left: less than what the file system says
	// when it refuses writes all the same.
	Left int64
	Full bool // writes that need room are refused
}

// Room returns how full the disk is; ok is false if the file system does not tell.
func (s *Space) Room() (r Room, ok bool) {
	usage, err := s.cfg.FS.GetDiskUsage(s.cfg.Dir)
	if err != nil {
		return Room{}, false
	}
	return Room{Total: usage.TotalBytes, Left: max(s.left.Load(), 0), Full: s.Full()}, true
}
