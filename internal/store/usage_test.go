package store

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

func TestFsyncsWithin(t *testing.T) {
	if d, n := (Usage{}).FsyncsWithin(0.99); d != 0 || n != 0 {
		t.Errorf("without a log: %v, %d", d, n)
	}
	h := prometheus.NewHistogram(prometheus.HistogramOpts{Buckets: []float64{float64(time.Millisecond), float64(time.Second)}})
	for range 99 {
		h.Observe(float64(time.Microsecond))
	}
	h.Observe(float64(time.Minute))
	u := Usage{Fsyncs: h}
	for part, want := range map[float64]time.Duration{0.5: time.Millisecond, 0.99: time.Millisecond, 0.999: 0} {
		if d, n := u.FsyncsWithin(part); d != want || n != 100 {
			t.Errorf("%v within %v, of %d", part, d, n)
		}
	}
}
