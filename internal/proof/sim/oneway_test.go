package sim

import (
	"fmt"
	"testing"
	"time"
)

// Faults 18 and 19: a leader that the others can't reach, or that can't reach
// them, is replaced within a second, once, and its return disturbs nobody.
func TestLeaderCutOffOneWayIsReplaced(t *testing.T) {
	tests := []struct {
		name string
		cut  func(c *Cluster, leader, other string)
	}{
		{"deaf", func(c *Cluster, leader, other string) { c.CutOne(other, leader) }},
		{"mute", func(c *Cluster, leader, other string) { c.CutOne(leader, other) }},
	}
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, Options{Seed: 200 + uint64(i)}, func(t *testing.T, c *Cluster) {
				for round := range 8 {
					lead := c.WaitLeader(1)
					time.Sleep(time.Second + time.Duration(c.Rand.IntN(500))*time.Millisecond)
					before := term(t, c, lead)
					for o := 1; o <= 3; o++ {
						if o != lead {
							tt.cut(c, c.Name(lead), c.Name(o))
						}
					}
					// A write through another node is answered by the next leader only.
					other := lead%3 + 1
					k := c.Client("").At(other)
					k.Timeout = 10 * time.Second
					began := time.Now()
					k.Must("SET", "k", fmt.Sprint(round))
					took := time.Since(began)
					k.Close()
					t.Logf("round %d: a write took %v", round, took)
					if took > time.Second {
						t.Errorf("round %d: a write took %v", round, took)
					}
					time.Sleep(3 * time.Second)
					c.Heal()
					time.Sleep(2 * time.Second)
					// Both followers may ask for votes at once, twice even.
					if after := term(t, c, other); after < before+1 || after > before+3 {
						t.Errorf("round %d: the term went from %d to %d", round, before, after)
					}
				}
			})
		})
	}
}
