package main

import "testing"

// Ratios are of slices that lie next to each other, so a machine that becomes slower in the
// middle changes none of them.
func TestPairedRatios(t *testing.T) {
	var samples [2][]sample
	for i, speed := range []float64{100, 100, 50, 50, 25} {
		slow := float64(1 + i%2) // every second slice of the first system is half as fast
		samples[0] = append(samples[0], sample{OpsPerSec: 2 * speed / slow, ServerCPUUs: 3, P99Ms: 1})
		samples[1] = append(samples[1], sample{OpsPerSec: speed, ServerCPUUs: 6, P99Ms: 2, Errors: 1})
	}
	p := paired("set", samples)
	if p.Rate != [3]float64{1, 2, 2} || p.CPU != [3]float64{0.5, 0.5, 0.5} {
		t.Errorf("rate %v, CPU %v", p.Rate, p.CPU)
	}
	if p.OpsPerSec != [2]float64{100, 50} || p.P99Ms != [2]float64{1, 2} || p.Errors != [2]uint64{0, 5} {
		t.Errorf("%+v", p)
	}
	if r := ratios([2][]sample{{{OpsPerSec: 1}}, {{}}}, func(s sample) float64 { return s.OpsPerSec }); r != [3]float64{} {
		t.Errorf("ratios to nothing: %v", r)
	}
}
