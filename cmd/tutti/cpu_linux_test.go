package main

import (
	"testing"
	"time"
)

func TestBusyTime(t *testing.T) {
	for stat, want := range map[string]time.Duration{
		"cpu  100 20 30 9000 8000 1 2 3 50 0\ncpu0 1 2 3\n": 1560 * time.Millisecond,
		"cpu 100 0 0 5\n": time.Second, // of an old kernel
		"cpu  x\n":        0,
		"intr 5\n":        0,
		"":                0,
	} {
		if got := parseBusy(stat); got != want {
			t.Errorf("%q: %v, want %v", stat, got, want)
		}
	}
	if busyTime() == 0 {
		t.Error("this machine has never worked")
	}
}
