package server

import (
	"fmt"
	"testing"
	"time"

	"tutti/internal/command"
	"tutti/internal/histogram"
)

// Of each second the longest is kept, of the newest seconds, by event.
func TestSpikes(t *testing.T) {
	var s spikes
	now := int64(0)
	wall := func() int64 { return now }
	slow, fast := &command.Command{Name: "keys"}, &command.Command{Name: "get", Flags: command.Fast}
	s.note(slow, time.Hour, wall)
	if list := s.all(); len(list) != 0 {
		t.Errorf("kept without a threshold: %v", list)
	}
	s.threshold.Store(10)
	s.note(slow, 9*time.Millisecond, wall)
	for i := range int64(spikesMax + 10) {
		now = i * 1000
		s.note(slow, time.Duration(20+i)*time.Millisecond, wall)
		s.note(slow, 10*time.Millisecond, wall)
	}
	s.note(fast, 50*time.Millisecond, wall)
	list := s.all()
	e := list[spikeCommand]
	if len(list) != 2 || len(e.samples) != spikesMax || e.samples[0] != (spike{10, 30}) || e.worst != 20+spikesMax+9 {
		t.Errorf("kept %d events, %d samples from %v, worst %d", len(list), len(e.samples), e.samples[0], e.worst)
	}
	if got := fmt.Sprint(list[spikeFast]); got != "{[{169 50}] 50}" {
		t.Errorf("fast: %s", got)
	}
	if n := s.reset([][]byte{[]byte("COMMAND"), []byte("other")}); n != 1 || len(s.all()) != 1 {
		t.Errorf("reset of one: %d", n)
	}
	if n := s.reset(nil); n != 1 || len(s.all()) != 0 {
		t.Errorf("reset of all: %d", n)
	}
}

func TestWithin(t *testing.T) {
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
