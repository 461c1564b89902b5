package sim

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tutti/internal/store"
)

// A node whose disk has lost the newest part of its log comes back as a replica
// of the next generation, without an operator, under load and with a change of
// leader in between.
func TestLostLogTailIsRebuilt(t *testing.T) {
	for _, c := range []struct {
		nodes, shards int
		seed          uint64
	}{{3, 1, 200}, {3, 4, 201}, {5, 1, 202}} {
		t.Run(fmt.Sprintf("%d nodes %d shards", c.nodes, c.shards), func(t *testing.T) {
			bubbleLoad(t, Options{Seed: c.seed, Nodes: c.nodes, Shards: c.shards}, LoadOptions{Timeout: 3 * time.Second}, func(c *Cluster) {
				time.Sleep(time.Second)
				lead := c.WaitLeader(1)
				hurt := lead%c.Nodes() + 1
				c.Stop(hurt)
				c.LoseLogTail(hurt)
				time.Sleep(time.Second)
				c.Start(hurt)
				time.Sleep(time.Duration(c.Rand.IntN(400)) * time.Millisecond)
				c.Crash(lead)
				time.Sleep(time.Second)
				c.Start(lead)
				c.WaitRebuilt(hurt, 1, 20*time.Second)
				if kept := c.setAside(hurt); len(kept) > 0 {
					t.Errorf("node %d keeps %v", hurt, kept)
				}
				// It counts: without as many others as may go, writing goes on.
				for i := 1; i <= c.Nodes()/2; i++ {
					c.Crash((hurt+i-1)%c.Nodes() + 1)
				}
				for s := range c.opts.Shards {
					c.WaitLeader(s + 1)
				}
			})
		})
	}
}

// Both copies of a node's counters rot, again and again, once while it is being
// rebuilt, and once with both copies of its starts: it comes back each time with
// numbers that its peers have not seen, and counts.
func TestLostCountersAreReplaced(t *testing.T) {
	bubbleLoad(t, Options{Seed: 212}, LoadOptions{Timeout: 3 * time.Second}, func(c *Cluster) {
		hurt := c.WaitLeader(1)
		var generation, starts uint64
		for round := range 4 {
			time.Sleep(time.Second)
			c.Stop(hurt)
			names := []string{"counters", "counters.2"}
			if round > 1 {
				names = append(names, "starts", "starts.2")
			}
			for _, name := range names {
				c.change(hurt, name, func(b []byte) []byte { b[len(b)/2] ^= 1; return b })
			}
			c.Start(hurt)
			s, err := c.Status(hurt)
			if err != nil { // its connection may have ended with the node
				s, err = c.Status(hurt)
			}
			if err != nil {
				t.Fatal(err)
			}
			if s.Generation <= generation || s.Starts <= starts {
				t.Errorf("after generation %d, start %d come %d, %d", generation, starts, s.Generation, s.Starts)
			}
			generation, starts = s.Generation, s.Starts
			if round == 0 {
				continue
			}
			c.WaitRebuilt(hurt, generation, 20*time.Second)
			other := hurt%c.Nodes() + 1
			c.Crash(other)
			c.WaitLeader(1)
			time.Sleep(time.Second)
			c.Start(other)
			c.WaitEqual(20 * time.Second)
		}
		for i := 1; i <= c.Nodes(); i++ {
			if n := c.Logged(i, "restored from an old copy"); n > 0 {
				t.Errorf("node %d refused a peer %d times", i, n)
			}
		}
	})
}

// Damage comes again and again, at last to all nodes in turn, so that no replica
// is left of those that the cluster was formed with.
func TestEveryNodeIsRebuiltInTurn(t *testing.T) {
	bubbleLoad(t, Options{Seed: 205}, LoadOptions{Timeout: 3 * time.Second}, func(c *Cluster) {
		for round := range uint64(2) {
			for i := 1; i <= c.Nodes(); i++ {
				time.Sleep(300 * time.Millisecond)
				c.Stop(i)
				c.LoseLogTail(i)
				c.Start(i)
				c.WaitRebuilt(i, round+1, 20*time.Second)
			}
		}
	})
}

// The new replica loses its data, too, while it comes in.
func TestDamageWhileRebuilding(t *testing.T) {
	bubbleLoad(t, Options{Seed: 206}, LoadOptions{Timeout: 3 * time.Second}, func(c *Cluster) {
		hurt := c.WaitLeader(1)
		time.Sleep(500 * time.Millisecond)
		for generation := range uint64(4) {
			c.Stop(hurt)
			c.LoseLogTail(hurt)
			c.Start(hurt)
			if generation < 3 {
				time.Sleep(time.Duration(500+c.Rand.IntN(600)) * time.Millisecond) // it has begun to come in
				c.waitReplica(hurt)
			}
		}
		c.WaitRebuilt(hurt, 4, 20*time.Second)
	})
}

// waitReplica waits until node i has a replica again: before that it has nothing to lose.
func (c *Cluster) waitReplica(i int) {
	c.t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); c.Attend(50 * time.Millisecond) {
		if s, err := Verdict(c, i); err == nil && len(s.Shards) > 0 {
			return
		}
	}
	c.t.Fatalf("node %d has no replica", i)
}

// The power goes at every change to the disk (a part of them here, all with
// TUTTI_SIM_EVERY=1) that a rebuild makes, from finding the damage to being a
// voter again. Each time there is one rebuild.
func TestPowerCutWhileRebuilding(t *testing.T) {
	step := int(env("TUTTI_SIM_EVERY", 9))
	bubble(t, Options{Seed: 207}, func(t *testing.T, c *Cluster) {
		hurt := c.WaitLeader(1)%3 + 1
		k := c.Client("").At(hurt%3 + 1)
		defer k.Close()
		cuts := 0
		for n := 1; ; n += step {
			k.Must("SET", "k", fmt.Sprint(n))
			k.Must("RPUSH", "list", fmt.Sprint(n))
			// Or there is nothing to lose: the others may refuse the node until
			// they have missed the one that lost its power.
			c.WaitEqual(10 * time.Second)
			c.Stop(hurt)
			c.LoseLogTail(hurt)
			c.CrashAtChange(hurt, n, "")
			c.Start(hurt)
			for range 20 {
				if time.Sleep(100 * time.Millisecond); c.Gone(hurt) {
					break
				}
			}
			gone := c.Gone(hurt)
			c.Crash(hurt)
			c.Start(hurt)
			c.WaitRebuilt(hurt, uint64(cuts+1), 20*time.Second)
			cuts++
			if !gone {
				break
			}
		}
		c.WaitEqual(5 * time.Second)
		t.Logf("%d power cuts", cuts)
		if cuts*step < 60 {
			t.Errorf("the rebuild made only %d changes to the disk", cuts*step)
		}
		if got := Text(c.Client("").At(hurt).Must("LLEN", "list")); got != fmt.Sprint(cuts) {
			t.Errorf("LLEN %s after %d pushes", got, cuts)
		}
	})
}

// With two of three nodes damaged nobody may decide: nothing is destroyed, the
// status says what it is, and the good node does not serve alone.
func TestDamagedMajorityDestroysNothing(t *testing.T) {
	bubble(t, Options{Seed: 208}, func(t *testing.T, c *Cluster) {
		lead := c.WaitLeader(1)
		k := c.Client("").At(lead)
		k.Must("SET", "k", "v")
		k.Close()
		time.Sleep(time.Second)
		a, b := lead%3+1, (lead+1)%3+1
		for _, i := range []int{a, b} {
			c.Stop(i)
			c.LoseLogTail(i)
		}
		for _, i := range []int{a, b} {
			c.Start(i)
		}
		c.Attend(30 * time.Second)
		for _, i := range []int{a, b} {
			c.Crash(i) // a start more changes nothing
			c.Start(i)
		}
		c.Attend(30 * time.Second)
		for i := 1; i <= 3; i++ {
			s, err := Verdict(c, i)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(s.Verdict, "No majority: the data of nodes") || !strings.Contains(s.Verdict, "Nothing was destroyed") {
				t.Errorf("node %d says: %s", i, s.Verdict)
			}
			if i != lead {
				if !strings.Contains(s.Damage, "/damaged-0: open log of shard 0: the stored data is damaged") {
					t.Errorf("node %d says of its damage: %q", i, s.Damage)
				}
				if got := c.setAside(i); !slices.Equal(got, []string{"damaged-0"}) {
					t.Errorf("node %d has set aside %v", i, got)
				}
				for _, name := range []string{"log", "state", "vow", "why"} {
					if _, err := c.machine(i).disk.mem.Stat(c.machine(i).dir + "/damaged-0/" + name); err != nil {
						t.Errorf("node %d: %v", i, err)
					}
				}
			}
			k := c.Client("").At(i)
			if v, err := k.Do("GET", "k"); err != nil || !v.IsError() {
				t.Errorf("GET at node %d: %v %s", i, err, Text(v))
			}
			k.Close()
		}
	})
}

// A bit of the state flips on the disk of a node that is down. Whoever reads it
// first, a client or the scrub, sees no wrong value, and the node is rebuilt. Nor
// does it help the disk if the node runs and has all in memory.
func TestRottenStateIsRebuilt(t *testing.T) {
	for _, what := range []string{"idle", "read", "running"} {
		read := what == "read"
		t.Run(what, func(t *testing.T) {
			shards := 1
			if what == "idle" {
				shards = 4
			}
			bubble(t, Options{Seed: 209, Shards: shards}, func(t *testing.T, c *Cluster) {
				lead := c.WaitLeader(1)
				hurt := lead%3 + 1
				k := c.Client("").At(lead)
				defer k.Close()
				for i := range 300 {
					k.Must("SET", fmt.Sprint("key:", i), strings.Repeat(fmt.Sprint(i, " "), 40))
				}
				time.Sleep(time.Second)
				c.Stop(hurt)
				if what == "running" {
					c.Start(hurt)
					for i := range 300 {
						k.At(hurt).Must("GET", fmt.Sprint("key:", i))
					}
				}
				if c.FlipTables(hurt) == 0 {
					t.Fatal("no tables")
				}
				if what != "running" {
					c.Start(hurt)
				}
				began := time.Now()
				c.WaitLeader(1)
				if read {
					reader := c.Client("").At(hurt)
					for i := 0; i < 300; i++ {
						v, err := reader.Do("GET", fmt.Sprint("key:", i))
						if err == nil && !v.IsError() && Text(v) != strings.Repeat(fmt.Sprint(i, " "), 40) {
							t.Fatalf("key:%d is %s", i, Text(v))
						}
						if err != nil || v.IsError() {
							break // noticed
						}
					}
					reader.Close()
				}
				c.WaitRebuilt(hurt, 1, time.Minute)
				t.Logf("rebuilt after %v", time.Since(began))
				c.WaitEqual(5 * time.Second)
				k.Close()
				for i := range 300 {
					if got := Text(k.At(hurt).Must("GET", fmt.Sprint("key:", i))); got != strings.Repeat(fmt.Sprint(i, " "), 40) {
						t.Fatalf("key:%d is %s", i, got)
					}
				}
			})
		})
	}
}

// A node's state differs without any file being damaged: a row that nobody
// reads, or the chained hash. The majority finds out, whoever leads.
func TestDivergedReplicaIsRebuilt(t *testing.T) {
	for _, what := range []string{"row", "hash"} {
		for _, leads := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s leader %v", what, leads), func(t *testing.T) {
				bubble(t, Options{Seed: 210}, func(t *testing.T, c *Cluster) {
					hurt := c.WaitLeader(1)
					k := c.Client("")
					defer k.Close()
					for i := range 50 {
						k.Must("SET", fmt.Sprint("key:", i), "value")
					}
					time.Sleep(time.Second)
					c.Stop(hurt)
					c.ChangeState(hurt, func(row, val []byte) bool {
						if what == "hash" {
							return slices.Equal(row, store.AppliedRow(1)) && flip(val, 31)
						}
						return strings.HasSuffix(string(val), "value") && flip(val, len(val)-1)
					})
					c.Start(hurt)
					for range 20 {
						l := c.WaitLeader(1)
						if !leads || l == hurt {
							break
						}
						c.Kill(l)
						time.Sleep(500 * time.Millisecond)
						c.Start(l)
					}
					c.WaitRebuilt(hurt, 1, time.Minute)
					c.WaitEqual(5 * time.Second)
					k.Close() // its connection may have ended with a node
					for i := range 50 {
						if got := Text(k.At(hurt).Must("GET", fmt.Sprint("key:", i))); got != "value" {
							t.Errorf("key:%d is %q", i, got)
						}
					}
				})
			})
		}
	}
}

// All three replicas differ: nobody can say who is right, so nobody is rebuilt,
// and the leader stops and reports it.
func TestTieStopsAndReports(t *testing.T) {
	const report = "no majority agrees"
	bubble(t, Options{Seed: 211, Expect: report}, func(t *testing.T, c *Cluster) {
		c.WaitLeader(1)
		k := c.Client("")
		k.Must("SET", "k", "value")
		k.Close()
		time.Sleep(time.Second)
		for i := 1; i <= 2; i++ {
			c.Stop(i)
			c.ChangeState(i, func(row, val []byte) bool {
				return string(val[len(val)-min(5, len(val)):]) == "value" && flip(val, len(val)-i)
			})
		}
		for i := 1; i <= 2; i++ {
			c.Start(i)
		}
		c.Attend(time.Minute)
		reports := 0
		for i := 1; i <= 3; i++ {
			reports += c.Logged(i, report)
			if got := c.setAside(i); len(got) > 0 || c.Logged(i, "is made anew") > 0 {
				t.Errorf("node %d was rebuilt, %v", i, got)
			}
		}
		if reports == 0 {
			t.Error("nobody has reported it")
		}
	})
}
