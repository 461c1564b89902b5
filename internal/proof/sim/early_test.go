package sim

import (
	"fmt"
	"strconv"
	"testing"
	"time"
)

// Keys and locks do not end early while all clocks agree, whatever is killed or
// paused. A lock is taken under a leader that was elected a moment ago, and that
// leader goes, too: what the shard's time had lost in the first change must not
// be taken from the lock by the second.
func TestTimeToLiveNeverEndsEarly(t *testing.T) {
	const rounds = 9
	seeds := env("TUTTI_SIM_SEEDS", 2)
	for _, way := range []string{"pause", "kill", "power cut of all", "stop of all"} {
		t.Run(way, func(t *testing.T) {
			for _, life := range []time.Duration{1500 * time.Millisecond, 4 * time.Second} {
				earliest := time.Duration(1<<63 - 1)
				for seed := range seeds {
					bubble(t, Options{Seed: 60 + seed}, func(t *testing.T, c *Cluster) {
						c.WaitLeader(1)
						for round := range rounds {
							earliest = min(earliest, c.lockOverChanges(fmt.Sprint("lock", round), life, way))
							c.Recover()
							time.Sleep(time.Duration(c.Rand.IntN(700)) * time.Millisecond)
						}
					})
				}
				t.Logf("%d rounds with a lock of %v: it was free after %v at the earliest", seeds*rounds, life, earliest)
				if allowed := life - timeError.Early.Of(life); earliest < allowed {
					t.Errorf("a lock of %v was free after %v, at the earliest allowed is %v", life, earliest, allowed)
				}
			}
		})
	}
}

// lockOverChanges takes a lock between two changes of leader and returns after
// how long somebody else gets it.
func (c *Cluster) lockOverChanges(key string, life time.Duration, way string) time.Duration {
	c.t.Helper()
	k := c.Client("")
	defer k.Close()
	k.At(c.changeLeader(way))
	px := strconv.FormatInt(life.Milliseconds(), 10)
	taken := time.Now()
	for Text(k.Must("SET", key, "first", "NX", "PX", px)) != "OK" {
		c.t.Fatalf("%s %s is not free", stamp(), key)
	}
	answers := c.changeLeader(way)
	k.Close() // its node may have been started again
	k.At(answers)
	for Text(k.Must("SET", key, "second", "NX", "PX", px)) != "OK" {
		time.Sleep(5 * time.Millisecond)
	}
	return time.Since(taken)
}

// changeLeader makes another node lead, and returns one that answers.
func (c *Cluster) changeLeader(way string) int {
	c.t.Helper()
	switch way {
	case "pause":
		return c.pauseLeader()
	case "kill":
		return c.killLeader()
	case "power cut of all":
		return c.endAll(c.Crash)
	case "stop of all":
		return c.endAll(c.Stop)
	}
	panic(way)
}

// pauseLeader pauses the leader until another answers. One that was paused
// before goes on.
func (c *Cluster) pauseLeader() int {
	c.t.Helper()
	for i := range c.machines {
		c.Resume(i + 1)
	}
	lead := c.WaitLeader(1)
	c.Pause(lead)
	return c.answering(lead)
}

// killLeader kills the leader and waits until another answers. One that was
// killed before is started.
func (c *Cluster) killLeader() int {
	c.t.Helper()
	c.Recover()
	lead := c.WaitLeader(1)
	c.Kill(lead)
	return c.answering(lead)
}

// endAll ends all nodes, and starts them again some time after that.
func (c *Cluster) endAll(end func(node int)) int {
	c.t.Helper()
	for i := range c.machines {
		end(i + 1)
	}
	time.Sleep(time.Duration(c.Rand.IntN(600)) * time.Millisecond)
	for i := range c.machines {
		c.Start(i + 1)
	}
	return c.answering(1 + c.Rand.IntN(c.Nodes()))
}

// answering returns a node other than that one, once it answers.
func (c *Cluster) answering(other int) int {
	c.t.Helper()
	k := c.Client("").At(other%c.Nodes() + 1)
	defer k.Close()
	k.Must("SET", "probe", "x")
	return k.at
}
