package store

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"

	"tutti/internal/spike"
)

// Config says where and how a node stores.
type Config struct {
	FS     vfs.FS // nil: the operating system's
	Dir    string // the node's data folder
	Logger *slog.Logger
	// Small selects small memtables and a small cache, for dev, demo and
	// machines with less than 4 GiB of memory: at most 100 MiB at rest.
	Small bool
	// Bare selects the least of all, for a node that holds no replicas: next to
	// nothing is written. It keeps no ballast.
	Bare bool
	// MemtableBytes, if not 0, replaces the size of both memtables. The
	// simulation makes them so small that logs rotate and tables are written.
	MemtableBytes int64
	// RowBytes is the memory for the newest values of small rows; see package
	// rowcache. Zero: none are kept.
	RowBytes int64
	// Space watches the disk of Dir; see WatchSpace. Nil: nobody does.
	Space *Space
	// Spikes is told of what takes long. Nil: nobody wants to know.
	Spikes *spike.Log
	// Fatal is called once when the disk failed in a way that makes going on
	// unsafe: a failed fsync is never repeated on the same data, because the
	// kernel may have dropped the dirty pages (the "fsyncgate" of PostgreSQL,
	// 2018). It must not return into the store.
	Fatal func(err error)
}

// sizes of memtables and cache, in bytes. The log's memtable is several times the
// state's: a flush of the state lets the log be truncated, and what is
// truncated while it lies in the memtable is never written as a table. The state's is
// small, as it is a list that each row enters somewhere, and the processor's cache holds
// more of a small one: docs/RATIONALE.md has the figures. A memory limit of the process
// (GOMEMLIMIT) makes them smaller.
type profile struct {
	logMemtable, stateMemtable, cache int64
	// stateBack is how much of a shard comes to the state's memtable, or past it, at once.
	stateBack int64
	// stateWaiting is how much of the state may wait in memory to be flushed, above all
	// batches that are larger than a memtable.
	stateWaiting int64
}

func (c *Config) profile() profile {
	p := profile{logMemtable: 64 << 20, stateMemtable: 8 << 20, stateBack: 32 << 20, stateWaiting: 96 << 20, cache: 512 << 20}
	switch {
	case c.Bare:
		p = profile{logMemtable: 4 << 20, stateMemtable: 4 << 20, stateBack: 4 << 20, stateWaiting: 12 << 20, cache: 8 << 20}
	case c.Small:
		p = profile{logMemtable: 32 << 20, stateMemtable: 8 << 20, stateBack: 16 << 20, stateWaiting: 48 << 20, cache: 64 << 20}
	}
	// Of the log store up to three memtables are alive, two waiting to be flushed, of the
	// state what waits beside one.
	// With these parts of a memory limit about half of it stays free; with more
	// the collector was measured to take most of the time.
	limit := debug.SetMemoryLimit(-1)
	p.logMemtable = min(p.logMemtable, max(limit/16, memtableMin))
	p.stateMemtable = min(p.stateMemtable, max(limit/32, memtableMin))
	p.stateBack = min(p.stateBack, max(limit/32, memtableMin))
	p.stateWaiting = max(min(p.stateWaiting, 3*(limit/32)), 3*p.stateMemtable)
	p.cache = min(p.cache, limit/8)
	if c.MemtableBytes != 0 {
		p.logMemtable, p.stateMemtable, p.stateWaiting = c.MemtableBytes, c.MemtableBytes, 3*c.MemtableBytes
		p.stateBack = 2 * c.MemtableBytes
	}
	return p
}

const memtableMin = 1 << 20

func (c *Config) fill() {
	if c.FS == nil {
		c.FS = vfs.Default
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Fatal == nil {
		c.Fatal = func(err error) { panic(fmt.Sprintf("store: %v", err)) }
	}
}

func (c *Config) options(name string, memtable, waiting int64, cache *pebble.Cache) *pebble.Options {
	o := &pebble.Options{
		FS:                          c.stores(),
		FormatMajorVersion:          pebble.FormatNewest,
		MemTableSize:                uint64(memtable),
		MemTableStopWritesThreshold: int(waiting/memtable) + 1, // beside the one in use
		Cache:                       cache,
		L0CompactionThreshold:       4,
		L0StopWritesThreshold:       24,
		LBaseMaxBytes:               64 << 20,
		MaxOpenFiles:                1000,
		Logger:                      pebbleLogger{c.Logger.With(slog.String("store", name)), c.Fatal},
	}
	switch name {
	case "log":
		// What is truncated goes with its whole tables, if they have not been merged
		// before that: which rewrote most of the log once or twice.
		o.L0CompactionThreshold, o.L0StopWritesThreshold, o.LBaseMaxBytes = 16, 48, 512<<20
		o.TargetFileSizes[0] = max(memtable/4, 2<<20) // a file costs more than its bytes
	case "state":
		// Merged later, rows that are written again and again are merged less often. It
		// is what is absent that would have to be looked for in every table: it is
		// known in memory.
		o.L0CompactionThreshold, o.L0StopWritesThreshold, o.LBaseMaxBytes = 16, 48, 128<<20
		narrow(o, memtable)
		c.separate(o)
	}
	for i := range o.Levels {
		o.Levels[i].BlockSize = 16 << 10
		if name == "log" {
			// Read in order and rarely, deleted soon: neither a filter nor
			// compression pays.
			o.Levels[i].Compression = func() *sstable.CompressionProfile { return sstable.NoCompression }
			continue
		}
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
		o.Levels[i].Compression = func() *sstable.CompressionProfile { return sstable.SnappyCompression }
	}
	// Without this, a table ingested while it overlaps the memtable lives only
	// in the write-ahead log until the next flush; the state store has none, so
	// a crash would lose a whole shard.
	o.Experimental.DisableIngestAsFlushable = func() bool { return true }
	o.EventListener = &pebble.EventListener{
		BackgroundError: func(err error) {
			// A flush or compaction whose table is thrown away and written again, because
			// the disk has no room or because it goes across rows that are dropped just
			// now: what it holds lies in memory, in the log, or in other tables.
			if vfs.IsNoSpaceError(err) || errors.Is(err, pebble.ErrCancelledCompaction) {
				c.Logger.Debug("a table is written again", slog.String("store", name), slog.String("error", err.Error()))
				return
			}
			c.Fatal(fmt.Errorf("%s store: %w", name, damage(err)))
		},
		// Whoever reads what is damaged gets an error too, but nobody may read
		// from this store any more.
		DataCorruption: func(info pebble.DataCorruptionInfo) {
			c.Fatal(fmt.Errorf("%s store: %w: %s: %w", name, ErrDamaged, info.Path, info.Details))
		},
	}
	return o
}

// narrow has a flush make tables that each span few of the rows below them, however small
// they are. Who uses the state as a queue writes at the ends of long ranges: a table from
// one end to the other has all that lies between written again when it is merged. Where
// there is little below, a table is as large as what is flushed: with large values, which
// lie in a file beside it, a fourth of that took a sixth more of the processor time of SETs
// of 1 MiB, to make files and to remove them. For the reason of the queues, too, only
// tables of hardly anything but tombstones are merged because of those: by Pebble's
// default of a tenth such merges took a third of the processor time of tasks. Few who
// read step over tombstones, see package keyspace.
func narrow(o *pebble.Options, memtable int64) {
	const tables, least, most = 4, 128 << 10, 64 << 20
	o.FlushSplitBytes, o.TargetFileSizes[0] = max(memtable/tables, least), max(memtable, least)
	for i := 1; i < len(o.TargetFileSizes); i++ {
		o.TargetFileSizes[i] = min(max(2*o.TargetFileSizes[i-1], 2<<20), most)
	}
	o.Experimental.TombstoneDenseCompactionThreshold = 0.9
}

// pebbleLogger passes on what Pebble must say and drops its chatter.
type pebbleLogger struct {
	log   *slog.Logger
	fatal func(error)
}

func (l pebbleLogger) Infof(string, ...any) {}
func (l pebbleLogger) Errorf(format string, args ...any) {
	l.log.Warn("pebble", slog.String("text", fmt.Sprintf(format, args...)))
}
func (l pebbleLogger) Fatalf(format string, args ...any) {
	err := fmt.Errorf(format, args...)
	l.fatal(err)
	// Pebble relies on not going on from here. Whoever takes fatal ends the
	// process; where many nodes share one, this goroutine ends.
	runtime.Goexit()
}
