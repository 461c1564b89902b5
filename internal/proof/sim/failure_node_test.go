package sim

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"tutti/internal/node"
)

// Failure modes of single nodes: their disks, their identity, their clocks.

// Clients add to a set while a minority, a majority or all nodes lose power:
// what was acknowledged is there.
func TestFault07UnackedFsyncLoss(t *testing.T) {
	for count, name := range []string{"", "minority", "majority", "all"} {
		if count == 0 {
			continue
		}
		t.Run(name, func(t *testing.T) {
			bubble(t, Options{Seed: 207}, func(t *testing.T, c *Cluster) {
				c.WaitLeader(1)
				s := startSet(c)
				for round := range 4 {
					time.Sleep(time.Duration(200+c.Rand.IntN(800)) * time.Millisecond)
					for i := range count {
						c.Crash((round+i)%3 + 1)
					}
					time.Sleep(time.Duration(c.Rand.IntN(500)) * time.Millisecond)
					for i := range count {
						c.Start((round+i)%3 + 1)
					}
					c.WaitLeader(1)
				}
				s.check(t, 200)
			})
		})
	}
}

// uniqueSet is clients that add unique members to a set.
type uniqueSet struct {
	c    *Cluster
	quit chan struct{}
	wg   sync.WaitGroup

	mu    sync.Mutex // guards acked
	acked []string
}

func startSet(c *Cluster) *uniqueSet {
	s := &uniqueSet{c: c, quit: make(chan struct{})}
	for id := range 3 {
		k := c.Client("").At(id + 1)
		k.Timeout = time.Second
		s.wg.Go(func() {
			defer k.Close()
			for n := 0; ; n++ {
				select {
				case <-s.quit:
					return
				case <-time.After(2 * time.Millisecond):
				}
				member := fmt.Sprintf("%d:%d", id, n)
				if v, err := k.Do("SADD", "set", member); err == nil && !v.IsError() {
					s.mu.Lock()
					s.acked = append(s.acked, member)
					s.mu.Unlock()
				} else {
					k.At(k.at%c.Nodes() + 1)
				}
			}
		})
	}
	return s
}

// check stops the clients and looks for all that was acknowledged through every
// node that runs.
func (s *uniqueSet) check(t *testing.T, atLeast int) {
	t.Helper()
	close(s.quit)
	s.wg.Wait()
	s.c.WaitLeader(1)
	k := s.c.Client("")
	defer k.Close()
	for i := 1; i <= s.c.Nodes(); i++ {
		if !s.c.Up(i) {
			continue
		}
		there := make(map[string]bool)
		for _, e := range k.At(i).Must("SMEMBERS", "set").Elems {
			there[Text(e)] = true
		}
		for _, m := range s.acked {
			if !there[m] {
				t.Errorf("%s was acknowledged, and node %d does not have it", m, i)
			}
		}
	}
	if len(s.acked) < atLeast {
		t.Errorf("only %d members", len(s.acked))
	}
}

// One fsync of the leader's raft log fails. The node stops, without another
// fsync of that file; nothing acknowledged is lost, and it comes back.
func TestFault13FsyncError(t *testing.T) {
	bubble(t, Options{Seed: 213}, func(t *testing.T, c *Cluster) {
		c.WaitLeader(1)
		s := startSet(c)
		for range 3 {
			time.Sleep(time.Second)
			lead := c.WaitLeader(1)
			c.machine(lead).disk.setFail(failure{op: "sync", on: "wal", err: syscall.EIO, once: true})
			time.Sleep(time.Second)
			if got := c.Reap(); len(got) != 1 || got[0] != lead { // which checks that it did not try again
				t.Fatalf("%s stopped themselves: %v, want node %d", stamp(), got, lead)
			}
			c.WaitLeader(1)
			c.Start(lead)
		}
		s.check(t, 200)
		c.WaitEqual(10 * time.Second)
	})
}

// A node can't read its tables: it says so or stops, and never answers with
// anything but what is there. The others go on.
func TestFault14ReadError(t *testing.T) {
	bubble(t, Options{Seed: 214, LogBytesMax: 4 << 10}, func(t *testing.T, c *Cluster) {
		lead := c.WaitLeader(1)
		k := c.Client("").At(lead)
		defer k.Close()
		for i := range 400 {
			k.Must("SET", fmt.Sprint("key:", i), fmt.Sprint(i, strings.Repeat("x", 500)))
		}
		time.Sleep(2 * time.Second)
		c.machine(lead).disk.setFail(failure{op: "read", on: "table", err: syscall.EIO})
		k.Timeout = 2 * time.Second
		for i := range 400 {
			if v, err := k.Do("GET", fmt.Sprint("key:", i)); err == nil && !v.IsError() && Text(v) != fmt.Sprint(i, strings.Repeat("x", 500)) {
				t.Errorf("key:%d is %.20s", i, Text(v))
			}
		}
		// A write that must read what can't be read ends the node, or is refused.
		for i := range 20 {
			_, _ = k.Do("APPEND", fmt.Sprint("key:", i*20), "y")
		}
		k.At(lead%3 + 1).Timeout = clientTimeout
		time.Sleep(2 * time.Second)
		for i := range 20 {
			if got := number(t, Text(k.Must("STRLEN", fmt.Sprint("key:", i)))); got < 501 {
				t.Errorf("key:%d has %d bytes", i, got)
			}
			k.Must("SET", fmt.Sprint("other:", i), "1")
		}
		c.Reap()
		c.machine(lead).disk.repair()
		if !c.Up(lead) {
			c.Start(lead)
		}
		c.WaitEqual(20 * time.Second)
	})
}

// openRefused opens node i, which is down, and returns what it says.
func openRefused(t *testing.T, c *Cluster, i int) string {
	t.Helper()
	m := c.machine(i)
	n, err := node.Open(c.config(m, m.disk))
	if err == nil {
		_ = n.Close()
		t.Fatalf("node %d has started", i)
	}
	return err.Error()
}

// A node finds an empty disk, or one without its data: it refuses to start, and
// the others go on. With its disk back it does.
func TestFault26WipedDisk(t *testing.T) {
	bubble(t, Options{Seed: 226}, func(t *testing.T, c *Cluster) {
		lead := c.WaitLeader(1)
		k := c.Client("").At(lead)
		defer k.Close()
		k.Must("SET", "k", "v")
		m := c.machine(lead%3 + 1)
		c.Kill(m.id)
		disk := m.disk
		m.disk = newDisk(vfs.NewCrashableMem(), m.gate, &m.room)
		if text := openRefused(t, c, m.id); !strings.Contains(text, m.dir) {
			t.Errorf("on an empty disk: %s", text)
		}
		for _, part := range []string{"log", "state", "vow", "counters"} {
			mem := keepAll(disk)
			// Of a small file both copies: one is enough.
			if err := errors.Join(mem.RemoveAll(mem.PathJoin(m.dir, part)), mem.RemoveAll(mem.PathJoin(m.dir, part+".2"))); err != nil {
				t.Fatal(err)
			}
			m.disk = newDisk(mem, m.gate, &m.room)
			if text := openRefused(t, c, m.id); !strings.Contains(text, part) {
				t.Errorf("without %s: %s", part, text)
			}
		}
		k.Must("SET", "k", "w")
		m.disk = disk
		c.Start(m.id)
		c.WaitEqual(10 * time.Second)
	})
}

// A node starts from a copy of its disk that is older than two of its starts, or
// of the present one. The others refuse the first, for they remember its starts;
// whichever hears from a leader learns that it has lost what it had confirmed,
// and stops. It never decides anything; the second is rebuilt when it starts
// again, the first is taken with its own disk only.
func TestFault27OldImageRestored(t *testing.T) {
	for starts, name := range map[int]string{0: "of this start", 2: "of an earlier start"} {
		t.Run(name, func(t *testing.T) {
			bubble(t, Options{Seed: 227}, func(t *testing.T, c *Cluster) { oldImage(t, c, starts) })
		})
	}
}

// imageOfFollower writes a key through the leader, and copies the disk of a follower.
func imageOfFollower(c *Cluster) (lead int, m *machine, k *Client, image *vfs.MemFS) {
	lead = c.WaitLeader(1)
	m = c.machine(lead%3 + 1)
	k = c.Client("").At(lead)
	k.Must("SET", "k", "old")
	time.Sleep(time.Second)
	return lead, m, k, keepAll(m.disk)
}

func oldImage(t *testing.T, c *Cluster, starts int) {
	lead, m, k, image := imageOfFollower(c)
	third := 6 - lead - m.id
	defer k.Close()
	for range starts {
		c.Kill(m.id)
		c.Start(m.id)
		time.Sleep(time.Second)
	}
	lead = c.WaitLeader(1)
	for _, o := range apart(c, third) {
		c.Cut(c.Name(third), o)
	}
	k.At(lead).Must("SET", "k", "new") // lead and m have it, third has not
	time.Sleep(time.Second)
	c.Kill(m.id)
	own := m.disk
	m.disk, m.rotten = newDisk(image, m.gate, &m.room), "an old image was restored"
	c.Start(m.id)
	time.Sleep(3 * time.Second)
	if got := c.Reap(); len(got) != 1 || got[0] != m.id {
		t.Errorf("stopped themselves: %v, want node %d", got, m.id)
	}
	if starts > 0 && c.Logged(lead, "restored from an old copy") == 0 {
		t.Error("nobody refused it")
	}
	if v, err := k.Do("SET", "k", "newer"); err == nil && !v.IsError() {
		t.Error("the restored copy takes part")
	}
	c.Heal()
	if starts > 0 { // refused for good; with its own disk it is taken again
		m.disk = own
		c.Start(m.id)
	} else {
		c.Start(m.id)
		c.WaitRebuilt(m.id, 1, time.Minute)
	}
	c.WaitLeader(1)
	for i := 1; i <= 3; i++ {
		k.Close()
		if got := Text(k.At(i).Must("GET", "k")); got != "new" && got != "newer" {
			t.Errorf("k is %s at node %d", got, i)
		}
	}
	c.WaitEqual(10 * time.Second)
}

// A second process on the folder of a running node is refused.
func TestFault28TwoProcessesOneIdentity(t *testing.T) {
	bubble(t, Options{Seed: 228}, func(t *testing.T, c *Cluster) {
		k := c.Client("").At(c.WaitLeader(1))
		defer k.Close()
		if text := openRefused(t, c, 2); !strings.Contains(text, "another process uses") {
			t.Errorf("it says: %s", text)
		}
		k.Must("SET", "k", "v")
		c.WaitEqual(5 * time.Second)
	})
}

// A follower gets two snapshots, the second without a start in between.
func TestFault33TwoSnapshotsInARow(t *testing.T) {
	bubble(t, Options{Seed: 233, LogBytesMax: 4 << 10}, func(t *testing.T, c *Cluster) {
		lead := c.WaitLeader(1)
		behind := lead%3 + 1
		k := c.Client("").At(lead)
		defer k.Close()
		for round := 1; round <= 3; round++ {
			for _, o := range apart(c, behind) {
				c.Cut(c.Name(behind), o)
			}
			for i := range 1200 {
				k.Must("SET", fmt.Sprint("key:", i%300), fmt.Sprint(round*10_000+i))
			}
			time.Sleep(2 * time.Second)
			c.Heal()
			for end := time.Now().Add(20 * time.Second); c.Logged(behind, "snapshot installed") < round && time.Now().Before(end); {
				time.Sleep(50 * time.Millisecond)
			}
			if got := c.Logged(behind, "snapshot installed"); got != round {
				t.Fatalf("%d snapshots after round %d", got, round)
			}
		}
		c.WaitEqual(20 * time.Second)
		if got := Text(k.At(behind).Must("GET", "key:7")); got != "30907" {
			t.Errorf("key:7 is %s", got)
		}
	})
}

// One link loses and delays much; those who do not need it work as before, and
// the leader stays.
func TestFault17SlowLossyLink(t *testing.T) {
	bubble(t, Options{Seed: 217}, func(t *testing.T, c *Cluster) {
		lead := c.WaitLeader(1)
		slow := lead%3 + 1
		good := []int{lead, 6 - lead - slow}
		before := perSecond(c, good, 5*time.Second)
		for _, o := range apart(c, slow) {
			for _, p := range [][2]string{{c.Name(slow), o}, {o, c.Name(slow)}} {
				c.Net.Set(p[0], p[1], func(p *Path) { p.Loss, p.Delay, p.Jitter = 0.3, 30*time.Millisecond, 30*time.Millisecond })
			}
		}
		during := perSecond(c, good, 10*time.Second)
		if during < before*8/10 {
			t.Errorf("%d commands a second, %d with a bad link", before, during)
		}
		if l := c.WaitLeader(1); l != lead {
			t.Errorf("node %d leads, not %d", l, lead)
		}
		t.Logf("%d commands a second, %d with a bad link", before, during)
		c.Heal()
		c.WaitEqual(20 * time.Second)
	})
}

// perSecond is how many commands a second two clients of some nodes get done.
func perSecond(c *Cluster, nodes []int, d time.Duration) int {
	var wg sync.WaitGroup
	counts := make([]int, len(nodes))
	for i, at := range nodes {
		k := c.Client("").At(at)
		wg.Go(func() {
			defer k.Close()
			for end := time.Now().Add(d); time.Now().Before(end); counts[i]++ {
				k.Must("INCR", fmt.Sprint("n", i))
				time.Sleep(5 * time.Millisecond)
			}
		})
	}
	wg.Wait()
	return (counts[0] + counts[1]) * int(time.Second) / int(d)
}

// The clock of one node, leader or not, jumps a day back, leaps a second, runs
// 500 ppm fast or slow, or stands still. Keys go neither before nor after their
// time by more than the twentieth that slewing may take, or a second.
func TestFault36Clocks(t *testing.T) {
	for _, f := range []struct {
		name string
		do   func(clock *Clock)
	}{
		{"day back", func(clock *Clock) { clock.Jump(-24 * time.Hour) }},
		{"hour ahead", func(clock *Clock) { clock.Jump(time.Hour) }},
		{"leap second", func(clock *Clock) { clock.Jump(-time.Second) }},
		{"500 ppm fast", func(clock *Clock) { clock.Drift(1.0005) }},
		{"500 ppm slow", func(clock *Clock) { clock.Drift(0.9995) }},
		{"frozen", func(clock *Clock) { clock.Drift(0) }},
	} {
		for _, who := range []string{"leader", "follower"} {
			t.Run(f.name+" "+who, func(t *testing.T) {
				bubble(t, Options{Seed: 236}, func(t *testing.T, c *Cluster) {
					i := c.WaitLeader(1)
					time.Sleep(2 * time.Second)
					k := c.Client("").At(i)
					defer k.Close()
					if who == "follower" {
						i = i%3 + 1
					}
					k.Must("SET", "k", "v", "EX", "40")
					start := time.Now()
					f.do(c.Clock(i))
					for {
						gone := Text(k.Must("GET", "k")) == "nil"
						at := time.Since(start)
						if gone && at < 37*time.Second {
							t.Errorf("gone after %v", at)
						}
						if gone {
							break
						}
						if at > 43*time.Second {
							t.Errorf("still there after %v", at)
							break
						}
						time.Sleep(250 * time.Millisecond)
					}
					c.Clock(i).Drift(1)
					c.WaitEqual(10 * time.Second)
				})
			})
		}
	}
}
