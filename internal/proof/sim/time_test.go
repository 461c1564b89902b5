package sim

import (
	"strconv"
	"strings"
	"testing"
	"time"
)

func number(t *testing.T, text string) int {
	t.Helper()
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%q is no number", text)
	}
	return n
}

// A read saw a key expired; then a node with a slower clock leads. The key must
// stay gone.
func TestExpiredStaysExpiredUnderSlowerClock(t *testing.T) {
	for seed := range env("TUTTI_SIM_SEEDS", 2) {
		bubble(t, Options{Seed: 40 + seed}, func(t *testing.T, c *Cluster) {
			lead := c.WaitLeader(1)
			time.Sleep(2 * time.Second) // the clocks of all are known to all
			k := c.Client("").At(lead)
			defer k.Close()
			for i := 1; i <= 3; i++ {
				if i != lead {
					c.Clock(i).Drift(0.2)
				}
			}
			// Idle apart from the key: nothing else advances shard time.
			k.Must("SET", "k", "v", "PX", "3000")
			reader := c.Client("").At(lead%3 + 1)
			defer reader.Close()
			for range 100 {
				if Text(reader.Must("GET", "k")) == "nil" {
					break
				}
				time.Sleep(50 * time.Millisecond)
			}
			if got := Text(reader.Must("GET", "k")); got != "nil" {
				t.Fatalf("the key never expired")
			}
			c.Crash(lead)
			next := c.WaitLeader(1)
			for range 200 {
				if got := Text(k.At(next).Must("GET", "k")); got != "nil" {
					t.Fatalf("the key is back under leader %d", next)
				}
				if got := Text(k.Must("EXISTS", "k")); got != "0" {
					t.Fatalf("the key exists again under leader %d", next)
				}
				time.Sleep(20 * time.Millisecond)
			}
			c.Start(lead)
			c.WaitEqual(10 * time.Second)
		})
	}
}

// The leader can confirm that it leads, but nothing it appends arrives. A read
// that finds a key expired must not be answered before that is on record:
// the next leader's clock is slower, and has the key alive.
func TestReadOfExpiryWaitsForItsRecord(t *testing.T) {
	for _, name := range []string{"GET leader", "GET follower", "RENAME leader", "RENAME follower"} {
		t.Run(name, func(t *testing.T) {
			command, entry, _ := strings.Cut(name, " ")
			bubble(t, Options{Seed: 46}, func(t *testing.T, c *Cluster) {
				lead := c.WaitLeader(1)
				time.Sleep(2 * time.Second)
				key := strings.Repeat("k", 500)
				k := c.Client("").At(lead)
				defer k.Close()
				if entry == "follower" {
					k.At(lead%3 + 1)
				}
				k.Must("SET", key, "v", "PX", "2000")
				for i := 1; i <= 3; i++ {
					if i != lead {
						c.Clock(i).Drift(0.01)
						c.Net.Set(c.Name(lead), c.Name(i), func(p *Path) { p.BytesMax = 400 })
					}
				}
				time.Sleep(1900 * time.Millisecond)
				gone := false
				args := []string{"GET", key}
				if command == "RENAME" {
					args = []string{"RENAME", key, "{" + key + "}:2"}
				}
				for range 20 {
					k.Timeout = 100 * time.Millisecond
					if v, err := k.Do(args...); err == nil {
						gone = gone || v.Null || strings.Contains(string(v.Str), "no such key")
					}
					time.Sleep(50 * time.Millisecond)
				}
				c.Crash(lead)
				c.Heal()
				next := c.WaitLeader(1)
				k.Close()
				k.Timeout = clientTimeout
				got := Text(k.At(next).Must("GET", key))
				if got == "nil" && command == "RENAME" { // done now, while it is alive
					got = Text(k.Must("GET", args[2]))
				}
				if gone && got != "nil" {
					t.Errorf("the key had expired and is back: %s", got)
				} else if got == "nil" {
					t.Errorf("the key has expired for the next leader, too: this test shows nothing")
				}
			})
		})
	}
}

// Nobody writes, nobody reads: time to live goes on, also through a change of
// leader, and the key is removed without being asked for.
func TestTimeToLiveCountsWhileIdle(t *testing.T) {
	bubble(t, Options{Seed: 43}, func(t *testing.T, c *Cluster) {
		lead := c.WaitLeader(1)
		k := c.Client("").At(lead)
		defer k.Close()
		k.Must("SET", "k", "v", "EX", "100")
		time.Sleep(40 * time.Second)
		if got := number(t, Text(k.Must("TTL", "k"))); got < 58 || got > 62 {
			t.Errorf("TTL after 40 idle seconds: %d", got)
		}
		c.Kill(lead)
		time.Sleep(20 * time.Second)
		c.Start(lead)
		k.At(c.WaitLeader(1))
		if got := number(t, Text(k.Must("TTL", "k"))); got < 36 || got > 42 {
			t.Errorf("TTL after 60 idle seconds and a change of leader: %d", got)
		}
		time.Sleep(42 * time.Second)
		if got := Text(k.Must("DBSIZE")); got != "0" {
			t.Errorf("DBSIZE after the deadline: %s", got)
		}
		c.WaitEqual(5 * time.Second)
	})
}

// The wall clock of one node is an hour off, of the leader or not: nothing
// fires early, and nothing freezes.
func TestClockAnHourOffFiresNothing(t *testing.T) {
	for name, d := range map[string]time.Duration{"fast": time.Hour, "slow": -time.Hour} {
		t.Run(name, func(t *testing.T) {
			bubble(t, Options{Seed: 44}, func(t *testing.T, c *Cluster) {
				lead := c.WaitLeader(1)
				time.Sleep(2 * time.Second)
				k := c.Client("").At(lead)
				defer k.Close()
				k.Must("SET", "k", "v", "EX", "1000")
				c.Clock(lead).Jump(d)
				for range 50 { // from the first moment on
					if got := number(t, Text(k.Must("TTL", "k"))); got < 990 {
						t.Fatalf("TTL just after the jump: %d", got)
					}
					time.Sleep(100 * time.Millisecond)
					k.Must("INCR", "n")
				}
				time.Sleep(100 * time.Second)
				if got := number(t, Text(k.Must("TTL", "k"))); got < 885 || got > 905 {
					t.Errorf("TTL 105 s after the jump: %d", got)
				}
				// A new leader, and the node with the wrong clock restarted.
				c.Kill(lead)
				c.WaitLeader(1)
				c.Start(lead)
				k.Close()
				time.Sleep(100 * time.Second)
				if got := number(t, Text(k.At(c.WaitLeader(1)).Must("TTL", "k"))); got < 770 || got > 805 {
					t.Errorf("TTL 205 s after the jump: %d", got)
				}
			})
		})
	}
}

// The cluster is down for an hour: time to live has gone on.
func TestTimeToLiveCountsWhileDown(t *testing.T) {
	bubble(t, Options{Seed: 45}, func(t *testing.T, c *Cluster) {
		c.WaitLeader(1)
		k := c.Client("")
		defer k.Close()
		k.Must("SET", "short", "v", "EX", "100")
		k.Must("SET", "long", "v", "EX", "10000")
		for i := 1; i <= 3; i++ {
			c.Crash(i)
		}
		time.Sleep(time.Hour)
		for i := 1; i <= 3; i++ {
			c.Start(i)
		}
		c.WaitLeader(1)
		time.Sleep(2 * time.Second)
		k.Close()
		if got := Text(k.Must("GET", "short")); got != "nil" {
			t.Errorf("short: %s", got)
		}
		if got := number(t, Text(k.Must("TTL", "long"))); got < 6380 || got > 6402 {
			t.Errorf("TTL of long: %d", got)
		}
	})
}
