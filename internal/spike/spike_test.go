package spike_test

import (
	"fmt"
	"testing"
	"time"

	"tutti/internal/spike"
)

// Of each second the longest is kept, of the newest seconds, by event.
func TestLog(t *testing.T) {
	now := int64(0)
	l := spike.New(func() int64 { return now })
	l.Note(spike.Command, time.Hour)
	if list := l.All(); len(list) != 0 {
		t.Errorf("kept without a threshold: %v", list)
	}
	l.Keep(10)
	l.Note(spike.Command, 10*time.Millisecond-1)
	for i := range int64(spike.SamplesMax + 10) {
		now = i * 1000
		l.Note(spike.Command, time.Duration(20+i)*time.Millisecond)
		l.Note(spike.Command, 10*time.Millisecond)
	}
	l.Note(spike.Fsync, 50*time.Millisecond)
	list := l.All()
	h := list[spike.Command]
	if len(list) != 2 || len(h.Samples) != spike.SamplesMax || h.Samples[0] != (spike.Sample{At: 10, Took: 30}) || h.Worst != 20+spike.SamplesMax+9 {
		t.Errorf("kept %d events, %d samples from %v, worst %d", len(list), len(h.Samples), h.Samples[0], h.Worst)
	}
	if got := fmt.Sprint(list[spike.Fsync]); got != "{[{169 50}] 50}" {
		t.Errorf("fsync: %s", got)
	}
	if n := l.Reset("COMMAND", "other"); n != 1 || len(l.All()) != 1 {
		t.Errorf("reset of one: %d", n)
	}
	if n := l.Reset(); n != 1 || len(l.All()) != 0 {
		t.Errorf("reset of all: %d", n)
	}
	var none *spike.Log
	none.Note(spike.Loop, time.Hour) // notes nothing
}
