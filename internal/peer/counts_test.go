package peer

import (
	"testing"
	"testing/synctest"
	"time"

	"tutti/internal/cluster"
)

func TestClockAhead(t *testing.T) {
	const hour = time.Hour
	c := &clocks{}
	if _, ok := c.ahead(2, 0, 0); ok {
		t.Error("a clock that was never heard is known")
	}
	c.sample(2, bounds{low: hour, high: unbounded, at: 0}) // a ping: from below only
	if _, ok := c.ahead(2, 0, 0); ok {
		t.Error("a clock that never answered is known")
	}
	// This node's wall clock shows 100 s at 10 s of its monotonic clock; the
	// peer's is between 3 and 5 s ahead of that.
	c.known = map[cluster.NodeID]bounds{2: {low: 93 * time.Second, high: 95 * time.Second, at: 10 * time.Second}}
	if d, ok := c.ahead(2, 10*time.Second, 100*time.Second); !ok || d != 4*time.Second {
		t.Errorf("ahead by %v, %v", d, ok)
	}
}

func TestCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, a, b := pair(t)
		before := CountLinks(a.links)[0]
		if before.Node != 2 || !before.Up || before.Connected != 2 || before.Sent == 0 || !before.AheadKnown || (before.Ahead-time.Second).Abs() > time.Millisecond {
			t.Errorf("after the beginning: %+v", before)
		}
		a.links.Send(2, Bulk, 20, text("frame"))
		b.want(t, "1: 20 frame")
		b.links.Send(1, Bulk, 20, text("frame"))
		a.want(t, "2: 20 frame")
		synctest.Wait()
		c := CountLinks(a.links)[0]
		if want := uint64(headBytes + len("frame")); c.Sent != before.Sent+want || c.Received != before.Received+want {
			t.Errorf("a frame of %d bytes each way: %+v became %+v", want, before, c)
		}
		n.mu.Lock()
		n.down[2] = true
		n.mu.Unlock()
		n.cut()
		synctest.Wait()
		before = CountLinks(a.links)[0]
		a.links.Send(2, Bulk, 20, text("lost"))
		if c := CountLinks(a.links)[0]; c.Up || c.LostWhileDown != before.LostWhileDown+1 || c.LostByFull != 0 {
			t.Errorf("while the peer is down: %+v became %+v", before, c)
		}
		a.links.Close()
		b.links.Close()
	})
}
