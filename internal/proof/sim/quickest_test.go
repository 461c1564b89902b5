package sim

import (
	"testing"
	"time"
)

// A leader asks in its rounds of reads who was quickest before. Who reads does not notice
// that this one is cut off without a word, stands still, or is killed: the others are
// asked soon.
func TestReadsGoOnWithoutTheQuickest(t *testing.T) {
	bubble(t, Options{Seed: 491}, func(t *testing.T, c *Cluster) {
		lead := c.WaitLeader(1)
		k := c.Client("").At(lead)
		k.Must("SET", "a", "v")
		usual := reads(t, k, time.Second)
		for f := 1; f <= c.Nodes(); f++ {
			if f == lead {
				continue
			}
			for what, stop := range []func(){
				func() { c.Cut(c.Name(lead), c.Name(f)) }, func() { c.Pause(f) }, func() { c.Kill(f) },
			} {
				stop()
				most := reads(t, k, 3*time.Second)
				if most > usual+20*time.Millisecond {
					t.Errorf("%s without node %d (%d) a read takes %v, %v before", stamp(), f, what, most, usual)
				}
				c.Recover()
				reads(t, k, time.Second)
			}
		}
	})
}
