package peer

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestTrips(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		name          string
		took          []time.Duration // one a second
		later         time.Duration   // that passes then
		recent, worst time.Duration
		ok            bool
	}{
		{"none", nil, 0, 0, 0, false},
		{"few", []time.Duration{1, 1}, 0, 0, 0, false},
		{"one pause does not count", []time.Duration{ms, 400 * ms, ms, 2 * ms}, 0, ms, ms, true},
		{"slow now", []time.Duration{ms, 90 * ms, 100 * ms, 95 * ms}, 0, 90 * ms, 90 * ms, true},
		{"slow a while ago", []time.Duration{90 * ms, 90 * ms, 95 * ms, ms, ms, ms}, 0, ms, 90 * ms, true},
		{"old", []time.Duration{ms, ms, ms}, tripFresh + 1, 0, 0, false},
	} {
		var tr trips
		now := time.Minute
		for _, took := range c.took {
			now += time.Second
			tr.note(now, took)
		}
		if recent, worst, ok := tr.lengths(now + c.later); recent != c.recent || worst != c.worst || ok != c.ok {
			t.Errorf("%s: %v %v %v", c.name, recent, worst, ok)
		}
	}
	var tr trips // is bounded, and forgets
	for i := range 10 * tripsMax {
		tr.note(time.Duration(i)*ms, time.Second)
	}
	if len(tr.list) != tripsMax {
		t.Errorf("%d are kept", len(tr.list))
	}
	for i := range tripsFew {
		tr.note(tripsFor+time.Minute+time.Duration(i), ms)
	}
	if recent, worst, _ := tr.lengths(tripsFor + time.Minute + 3); recent != ms || worst != ms {
		t.Errorf("after half a minute: %v %v", recent, worst)
	}
}

// The links measure by the answers about clocks.
func TestTripIsMeasured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := pair(t)
		time.Sleep(5 * pingEvery)
		synctest.Wait()
		if _, _, ok := Trip(a.links, 2); !ok {
			t.Error("the way to node 2 is not known")
		}
		if _, _, ok := Trip(a.links, 7); ok {
			t.Error("the way to a node without a link is known")
		}
		a.links.Close()
		b.links.Close()
	})
}
