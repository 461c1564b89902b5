package sim

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"
)

// Both ends of a connection are gone while each has something on its way: each
// answers the other that it knows of no connection, and that is all.
func TestEndsThatAreGoneAnswerOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := NewNetwork(rand.New(rand.NewPCG(1, 1)))
		n.mu.Lock()
		near, far := n.pair("c1", "n2")
		for range 3 { // all of it arrives now
			near.out.wait = append(near.out.wait, segment{data: []byte("to"), at: time.Now()})
			far.out.wait = append(far.out.wait, segment{data: []byte("fro"), at: time.Now()})
		}
		near.closed, far.closed = true, true
		near.out.pump()
		n.mu.Unlock()
		time.Sleep(time.Minute)
		n.mu.Lock()
		if left := len(near.out.wait) + len(far.out.wait); left > 0 {
			t.Errorf("%d segments are under way", left)
		}
		n.mu.Unlock()
	})
}
