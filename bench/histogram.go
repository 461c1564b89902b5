package main

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

const (
	// latencyMax is the longest that is told from what is longer.
	latencyMax = time.Hour
	// latencyDigits are the decimal digits that are kept: a value is at most 1 %
	// off.
	latencyDigits = 2
)

// histogram counts durations. The zero value is empty.
type histogram struct{ counts *hdrhistogram.Histogram }

func (h *histogram) add(d time.Duration) { h.addN(d, 1) }

// addN counts n operations that took the same time (those of one pipeline).
func (h *histogram) addN(d time.Duration, n int) {
	d = min(max(d, 1), latencyMax)
	_ = h.made().RecordValues(int64(d), int64(n)) // fails only beyond latencyMax
}

// merge adds what other counted.
func (h *histogram) merge(other *histogram) { h.made().Merge(other.made()) }

// quantile returns the q-quantile; 0 of none.
func (h *histogram) quantile(q float64) time.Duration {
	return time.Duration(h.made().ValueAtQuantile(100 * q))
}

func (h *histogram) made() *hdrhistogram.Histogram {
	if h.counts == nil {
		h.counts = hdrhistogram.New(1, int64(latencyMax), latencyDigits)
	}
	return h.counts
}
