package main

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// How often the collector of garbage runs.
const (
	// collectPercent is the garbage for each byte that is in use: most of the heap are
	// short-lived buffers of batches.
	collectPercent = 200
	// collectAllowance is the garbage that may be in any case. What may be beside it goes
	// by the bytes in use in which there can be pointers: those cost the collector time.
	// What has none costs it nothing, but takes memory three times over if garbage is
	// allowed for it: memtables and blocks of tables, which are most of what a node that
	// has worked for a while holds.
	collectAllowance  = 64 << 20
	collectPercentMin = 25
)

// collector sets how often the collector of garbage runs, after each time it has run.
type collector struct {
	live, scanned metrics.Sample
	percent       int
}

// tuneCollector has garbage collected in a way that suits nodes, until the process ends.
func tuneCollector() {
	c := &collector{live: metrics.Sample{Name: "/gc/heap/live:bytes"}, scanned: metrics.Sample{Name: "/gc/scan/heap:bytes"}, percent: collectPercent}
	debug.SetGCPercent(c.percent)
	c.again()
}

// again has adjust called when the collector has run, by the runtime's goroutine for
// finalizers.
func (c *collector) again() {
	type mark struct{ _ *collector } // with a pointer: it is an allocation of its own
	runtime.SetFinalizer(&mark{c}, func(*mark) {
		c.adjust()
		c.again()
	})
}

func (c *collector) adjust() {
	samples := [...]metrics.Sample{c.live, c.scanned}
	metrics.Read(samples[:])
	if samples[0].Value.Kind() != metrics.KindUint64 || samples[1].Value.Kind() != metrics.KindUint64 {
		return // another version of Go
	}
	// Setting it stops the process for a moment.
	if p := collectEvery(samples[0].Value.Uint64(), samples[1].Value.Uint64()); 10*max(p-c.percent, c.percent-p) > c.percent {
		debug.SetGCPercent(p)
		c.percent = p
	}
}

// collectEvery is the percentage for so many bytes in use, and those of them in which
// there can be pointers.
func collectEvery(live, scanned uint64) int {
	allowed := collectAllowance + collectPercent*min(scanned, live)/100
	return max(collectPercentMin, int(min(100*allowed/max(live, 1), collectPercent)))
}
