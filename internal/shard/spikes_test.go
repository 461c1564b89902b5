package shard

import (
	"testing"
	"testing/synctest"
	"time"

	"tutti/internal/spike"
)

// What a batch takes, and how long no leader is known, is noted.
func TestSpikesOfAShard(t *testing.T) {
	l := staged(7)
	log := spike.New(func() int64 { return 0 })
	log.Keep(1)
	l.r.host.cfg.Spikes = log
	l.committedTo(7) // each reading of this clock takes a millisecond
	l.durableTo(7)
	l.inflight.ended(l.r.host)
	e := elections{r: l.r}
	e.knows(true)
	e.knows(false)
	l.r.host.cfg.Clock.Mono()
	e.knows(false)
	e.knows(true)
	e.knows(true)
	list := log.All()
	if len(list) != 3 || list[spike.Commit].Worst != 1 || list[spike.Apply].Worst != 2 || list[spike.Election].Worst != 3 {
		t.Errorf("%v", list)
	}
}

// So is what keeps the loop.
func TestSpikesOfALoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newTestNode(t, 1)
		n.lead()
		n.spikes.Keep(100)
		n.call(func(*Replica) { time.Sleep(99 * time.Millisecond) })
		if list := n.spikes.All(); len(list) != 0 {
			t.Errorf("before: %v", list)
		}
		n.call(func(*Replica) { time.Sleep(120 * time.Millisecond) })
		n.call(func(*Replica) {}) // the turn has ended
		if list := n.spikes.All(); list[spike.Loop].Worst != 120 {
			t.Errorf("%v", list)
		}
		n.stop()
	})
}
