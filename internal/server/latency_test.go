package server

import (
	"fmt"
	"testing"
	"time"

	"tutti/internal/histogram"
)

func TestWithin(t *testing.T) {
	t.Parallel()
	var h histogram.Histogram
	h.Add(10*time.Microsecond, 90)
	h.Add(time.Millisecond, 9)
	h.Add(time.Hour, 1)
	s := h.Snapshot()
	for p, want := range map[string]time.Duration{"0": 64, "50": 64, "90": 64, "99": 1024, "99.9": 16777216, "100": 16777216} {
		if got := within(s, p); got != want*time.Microsecond {
			t.Errorf("%s of a hundred within %v, want %d us", p, got, want)
		}
	}
	if got := fmt.Sprint(filled(s)); got != "[{64\u00b5s 90} {1.024ms 99} {16.777216s 100}]" {
		t.Errorf("buckets are %s", got)
	}
}
