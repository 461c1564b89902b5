package server

import (
	"context"
	"fmt"
	gc "runtime/debug" // debug is a handler here
	"runtime/metrics"
	"strconv"
	"strings"
	"time"

	"tutti/internal/cluster"
)

// The memory of the node, for MEMORY and INFO.

func memoryHandlers() map[string]handler {
	return map[string]handler{
		"memory|stats":        memoryStats,
		"memory|purge":        memoryPurge,
		"memory|malloc-stats": func(r *request, _ [][]byte) { r.Verbatim(mallocStats()) },
	}
}

// purgeMax is how long MEMORY PURGE may take.
const purgeMax = 30 * time.Second

// memoryPurge gives back what the node does not need now.
func memoryPurge(r *request, _ [][]byte) {
	if rest := r.s.cfg.Node.Rest; rest != nil {
		ctx, cancel := context.WithTimeout(r.s.ctx, purgeMax)
		defer cancel()
		if err := rest(ctx); err != nil {
			r.Error("ERR not all was given back: " + err.Error())
			return
		}
	}
	gc.FreeOSMemory()
	r.OK()
}

// memoryStats answers with Redis's fields. Data lives on disk and caches of it are
// what a node has in memory, so fields about the memory of the data are 0.
func memoryStats(r *request, _ [][]byte) {
	used, mapped := goMemory()
	rss := residentBytes()
	if rss == 0 {
		rss = mapped
	}
	peak := r.s.stats.raisePeak(used)
	keys := r.s.keyCounts(func(int, cluster.ShardID, error) {})
	var total int64
	databases := 0
	for _, n := range keys {
		total += n
		databases += int(min(n, 1))
	}
	whole := []struct {
		name string
		n    int64
	}{
		{"peak.allocated", peak}, {"total.allocated", used}, {"startup.allocated", 0}, {"replication.backlog", 0},
		{"clients.slaves", 0}, {"clients.normal", r.s.config.held.used.Load()}, {"cluster.links", 0}, {"aof.buffer", 0}, {"lua.caches", 0}, {"functions.caches", 0},
		{"overhead.total", used}, {"keys.count", total}, {"keys.bytes-per-key", 0}, {"dataset.bytes", 0},
		{"allocator.allocated", used}, {"allocator.active", mapped}, {"allocator.resident", rss},
		{"allocator-fragmentation.bytes", max(mapped-used, 0)}, {"allocator-rss.bytes", rss - mapped}, {"rss-overhead.bytes", 0}, {"fragmentation.bytes", max(rss-used, 0)},
	}
	parts := []struct {
		name string
		f    float64
	}{
		{"dataset.percentage", 0}, {"peak.percentage", 100 * share(used, peak)}, {"allocator-fragmentation.ratio", share(mapped, used)},
		{"allocator-rss.ratio", share(rss, mapped)}, {"rss-overhead.ratio", 1}, {"fragmentation", share(rss, used)},
	}
	r.Map(len(whole) + len(parts) + databases)
	for _, f := range whole {
		r.BulkString(f.name)
		r.Int(f.n)
	}
	for _, f := range parts {
		r.BulkString(f.name)
		r.Double(f.f)
	}
	for db, n := range keys {
		if n > 0 { // there are no tables of keys in memory
			r.BulkString("db." + strconv.Itoa(db))
			r.Map(3)
			for _, name := range []string{"overhead.hashtable.main", "overhead.hashtable.expires", "overhead.hashtable.slot-to-keys"} {
				r.BulkString(name)
				r.Int(0)
			}
		}
	}
}

func share(part, of int64) float64 { return float64(part) / float64(max(of, 1)) }

// mallocStats lists what Go's runtime has taken from the system, by class.
func mallocStats() string {
	var samples []metrics.Sample
	for _, d := range metrics.All() {
		if strings.HasPrefix(d.Name, "/memory/classes/") && d.Kind == metrics.KindUint64 {
			samples = append(samples, metrics.Sample{Name: d.Name})
		}
	}
	metrics.Read(samples)
	var b strings.Builder
	for _, s := range samples {
		fmt.Fprintf(&b, "%s %d\n", s.Name, s.Value.Uint64())
	}
	return b.String()
}

// goMemory returns the bytes of live objects and those that the process has
// taken from the system and not given back.
func goMemory() (used, mapped int64) {
	samples := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(samples)
	return int64(samples[0].Value.Uint64()), int64(samples[1].Value.Uint64() - samples[2].Value.Uint64())
}
