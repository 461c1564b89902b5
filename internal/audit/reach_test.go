package audit

import (
	"slices"
	"testing"
	"time"

	"tutti/internal/cluster"
)

func TestReach(t *testing.T) {
	const ms = time.Millisecond
	voters := []cluster.NodeID{1, 2, 3} // 1 leads
	for _, c := range []struct {
		name   string
		own    func(look int) time.Duration
		others [2]time.Duration // of 2 and 3; 0: not told
		after  int              // looks until it leaves; 0: never
		to     []cluster.NodeID
	}{
		{"near", func(int) time.Duration { return 15 * ms }, [2]time.Duration{ms, ms}, 0, nil},
		{"far, the others are near", func(int) time.Duration { return 100 * ms }, [2]time.Duration{2 * ms, ms}, 11, []cluster.NodeID{3, 2}},
		{"far, one is near", func(int) time.Duration { return 100 * ms }, [2]time.Duration{90 * ms, ms}, 11, []cluster.NodeID{3}},
		{"all far", func(int) time.Duration { return 100 * ms }, [2]time.Duration{60 * ms, 30 * ms}, 0, nil},
		{"nobody tells", func(int) time.Duration { return 100 * ms }, [2]time.Duration{}, 0, nil},
		{"far now and then", func(look int) time.Duration { return time.Duration(100*(look%3)) * ms }, [2]time.Duration{ms, ms}, 0, nil},
		{"far later", func(look int) time.Duration { return time.Duration(look/20*100) * ms }, [2]time.Duration{ms, ms}, 22, []cluster.NodeID{2, 3}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var h Reach
			h.Begin(1000)
			for look := 1; look <= 40; look++ {
				tick := uint64(1000 + look*ReachEvery)
				for i, way := range c.others {
					if way > 0 {
						h.Told(voters[1+i], way, tick-5)
					}
				}
				ask, to := h.Look(c.own(look), voters, tick)
				if ask != (c.own(look) >= longWay) {
					t.Errorf("look %d: asks %v", look, ask)
				}
				if to != nil {
					if look != c.after || !slices.Equal(to, c.to) {
						t.Errorf("left at look %d to %v, want %d to %v", look, to, c.after, c.to)
					}
					return
				}
			}
			if c.after != 0 {
				t.Error("did not leave")
			}
		})
	}
}

// What was told long ago says nothing, and after an attempt a leader stays for as
// long as a new one.
func TestReachForgets(t *testing.T) {
	var h Reach
	h.Begin(0)
	h.Told(2, time.Millisecond, 1000)
	for look := range 20 {
		if _, to := h.Look(time.Second, []cluster.NodeID{2}, 1000+toldTicks+1+uint64(look)); to != nil {
			t.Fatal("left for one that has been silent since")
		}
	}
	left := 0
	for tick := uint64(2000); tick < 2000+10*ReachStay; tick += ReachEvery {
		h.Told(2, time.Millisecond, tick)
		if _, to := h.Look(time.Second, []cluster.NodeID{2}, tick); to != nil {
			left++
		}
	}
	if left < 8 || left > 11 {
		t.Errorf("left %d times", left)
	}
}

func TestToMajority(t *testing.T) {
	ways := func(n ...time.Duration) []time.Duration { return n }
	for _, c := range []struct {
		ways   []time.Duration
		voters int
		want   time.Duration
		ok     bool
	}{
		{ways(), 1, 0, true}, {ways(9), 2, 9, true}, {ways(9, 5), 3, 5, true}, {ways(5), 3, 5, true}, {ways(), 3, 0, false},
		{ways(9, 7, 3, 1), 5, 3, true}, {ways(9, 7), 5, 9, true}, {ways(9), 5, 0, false},
	} {
		if got, ok := ToMajority(c.ways, c.voters); got != c.want || ok != c.ok {
			t.Errorf("%v of %d voters: %v %v", c.ways, c.voters, got, ok)
		}
	}
}
