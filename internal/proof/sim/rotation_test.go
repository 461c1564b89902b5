package sim

import (
	"testing"
	"time"
)

// The authority is replaced under load while nodes are away, cut off, lose their
// power and come back: at no moment two members show each other what the other
// does not trust, nobody is left behind, and in the end nobody trusts the old one.

func TestAuthorityIsReplacedUnderFaults(t *testing.T) {
	for i, trouble := range []struct {
		name   string
		before func(c keeper)
		during func(c keeper, step int) // every half a second
		after  func(c keeper)
	}{
		{"a node is away", func(c keeper) { c.Crash(3) }, nil, func(c keeper) {
			if l := c.list(); len(l.Authorities) != 2 || l.Authorities[1].State != "prepared" {
				c.t.Errorf("it has not waited for node 3: %+v", l)
			}
			c.Start(3)
		}},
		{"links break and power goes", nil, func(c keeper, step int) {
			at := step%3 + 1
			c.Net.Reset(c.Name(at), c.Name(at%3+1))
			c.Crash(at)
			c.Attend(300 * time.Millisecond)
			c.Start(at)
		}, nil},
		{"leaders are cut off", nil, func(c keeper, step int) {
			c.Heal()
			if step%2 == 0 {
				registrar{c.operator}.alone(c.WaitLeader(step / 2 % 2))
			}
		}, nil},
		{"a node dies and is removed", func(c keeper) {
			c.Place(0, 1, 2, 4)
			c.Place(1, 1, 2, 4)
			c.WaitPlaced(0, 1, 2, 4)
			c.WaitPlaced(1, 1, 2, 4)
			c.do("die 3")
		}, nil, func(c keeper) {
			if l := c.list(); len(l.Authorities) != 2 {
				c.t.Errorf("it has not waited for node 3: %+v", l)
			}
			c.Remove(3)
		}},
	} {
		t.Run(trouble.name, func(t *testing.T) {
			bubbleLoad(t, Options{Seed: 330 + uint64(i), Nodes: 4, Secured: true}, LoadOptions{Timeout: 3 * time.Second, Think: 100 * time.Millisecond}, func(all *Cluster) {
				c := newKeeper(all)
				c.WaitLeader(0)
				if trouble.before != nil {
					trouble.before(c)
				}
				old := c.identities()
				c.do("rotate")
				c.wait()
				for step := range 8 {
					if trouble.during != nil {
						trouble.during(c, step)
					}
					for end := time.Now().Add(500 * time.Millisecond); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
						if text := c.strangers(); text != "" {
							t.Fatal(stamp(), text)
						}
					}
				}
				if trouble.after != nil {
					trouble.after(c)
				}
				c.Recover()
				c.waitTurned()
				if l := c.list(); l.Generation != 3 {
					t.Errorf("%+v", l)
				}
				for i, id := range c.identities() {
					if id.Accepts(old[i]) == nil {
						t.Errorf("node %d trusts the old authority", i)
					}
				}
				for i := range c.machines { // links made anew stand, whoever begins
					for j := range i {
						c.Net.Reset(c.Name(i+1), c.Name(j+1))
					}
				}
			})
		})
	}
}

// The power of a node goes at every change that it makes to the disk while its
// certificates are replaced: it comes back with the old ones or the new ones, and
// has told nobody of what it lost.
func TestRotationSurvivesPowerCuts(t *testing.T) {
	bubble(t, Options{Seed: 338, Secured: true}, func(t *testing.T, all *Cluster) {
		c := newKeeper(all)
		for change := 1; change <= 45; change += 4 {
			at := change/4%3 + 1
			c.WaitLeader(0)
			c.CrashAtChange(at, change, ".pem")
			c.do("rotate")
			c.wait()
			c.await("a moment", func() (bool, string) { return c.Gone(at) || len(c.list().Authorities) == 1, "" })
			if c.Up(at) {
				c.Crash(at)
			}
			if text := c.strangers(); text != "" {
				t.Fatalf("%s power cut of node %d at change %d: %s", stamp(), at, change, text)
			}
			c.Start(at)
			c.waitTurned()
		}
	})
}
