package sim

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"tutti/internal/proof/check"
)

// A follower misses so much that the log no longer has it, and is brought up by
// a snapshot; once it loses power in the middle of that.
func TestFollowerFarBehindGetsSnapshot(t *testing.T) {
	for _, crash := range []string{"", "receiver", "sender", "changes"} {
		for seed := range env("TUTTI_SIM_SEEDS", 2) {
			t.Run(fmt.Sprint(crash, seed), func(t *testing.T) { farBehind(t, crash, 50+seed) })
		}
	}
}

func farBehind(t *testing.T, crash string, seed uint64) {
	bubble(t, Options{Seed: seed, LogBytesMax: 16 << 10}, func(t *testing.T, c *Cluster) {
		lead := c.WaitLeader(1)
		behind := lead%3 + 1
		k := c.Client("").At(lead)
		k.Timeout = 60 * time.Second
		defer k.Close()
		k.Must("SET", "gone", "1") // deleted later: the snapshot must not leave it
		k.Must("RPUSH", "list", "a", "b")
		time.Sleep(time.Second)
		reader := c.Client("").At(behind) // so the node has read them: it must not remember
		for _, get := range []string{"gone", "key:7", "key:399"} {
			reader.Must("GET", get)
		}
		reader.Close()
		for _, o := range []int{behind%3 + 1, (behind+1)%3 + 1} {
			c.Cut(c.Name(behind), c.Name(o))
		}
		k.Must("DEL", "gone")
		for i := range 1500 {
			k.Must("SET", fmt.Sprintf("key:%d", i%400), fmt.Sprint(i))
		}
		time.Sleep(3 * time.Second)
		first := firstIndex(t, c, lead)
		if s, err := c.Status(behind); err != nil || s.Shards[0].Applied >= first {
			t.Fatalf("the follower has applied %v, the log begins at %d (%v)", s.Shards, first, err)
		}
		switch crash {
		case "receiver":
			c.Heal()
			for range 4 { // at moments around the install
				time.Sleep(time.Duration(c.Rand.IntN(60)) * time.Millisecond)
				c.Crash(behind)
				k.Must("SET", "during", "x")
				c.Start(behind)
				time.Sleep(time.Duration(c.Rand.IntN(400)) * time.Millisecond)
			}
		case "changes": // one after the other, of receiving and installing
			c.Heal()
			cuts := 0
			for n := 1; n < 200; n++ {
				c.CrashAtChange(behind, n, "incoming")
				for end := time.Now().Add(10 * time.Second); !c.Gone(behind) && time.Now().Before(end); {
					time.Sleep(100 * time.Millisecond)
				}
				if !c.Gone(behind) {
					break // there was no snapshot to receive any more
				}
				c.Crash(behind)
				c.Start(behind)
				cuts++
			}
			if cuts < 8 {
				t.Errorf("only %d power cuts while a snapshot came in", cuts)
			}
			c.Crash(behind) // whether its power went or not
		case "sender":
			c.Heal()
			time.Sleep(time.Duration(c.Rand.IntN(100)) * time.Millisecond)
			c.Crash(c.WaitLeader(1))
			time.Sleep(time.Second)
		}
		c.Recover()
		k.Close()
		k.At(c.WaitLeader(1)).Must("RPUSH", "list", "c")
		c.WaitEqual(20 * time.Second)
		if c.Logged(behind, "snapshot installed") == 0 {
			t.Errorf("node %d has caught up without a snapshot", behind)
		}
		reader = c.Client("").At(behind)
		defer reader.Close()
		for i := range 400 {
			want := 1200 + i
			if i >= 300 {
				want -= 400
			}
			if got := Text(reader.Must("GET", fmt.Sprintf("key:%d", i))); got != fmt.Sprint(want) {
				t.Fatalf("key:%d is %s, want %d", i, got, want)
			}
		}
		if got := Text(reader.Must("GET", "gone")); got != "nil" {
			t.Errorf("a key deleted meanwhile is back: %s", got)
		}
		if got := Text(reader.Must("LRANGE", "list", "0", "-1")); got != "[a b c]" {
			t.Errorf("list: %s", got)
		}
		if got := Text(reader.Must("DBSIZE")); got != "401" && got != "402" {
			t.Errorf("DBSIZE %s", got)
		}
		for i := 1; i <= 3; i++ {
			c.Crash(i)
		}
		for i := 1; i <= 3; i++ {
			c.Start(i)
		}
		c.WaitLeader(1)
		c.WaitEqual(20 * time.Second)
		reader.Close()
		if got := Text(reader.Must("GET", "key:7")); got != "1207" {
			t.Errorf("after a power cut of all: %s", got)
		}
	})
}

func firstIndex(t *testing.T, c *Cluster, i int) uint64 {
	t.Helper()
	s, err := c.Status(i)
	if err != nil {
		t.Fatal(err)
	}
	return s.Shards[0].FirstIndex
}

// Leadership moves while a snapshot is on its way, which takes long. Nobody would
// take that one any more: its sender stops. The next leader, whose own has to wait
// for that, tries again, but not as fast as it can: each try is a connection.
func TestLeadershipMovesWhileASnapshotIsSent(t *testing.T) {
	bubble(t, Options{Seed: 60, LogBytesMax: 16 << 10}, func(t *testing.T, c *Cluster) {
		lead := c.WaitLeader(1)
		behind := lead%3 + 1
		k := c.Client("").At(6 - lead - behind)
		defer k.Close()
		overfill(c, k, behind, 128)
		c.Net.Set(c.Name(lead), c.Name(behind), func(p *Path) { p.Delay = 500 * time.Millisecond })
		time.Sleep(1500 * time.Millisecond)
		c.SlowDisk(lead, 300*time.Millisecond)
		for end := time.Now().Add(20 * time.Second); c.Logged(behind, "snapshot installed") == 0 && time.Now().Before(end); {
			k.Must("SET", "key:0", "x")
			time.Sleep(50 * time.Millisecond)
		}
		tries, deposed := 0, c.Logged(lead, "another node leads")
		for i := 1; i <= 3; i++ {
			tries += c.Logged(i, "send snapshot")
		}
		t.Logf("%d tries in vain", tries)
		if tries > 6 || deposed == 0 {
			t.Errorf("%d tries in vain; the first leader stopped %d times", tries, deposed)
		}
		c.SlowDisk(lead, 0)
		c.Heal()
		c.WaitEqual(20 * time.Second)
	})
}

// A part of a snapshot lies before a link that lets nothing of its size pass, when
// leadership moves: who sent it gives it up at once, also that part, and the node that is
// behind has that of the next leader long before a stream's time-out of 30 s.
func TestSnapshotOfADeposedLeaderIsInNobodysWay(t *testing.T) {
	bubble(t, Options{Seed: 63, LogBytesMax: 16 << 10}, func(t *testing.T, c *Cluster) {
		lead := c.WaitLeader(1)
		behind := lead%3 + 1
		k := c.Client("").At(6 - lead - behind)
		defer k.Close()
		c.Net.Set(c.Name(lead), c.Name(behind), func(p *Path) { p.BytesMax = 16 << 10 })
		overfill(c, k, behind, 64)
		c.Net.Set(c.Name(lead), c.Name(behind), func(p *Path) { p.BytesMax = 16 << 10 })
		time.Sleep(1500 * time.Millisecond)
		if n := c.Logged(behind, "snapshot installed"); n != 0 {
			t.Fatalf("%d snapshots have come through", n)
		}
		c.SlowDisk(lead, 300*time.Millisecond)
		began := time.Now()
		for c.Logged(lead, "leadership moves") == 0 && time.Since(began) < 20*time.Second {
			k.Must("SET", "key:0", "x")
			time.Sleep(50 * time.Millisecond)
		}
		moved := time.Now()
		for c.Logged(behind, "snapshot installed") == 0 && time.Since(moved) < time.Minute {
			time.Sleep(50 * time.Millisecond)
		}
		took := time.Since(moved)
		t.Logf("installed %v after leadership moved", took)
		if took > 8*time.Second || c.Logged(lead, "another node leads") == 0 {
			t.Errorf("installed %v after leadership moved; the first leader gave up %d times", took, c.Logged(lead, "another node leads"))
		}
		c.SlowDisk(lead, 0)
		c.Heal()
		c.WaitEqual(20 * time.Second)
	})
}

// overfill has node behind miss so much that it needs a snapshot of so many parts of
// 64 KiB, of which 1 MiB at a time is on its way, and lets it come back.
func overfill(c *Cluster, k *Client, behind, parts int) {
	value := strings.Repeat("v", 64<<10)
	for i := range parts {
		k.Must("SET", fmt.Sprint("big:", i), value)
	}
	c.Split([]string{c.Name(behind)}, apart(c, behind))
	for i := range 1500 {
		k.Must("SET", fmt.Sprintf("key:%d", i%400), fmt.Sprint(i))
	}
	time.Sleep(3 * time.Second)
	c.Heal()
}

// A copy that takes long is not in vain: the log keeps what the copied replica
// needs behind it, however much is written meanwhile.
func TestOneSnapshotIsEnoughUnderWrites(t *testing.T) {
	bubble(t, Options{Seed: 61, LogBytesMax: 16 << 10}, func(t *testing.T, c *Cluster) {
		lead := c.WaitLeader(1)
		behind := lead%3 + 1
		k := c.Client("").At(lead)
		defer k.Close()
		overfill(c, k, behind, 64)
		c.Net.Set(c.Name(lead), c.Name(behind), func(p *Path) { p.Delay = 500 * time.Millisecond })
		for i := range 4000 {
			k.Must("SET", fmt.Sprintf("key:%d", i%400), fmt.Sprint(i))
		}
		c.WaitEqual(20 * time.Second)
		if n := c.Logged(behind, "snapshot installed"); n != 1 {
			t.Errorf("%d snapshots were installed, want 1", n)
		}
	})
}

// A copy leaves room for others: beyond 4 MiB it is sent at 32 MiB a second.
func TestSnapshotsAreThrottled(t *testing.T) {
	bubble(t, Options{Seed: 62, LogBytesMax: 16 << 10}, func(t *testing.T, c *Cluster) {
		lead := c.WaitLeader(1)
		behind := lead%3 + 1
		k := c.Client("").At(lead)
		defer k.Close()
		overfill(c, k, behind, 192) // 12 MiB
		c.WaitEqual(10 * time.Second)
		m := regexp.MustCompile(`"snapshot sent" shard=1 .*took=(\S+)`).FindStringSubmatch(c.machine(lead).log.String())
		if m == nil {
			t.Fatal("no snapshot was sent")
		}
		if took, err := time.ParseDuration(m[1]); err != nil || took < 250*time.Millisecond || took > 2*time.Second {
			t.Errorf("12 MiB were sent in %s", m[1])
		}
	})
}

// Snapshots of several shards come in at once to a node with a slow disk, while
// writing goes on: entries that follow a snapshot arrive before it is installed.
func TestEntriesBehindSnapshotAreKept(t *testing.T) {
	for seed := range env("TUTTI_SIM_SEEDS", 2) {
		bubble(t, Options{Seed: 56 + seed, Shards: 4, LogBytesMax: 4 << 10}, func(t *testing.T, c *Cluster) {
			behind := 1
			k := c.Client("").At(2)
			defer k.Close()
			for s := 1; s <= 4; s++ {
				c.WaitLeader(s)
			}
			c.Cut(c.Name(behind), c.Name(2))
			c.Cut(c.Name(behind), c.Name(3))
			time.Sleep(2 * time.Second)
			set := func(i int) { k.Must("SET", fmt.Sprintf("key:%d", i%500), fmt.Sprint(i)) }
			for i := range 4000 {
				set(i)
			}
			time.Sleep(2 * time.Second)
			c.SlowDisk(behind, 50*time.Millisecond)
			c.Heal()
			for _, o := range []string{"n2", "n3"} {
				c.Net.Set(c.Name(behind), o, func(p *Path) { p.Jitter = 150 * time.Millisecond })
			}
			i := 4000
			for end := time.Now().Add(10 * time.Second); time.Now().Before(end); i++ {
				set(i)
				time.Sleep(2 * time.Millisecond)
			}
			c.Crash(behind)
			c.Start(behind)
			for range 500 {
				set(i)
				i++
			}
			if c.Logged(behind, "snapshot installed") < 2 {
				t.Errorf("%d snapshots installed", c.Logged(behind, "snapshot installed"))
			}
			// Now it counts for the majority.
			c.Crash(3)
			c.Crash(2)
			c.Start(2)
			k.Close()
			operator{c}.await("node 1 does not read", func() (bool, string) { // it still installs what came, on its slow disk
				v, err := k.At(behind).Do("GET", "key:0")
				return err == nil && !v.IsError(), Text(v)
			})
			for n := i - 500; n < i; n++ {
				if got := Text(k.At(behind).Must("GET", fmt.Sprintf("key:%d", n%500))); got != fmt.Sprint(n) {
					t.Fatalf("key:%d is %s, want %d", n%500, got, n)
				}
			}
			c.Start(3)
			c.WaitEqual(20 * time.Second)
		})
	}
}

// The power goes before some change to the disk, while working and again while
// recovering from that.
func TestPowerCutAtAnyChange(t *testing.T) {
	for seed := range env("TUTTI_SIM_SEEDS", 2) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			opts := Options{Seed: 75 + seed, LogBytesMax: 4 << 10}
			bubbleLoad(t, opts, LoadOptions{Timeout: 2 * time.Second, KeyOps: 60}, func(c *Cluster) {
				for n := 1; n < 80; n += 1 + c.Rand.IntN(8) {
					i := 1 + c.Rand.IntN(3)
					c.CrashAtChange(i, n, "")
					time.Sleep(time.Duration(100+c.Rand.IntN(400)) * time.Millisecond)
					c.Crash(i)
					c.CrashAtChange(i, n, "")
					c.Start(i)
					time.Sleep(time.Duration(c.Rand.IntN(300)) * time.Millisecond)
					c.Crash(i)
					c.Start(i)
				}
			})
		})
	}
}

// All nodes lose power at any moment, again and again.
func TestPowerCutOfAllLosesNothing(t *testing.T) {
	for seed := range env("TUTTI_SIM_SEEDS", 2) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			opts := Options{Seed: 60 + seed, LogBytesMax: int64(seed%2) * 8 << 10}
			bubbleLoad(t, opts, LoadOptions{Timeout: 2 * time.Second}, func(c *Cluster) {
				for range 6 {
					time.Sleep(time.Duration(c.Rand.IntN(1500)) * time.Millisecond)
					for i := 1; i <= 3; i++ {
						c.Crash(i)
					}
					for i := 1; i <= 3; i++ {
						time.Sleep(time.Duration(c.Rand.IntN(300)) * time.Millisecond)
						c.Start(i)
					}
					c.WaitLeader(1)
				}
			})
		})
	}
}

// A graceful stop of each node in turn costs no client an error.
func TestRollingRestartFailsNothing(t *testing.T) {
	h := bubbleLoad(t, Options{Seed: 70}, LoadOptions{Nodes: []int{3}}, func(c *Cluster) {
		for range 2 {
			for i := 1; i <= 2; i++ {
				time.Sleep(time.Second)
				c.Stop(i)
				time.Sleep(time.Second)
				c.Start(i)
			}
		}
		time.Sleep(time.Second)
	})
	if refused, unknown := h.Refused(), h.Count(check.Unknown); refused+unknown > 0 {
		t.Errorf("%d refused, %d unknown", refused, unknown)
	}
}

// A leader that was cut off with an entry that nobody else has comes back: its
// log is cut there, below what its vow says. The power goes at each change to
// its disk that this takes.
func TestPowerCutWhileTailIsReplaced(t *testing.T) {
	bubble(t, Options{Seed: 79}, func(t *testing.T, c *Cluster) {
		acked := ""
		for n := range 40 {
			lead := c.WaitLeader(1)
			var others []string
			for i := 1; i <= 3; i++ {
				if i != lead {
					others = append(others, c.Name(i))
				}
			}
			c.Split([]string{c.Name(lead), "lost"}, others)
			k := c.Client("lost").At(lead)
			k.Timeout = 100 * time.Millisecond
			if v, err := k.Do("SET", "k", fmt.Sprintf("lost:%d", n)); err == nil {
				t.Fatalf("a write without a majority was answered: %s", Text(v))
			}
			k.Close()
			next := lead
			for next == lead {
				time.Sleep(50 * time.Millisecond)
				next = c.WaitLeader(1)
			}
			k = c.Client("").At(next)
			k.Must("SET", "k", fmt.Sprint(n))
			k.Close()
			acked = fmt.Sprint(n)
			c.CrashAtChange(lead, 1+n%8, "")
			c.Heal()
			time.Sleep(700 * time.Millisecond)
			c.Crash(lead)
			c.Start(lead)
		}
		k := c.Client("")
		defer k.Close()
		for i := 1; i <= 3; i++ {
			// The router of a cut-off node may yet have had its write applied.
			if got := Text(k.At(i).Must("GET", "k")); got != acked && got[:4] != "lost" {
				t.Errorf("node %d: %s, want %s", i, got, acked)
			}
		}
		c.WaitEqual(10 * time.Second)
	})
}
