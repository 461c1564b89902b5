package peer

import (
	"sync"
	"time"

	"tutti/internal/cluster"
)

// How long the way to a peer and back is, by the answers about its clock. One
// answer says little: either process may have been paused, or the machine busy.
// So the shortest of the last few counts; and since links that are slow now and
// then are worse than they look, the longest that this was within half a minute
// is known as well.

// trips is the ways to one peer and back of the last half minute.
type trips struct {
	mu   sync.Mutex // guards list
	list []trip     // oldest first, at most tripsMax
}

type trip struct{ at, took time.Duration }

const (
	tripsMax = 64
	// tripsFew are the newest ones of which the shortest counts.
	tripsFew = 3
	// tripsFor is how long one is remembered, tripFresh how old the newest may be.
	tripsFor  = 30 * time.Second
	tripFresh = 5 * time.Second
)

func (t *trips) note(now, took time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.list) > 0 && (len(t.list) >= tripsMax || now-t.list[0].at > tripsFor) {
		t.list = t.list[1:]
	}
	t.list = append(t.list, trip{now, took})
}

// lengths returns how long the way is now, and the longest that was within half a
// minute; ok is false without a fresh answer.
func (t *trips) lengths(now time.Duration) (recent, worst time.Duration, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := len(t.list)
	if n < tripsFew || now-t.list[n-1].at > tripFresh {
		return 0, 0, false
	}
	for i := tripsFew; i <= n; i++ {
		recent = t.list[i-1].took
		for _, x := range t.list[i-tripsFew : i] {
			recent = min(recent, x.took)
		}
		worst = max(worst, recent)
	}
	return recent, worst, true
}

// Trip returns how long the way from here to a peer and back is now, and the
// longest that it was within half a minute. ok is false if nobody knows, because
// the peer has not answered lately or seldom.
func Trip(l *Links, node cluster.NodeID) (recent, worst time.Duration, ok bool) {
	k := l.link(node)
	if k == nil {
		return 0, 0, false
	}
	return k.trips.lengths(l.cfg.Mono())
}
