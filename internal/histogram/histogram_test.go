package histogram_test

import (
	"testing"
	"time"

	"tutti/internal/histogram"
)

func TestBounds(t *testing.T) {
	for _, c := range []struct {
		took time.Duration
		in   time.Duration // the bound of its bucket; 0: beyond all
	}{
		{-time.Second, 64 * time.Microsecond},
		{0, 64 * time.Microsecond},
		{64 * time.Microsecond, 64 * time.Microsecond},
		{64*time.Microsecond + 1, 128 * time.Microsecond},
		{time.Millisecond, 1024 * time.Microsecond},
		{8 * time.Second, 8388608 * time.Microsecond},
		{8388608*time.Microsecond + 1, 0},
		{time.Hour, 0},
	} {
		var h histogram.Histogram
		h.Add(c.took, 3)
		s := h.Snapshot()
		if s.Count != 3 || s.Sum != 3*max(c.took, 0) {
			t.Errorf("%v: count %d, sum %v", c.took, s.Count, s.Sum)
		}
		for _, b := range s.AtMost {
			if in := c.in != 0 && b.Bound >= c.in; in != (b.Count == 3) {
				t.Errorf("%v: %d took at most %v", c.took, b.Count, b.Bound)
			}
		}
		h.Reset()
		if s := h.Snapshot(); s.Count != 0 || s.Sum != 0 {
			t.Errorf("after a reset: %+v", s)
		}
	}
}

func TestNothingToAdd(t *testing.T) {
	var h histogram.Histogram
	h.Add(time.Second, 0)
	if s := h.Snapshot(); s.Count != 0 || s.Sum != 0 {
		t.Errorf("%+v", s)
	}
}

func BenchmarkAdd(b *testing.B) {
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		var h histogram.Histogram
		for d := time.Duration(0); pb.Next(); d += time.Microsecond {
			h.Add(d, 1)
		}
	})
}
