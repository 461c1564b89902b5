package sim

import (
	"strings"
	"testing"
	"time"

	"tutti/internal/node"
)

// truthWithin is how long after an event every node that is asked must tell it.
const truthWithin = 2 * time.Second

// told asks all nodes that run and are not paused until all of them say what is
// wanted, and fails after truthWithin.
func told(t *testing.T, c *Cluster, event string, except int, wanted func(s node.Status) bool) {
	t.Helper()
	began := time.Now()
	for {
		var all []string
		ok := true
		for i := 1; i <= c.Nodes(); i++ {
			if i == except {
				continue
			}
			s, err := Verdict(c, i)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, s.Verdict)
			ok = ok && wanted(s)
		}
		if ok {
			t.Logf("%s: told after %v: %s", event, time.Since(began), all[0])
			return
		}
		if time.Since(began) > truthWithin {
			t.Fatalf("%s: after %v the nodes say %q", event, time.Since(began), all)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func healthy(s node.Status) bool {
	return s.Safety.Safety == node.Healthy && s.Safety.NodeLosses == 1 && strings.HasPrefix(s.Verdict, "Healthy. Survives the loss of any 1 of 3 nodes.")
}

// missing returns what is to be told of a cluster of which node i is silent.
func missing(i int) func(s node.Status) bool {
	return func(s node.Status) bool {
		return s.Safety.Safety == node.Degraded && s.Safety.NodeLosses == 0 && !s.Nodes[i-1].Up && len(s.Safety.Problems) == 1
	}
}

// A node that is stopped or dead, leader or not, is told by whoever is asked
// within two seconds; so is that it is back.
func TestStatusTellsTheTruthWithinTwoSeconds(t *testing.T) {
	for _, way := range []struct {
		name      string
		end, mend func(c *Cluster, i int)
	}{
		{"frozen", (*Cluster).Pause, (*Cluster).Resume},
		{"killed", (*Cluster).Kill, (*Cluster).Start},
		{"without power", cut, (*Cluster).Start},
		{"cut off", func(c *Cluster, i int) { c.Split([]string{c.Name(i)}, names(c, i)) }, func(c *Cluster, _ int) { c.Heal() }},
	} {
		for _, who := range []string{"leader", "follower"} {
			t.Run(way.name+" "+who, func(t *testing.T) {
				bubble(t, Options{Seed: 301}, func(t *testing.T, c *Cluster) {
					i := c.WaitLeader(1)
					if who == "follower" {
						i = i%3 + 1
					}
					told(t, c, "begun", 0, healthy)
					way.end(c, i)
					told(t, c, way.name, i, missing(i))
					time.Sleep(6 * time.Second)
					told(t, c, "6 s later", i, func(s node.Status) bool {
						return missing(i)(s) && s.Nodes[i-1].SilentMS > 5000 && strings.Contains(s.Verdict, "The loss of one more node may stop the cluster")
					})
					if way.name == "cut off" {
						s, err := Verdict(c, i)
						if err != nil || s.Safety.Safety != node.Unavailable || !strings.HasPrefix(s.Verdict, "No majority: ") || s.Safety.NodeLosses != -1 {
							t.Errorf("the node that is cut off says %q, %v", s.Verdict, err)
						}
					}
					way.mend(c, i)
					time.Sleep(3 * time.Second) // it dials again after a pause, and may take part in an election
					told(t, c, "back", 0, healthy)
				})
			})
		}
	}
}

// names lists the hosts of all nodes but one.
func names(c *Cluster, except int) (list []string) {
	for i := 1; i <= c.Nodes(); i++ {
		if i != except {
			list = append(list, c.Name(i))
		}
	}
	return list
}
