package main

import (
	"testing"
	"time"
)

func TestHistogram(t *testing.T) {
	var all histogram
	if got := all.quantile(0.99); got != 0 {
		t.Errorf("of nothing: %v", got)
	}
	for i := range 2 { // two clients, the odd and the even
		var own histogram
		for v := 1 + i; v <= 1000; v += 2 {
			own.addN(time.Duration(v)*time.Millisecond, 3)
		}
		all.merge(&own)
	}
	all.add(2 * latencyMax)
	for _, tt := range []struct {
		q    float64
		want time.Duration
	}{{0.01, 10 * time.Millisecond}, {0.5, 500 * time.Millisecond}, {0.99, 990 * time.Millisecond}, {1, latencyMax}} {
		if got := all.quantile(tt.q); max(got-tt.want, tt.want-got) > tt.want/100 {
			t.Errorf("quantile %v is %v, want %v or 1 %% off", tt.q, got, tt.want)
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
