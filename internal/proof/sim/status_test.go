package sim

import (
	"fmt"
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

// Clients that ask for the shape of the cluster are sent to nodes that answer: one
// that is frozen leaves CLUSTER SLOTS, and is marked elsewhere, within two
// seconds, whoever is asked.
func TestClientsAreNotSentToSilentNodes(t *testing.T) {
	for _, who := range []string{"leader", "follower"} {
		t.Run(who, func(t *testing.T) {
			bubble(t, Options{Seed: 302}, func(t *testing.T, c *Cluster) {
				i := c.WaitLeader(1)
				if who == "follower" {
					i = i%3 + 1
				}
				k := c.Client("")
				defer k.Close()
				shapes(t, k, c, 0, 0)
				c.Pause(i)
				shapes(t, k, c, i, truthWithin)
				c.Resume(i)
				shapes(t, k, c, 0, truthWithin)
			})
		})
	}
}

// shapes waits until every node but the silent one, 0: none is, shows that.
func shapes(t *testing.T, k *Client, c *Cluster, silent int, within time.Duration) {
	t.Helper()
	began := time.Now()
	for {
		wrong := ""
		for i := 1; i <= c.Nodes(); i++ {
			if i == silent {
				continue
			}
			k.Close()
			k.At(i)
			if w := shape(k, c, i, silent); w != "" {
				wrong = w
			}
		}
		if wrong == "" {
			t.Logf("silent %d: told by all after %v", silent, time.Since(began))
			return
		}
		if time.Since(began) > within {
			t.Fatalf("silent %d: after %v %s", silent, time.Since(began), wrong)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// shape says what is wrong in what node i tells clients; empty: nothing.
func shape(k *Client, c *Cluster, i, silent int) string {
	want := 3
	if silent != 0 {
		want = 2
	}
	slots := k.Must("CLUSTER", "SLOTS").Elems
	if len(slots) != 1 || len(slots[0].Elems) != 2+want {
		return fmt.Sprintf("node %d: CLUSTER SLOTS %v", i, slots)
	}
	for _, n := range slots[0].Elems[2:] {
		if silent != 0 && string(n.Elems[0].Str) == c.Name(silent) {
			return fmt.Sprintf("node %d sends clients to node %d", i, silent)
		}
	}
	failed := 0
	for _, l := range strings.Split(strings.TrimSpace(Text(k.Must("CLUSTER", "NODES"))), "\n") {
		f := strings.Fields(l)
		if strings.Contains(f[2], "fail") {
			failed++
		}
	}
	down := 0
	for _, s := range k.Must("SENTINEL", "sentinels", "any").Elems {
		for _, f := range s.Elems {
			if string(f.Str) == "s_down,sentinel" {
				down++
			}
		}
	}
	info := Text(k.Must("INFO", "replication"))
	online := strings.Count(info, "state=online")
	state := Text(k.Must("CLUSTER", "INFO"))
	if failed != 3-want || down != 3-want || online != want-1 || !strings.Contains(info, "connected_slaves:2") || !strings.Contains(state, "cluster_state:ok") {
		return fmt.Sprintf("node %d: %d failed, %d down, %d online, %s%s", i, failed, down, online, info, state)
	}
	return ""
}

// A replica that answers and confirms nothing, because its disk hangs, counts for
// nothing either, however often its node is heard.
func TestStatusTellsOfDisksThatHang(t *testing.T) {
	bubble(t, Options{Seed: 304}, func(t *testing.T, c *Cluster) {
		lead := c.WaitLeader(1)
		hung := lead%3 + 1
		k := c.Client("").At(lead)
		defer k.Close()
		k.Must("SET", "a", "1")
		told(t, c, "begun", 0, healthy)
		c.SlowDisk(hung, time.Minute)
		k.Must("SET", "a", "2")
		time.Sleep(2 * time.Second) // what is committed counts after one to two
		told(t, c, "hung", 0, func(s node.Status) bool {
			return s.Safety.Safety == node.Degraded && s.Safety.NodeLosses == 0 && s.Nodes[hung-1].Presence == node.Behind && s.Nodes[hung-1].Up
		})
		c.SlowDisk(hung, 0)
		c.Kill(hung) // the fsync that is under way ends with its process
		c.Start(hung)
		time.Sleep(3 * time.Second)
		told(t, c, "mended", 0, healthy)
	})
}

// A node without any replica tells what those who have some know.
func TestStatusOfANodeWithoutReplicas(t *testing.T) {
	bubble(t, Options{Seed: 305}, func(t *testing.T, all *Cluster) {
		c := operator{all}
		c.WaitLeader(1)
		without := c.Join()
		time.Sleep(2 * time.Second)
		whole := func(s node.Status) bool {
			return s.Safety.Safety == node.Healthy && s.Safety.NodeLosses == 1 && len(s.Nodes) == 4 && s.Nodes[without-1].Up
		}
		told(t, c.Cluster, "begun", 0, whole)
		for _, i := range []int{c.Leader(1), c.Leader(1)%3 + 1} {
			c.Pause(i)
			told(t, c.Cluster, "frozen", i, missing(i))
			c.Resume(i)
			told(t, c.Cluster, "back", 0, whole)
		}
		// That it is silent itself costs no copy, and is told all the same.
		c.Pause(without)
		told(t, c.Cluster, "without replicas, frozen", without, func(s node.Status) bool {
			return s.Safety.Safety == node.Degraded && s.Safety.NodeLosses == 1 && !s.Nodes[without-1].Up
		})
		c.Resume(without)
		told(t, c.Cluster, "back", 0, whole)
	})
}
