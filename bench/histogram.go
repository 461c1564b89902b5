package main

import (
	"math"
	"math/bits"
	"time"
)

const (
	subBits    = 6 // 64 steps per power of two: 1.6 % resolution
	bucketsMax = (64 - subBits) << subBits
)

// histogram counts durations in buckets whose width grows with the value, so
// adding costs a few instructions and the load generator stays cheap.
type histogram struct {
	count   uint64
	longest time.Duration
	buckets [bucketsMax]uint32
}

func (h *histogram) add(d time.Duration) { h.addN(d, 1) }

// addN counts n operations that took the same time (those of one pipeline).
func (h *histogram) addN(d time.Duration, n int) {
	h.count += uint64(n)
	h.longest = max(h.longest, d)
	h.buckets[bucketOf(uint64(max(d, 0)))] += uint32(n)
}

// merge adds what other counted.
func (h *histogram) merge(other *histogram) {
	h.count += other.count
	h.longest = max(h.longest, other.longest)
	for i, n := range other.buckets {
		h.buckets[i] += n
	}
}

// quantile returns the upper end of the bucket that holds the q-quantile.
func (h *histogram) quantile(q float64) time.Duration {
	rank := uint64(math.Ceil(q * float64(h.count)))
	var seen uint64
	for i, n := range h.buckets {
		if seen += uint64(n); n > 0 && seen >= rank {
			return min(time.Duration(bucketEnd(i)), h.longest)
		}
	}
	return h.longest
}

func bucketOf(v uint64) int {
	shift := max(0, bits.Len64(v)-subBits-1)
	return shift<<subBits + int(v>>shift)
}

func bucketEnd(i int) uint64 {
	if i < 2<<subBits {
		return uint64(i)
	}
	shift := i>>subBits - 1
	return (uint64(i-shift<<subBits)+1)<<shift - 1
}
