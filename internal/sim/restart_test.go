package sim

import (
	"fmt"
	"testing"
	"time"
)

// A follower misses so much that the log no longer has it, and is brought up by
// a snapshot; once it loses power in the middle of that.
func TestFollowerFarBehindGetsSnapshot(t *testing.T) {
	for _, crash := range []string{"", "receiver", "sender"} {
		for seed := range uint64(3) {
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
		reader := c.Client("").At(behind)
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

// All nodes lose power at any moment, again and again.
func TestPowerCutOfAllLosesNothing(t *testing.T) {
	for seed := range uint64(4) {
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
	if h.Refused+h.Unknown > 0 {
		t.Errorf("%d refused, %d unknown: %v", h.Refused, h.Unknown, h.Texts)
	}
}
