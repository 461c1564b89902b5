// Package histogram counts durations in buckets that many goroutines add to
// without a lock: one atomic addition, and one for the sum.
package histogram

import (
	"math/bits"
	"sync/atomic"
	"time"
)

const (
	// first is the upper bound of the first bucket; each of the others has twice
	// the bound of the one before, the last has none.
	first   = 64 * time.Microsecond
	buckets = 19
)

// Histogram is a histogram of durations from 64 µs to 8.4 s. The zero value is
// empty. It is safe for concurrent use.
type Histogram struct {
	counts [buckets]atomic.Uint64
	sum    atomic.Int64 // nanoseconds
}

// Add counts n events that took d each.
func (h *Histogram) Add(d time.Duration, n int) {
	if n <= 0 {
		return
	}
	d = max(d, 0)
	at := min(bits.Len64(uint64(max(d-1, 0)/first)), buckets-1)
	h.counts[at].Add(uint64(n))
	h.sum.Add(int64(d) * int64(n))
}

// Reset forgets all events. One that is added meanwhile may be forgotten in part.
func (h *Histogram) Reset() {
	for i := range h.counts {
		h.counts[i].Store(0)
	}
	h.sum.Store(0)
}

// Snapshot is what a histogram held at one time.
type Snapshot struct {
	Count uint64
	Sum   time.Duration
	// AtMost has, for each bound, how many events took at most that long.
	AtMost []Bucket
}

// Bucket is how many events took at most Bound.
type Bucket struct {
	Bound time.Duration
	Count uint64
}

// Snapshot returns what has been counted. Events that are added meanwhile may be
// in the sum and not in the count, or the other way round.
func (h *Histogram) Snapshot() Snapshot {
	s := Snapshot{AtMost: make([]Bucket, 0, buckets-1)}
	for i := range h.counts {
		s.Count += h.counts[i].Load()
		if i < buckets-1 {
			s.AtMost = append(s.AtMost, Bucket{first << i, s.Count})
		}
	}
	s.Sum = time.Duration(h.sum.Load())
	return s
}
