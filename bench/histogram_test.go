package main

import (
	"slices"
	"testing"
	"time"
)

func TestHistogramQuantileIsWithinOneBucket(t *testing.T) {
	var h histogram
	var values []time.Duration
	for v := time.Duration(1); v < 20*time.Second; v += v/50 + 1 {
		h.add(v)
		values = append(values, v)
	}
	slices.Sort(values)
	for _, q := range []float64{0.01, 0.5, 0.9, 0.99, 1} {
		want := values[min(len(values)-1, int(q*float64(len(values))))]
		got := h.quantile(q)
		if diff := float64(got-want) / float64(want); diff < -0.05 || diff > 0.05 {
			t.Errorf("quantile(%v) = %v, want about %v", q, got, want)
		}
	}
}

func TestHistogramBucketsCoverEveryValue(t *testing.T) {
	for _, v := range []uint64{0, 1, 63, 64, 127, 128, 129, 1 << 20, 1<<62 + 12345} {
		i := bucketOf(v)
		if v > bucketEnd(i) || (i > 0 && v <= bucketEnd(i-1)) {
			t.Errorf("value %d is in bucket %d (%d, %d]", v, i, bucketEnd(i-1), bucketEnd(i))
		}
	}
}

func TestMedian(t *testing.T) {
	for _, test := range []struct {
		in   []float64
		want float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{9, 1, 2}, 2}, {[]float64{4, 1, 2, 3}, 2.5}} {
		if got := median(test.in); got != test.want {
			t.Errorf("median(%v) = %v, want %v", test.in, got, test.want)
		}
	}
}
