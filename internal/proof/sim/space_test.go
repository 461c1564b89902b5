package sim

import (
	"strings"
	"testing"
	"time"

	"tutti/internal/proof/check"
)

const (
	plenty = 1 << 30
	// crowded is less than the reserve of a small node, and more than that part
	// of it below which it takes no entries.
	crowded = 40 << 20
	// cramped is so little that a node takes no entries, without its ballast.
	cramped = 4 << 20
)

// roomy gives every disk room and waits until all nodes have made their ballast.
func roomy(c *Cluster) {
	for i := range c.Nodes() {
		c.Room(i+1, plenty)
	}
	time.Sleep(3 * time.Second)
}

// A leader whose disk is full hands leadership to a node with room, and no
// client is refused anything.
func TestLeaderLeavesFullDisk(t *testing.T) {
	h := bubbleLoad(t, Options{Seed: 90}, LoadOptions{Clients: 2}, func(c *Cluster) {
		roomy(c)
		for range 3 {
			full := c.WaitLeader(1)
			c.Room(full, crowded)
			time.Sleep(3 * time.Second)
			if next := c.WaitLeader(1); next == full {
				t.Errorf("node %d still leads on a full disk", full)
			}
			roomy(c)
		}
	})
	if refused, unknown := h.Refused(), h.Count(check.Unknown); refused+unknown > 0 {
		t.Errorf("%d refused, %d unknown", refused, unknown)
	}
}

// With two of three disks full there is no majority with room: the leader
// refuses what needs room, although it has some, while deletes can still be
// made durable.
func TestNoMajorityWithRoom(t *testing.T) {
	bubble(t, Options{Seed: 93}, func(t *testing.T, c *Cluster) {
		lead := c.WaitLeader(1)
		k := c.Client("").At(lead)
		defer k.Close()
		k.Must("SET", "a", "1")
		roomy(c)
		c.Room(lead%3+1, crowded)
		time.Sleep(3 * time.Second)
		k.Must("SET", "a", "2")
		c.Room((lead+1)%3+1, crowded)
		time.Sleep(3 * time.Second)
		if v, err := k.Do("SET", "a", "3"); err != nil || !strings.HasPrefix(Text(v), "NOSPACE ") {
			t.Errorf("SET: %s %v", Text(v), err)
		}
		if got := Text(k.Must("DEL", "a")); got != "1" {
			t.Errorf("DEL: %s", got)
		}
		roomy(c)
		k.Must("SET", "a", "4")
		if got := c.WaitLeader(1); got != lead {
			t.Errorf("the node with room does not lead any more, %d does", got)
		}
	})
}

// Nowhere is room: what needs it is refused, the rest goes on, and when there
// is room again all does.
func TestAllDisksFull(t *testing.T) {
	bubble(t, Options{Seed: 91}, func(t *testing.T, c *Cluster) {
		c.WaitLeader(1)
		k := c.Client("").At(1)
		defer k.Close()
		k.Must("MSET", "a", "1", "b", "2", "d", "4")
		roomy(c)
		for i := 1; i <= 3; i++ {
			c.Room(i, crowded)
		}
		time.Sleep(3 * time.Second)
		is := func(want string, args ...string) {
			t.Helper()
			if v, err := k.Do(args...); err != nil || !strings.HasPrefix(Text(v), want) {
				t.Errorf("%v: %s %v, want %s", args, Text(v), err, want)
			}
		}
		is("NOSPACE ", "SET", "a", "3")
		is("1", "GET", "a")
		is("1", "DEL", "a")
		is("OK", "MULTI")
		is("QUEUED", "DEL", "b")
		is("QUEUED", "SET", "c", "1")
		is("EXECABORT Transaction discarded because of: NOSPACE ", "EXEC")
		is("2", "GET", "b") // all or nothing
		is("1", "EXPIRE", "b", "1")
		time.Sleep(2 * time.Second)
		is("nil", "GET", "b")
		if s, err := Verdict(c, 1); err != nil || !strings.HasSuffix(s.Verdict, "No disk has room: only reads and deletes are served.") {
			t.Errorf("status: %s %v", s.Verdict, err)
		}
		// A node that has to be killed comes back, and others can open sessions.
		lead := c.WaitLeader(1)
		c.Kill(lead)
		c.Start(lead)
		c.WaitLeader(1)
		k.Close()
		is("NOSPACE ", "SET", "a", "3")
		is("0", "DEL", "a")
		// Down to the last reserve: not even deletes, but every node reads.
		for i := 1; i <= 3; i++ {
			c.Room(i, cramped)
		}
		time.Sleep(3 * time.Second)
		is("NOSPACE ", "DEL", "d")
		for i := 1; i <= 3; i++ {
			k.Close()
			k.At(i)
			is("4", "GET", "d")
		}
		roomy(c)
		is("OK", "SET", "a", "3")
		if s, err := Verdict(c, 1); err != nil || strings.Contains(s.Verdict, "room") {
			t.Errorf("status: %s %v", s.Verdict, err)
		}
		c.WaitEqual(10 * time.Second)
	})
}

// The disk of a follower is filled to the last byte by somebody else: it
// releases its ballast, then takes no more entries; the majority goes on, and
// the follower catches up when it has room.
func TestFollowerWithoutRoomStaysAway(t *testing.T) {
	h := bubbleLoad(t, Options{Seed: 92, LogBytesMax: 16 << 10}, LoadOptions{}, func(c *Cluster) {
		roomy(c)
		full := c.WaitLeader(1)%3 + 1
		c.Room(full, 0)
		time.Sleep(3 * time.Second)
		c.Room(full, cramped)
		time.Sleep(2 * time.Second) // until it knows
		before, err := c.Status(full)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Second)
		after, err := c.Status(full)
		if err != nil {
			t.Fatal(err)
		}
		lead, err := c.Status(c.WaitLeader(1))
		if err != nil {
			t.Fatal(err)
		}
		if b, a, l := before.Shards[0].Applied, after.Shards[0].Applied, lead.Shards[0].Applied; b != a || l < a+100 {
			t.Errorf("without room the follower went from %d to %d, the leader is at %d", b, a, l)
		}
		roomy(c)
	})
	if refused, unknown := h.Refused(), h.Count(check.Unknown); refused+unknown > 0 {
		t.Errorf("%d refused, %d unknown", refused, unknown)
	}
}

// The disks of all nodes have a quota of which they say nothing: no node ends,
// what needs room is refused, deletes and reads go on, and writes when the quota
// is raised. A node that has to start meanwhile does.
func TestQuotaReached(t *testing.T) {
	bubble(t, Options{Seed: 94}, func(t *testing.T, c *Cluster) {
		c.WaitLeader(1)
		k := c.Client("").At(1)
		defer k.Close()
		k.Must("MSET", "a", "1", "b", "2", "d", "4")
		roomy(c)
		for i := 1; i <= 3; i++ {
			c.machine(i).setRoom(0, true)
		}
		k.Must("SET", "c", "3") // goes into the room of the ballast
		time.Sleep(3 * time.Second)
		is := func(want string, args ...string) {
			t.Helper()
			if v, err := k.Do(args...); err != nil || !strings.HasPrefix(Text(v), want) {
				t.Errorf("%v: %s %v, want %s", args, Text(v), err, want)
			}
		}
		is("NOSPACE ", "SET", "a", "5")
		is("1", "DEL", "a")
		is("2", "GET", "b")
		lead := c.WaitLeader(1)
		c.Kill(lead)
		c.Start(lead)
		c.WaitLeader(1)
		k.Close()
		is("4", "GET", "d")
		is("1", "DEL", "d")
		roomy(c)
		is("OK", "SET", "a", "6")
		c.WaitEqual(10 * time.Second)
		for i := 1; i <= 3; i++ {
			if c.Logged(i, "refuses writes although it says that it has room") == 0 {
				t.Errorf("node %d does not say what it is", i)
			}
		}
	})
}

// Only the leader's disk has such a quota: another node leads, and nobody is
// refused anything.
func TestQuotaOfTheLeader(t *testing.T) {
	h := bubbleLoad(t, Options{Seed: 96}, LoadOptions{Clients: 2}, func(c *Cluster) {
		roomy(c)
		full := c.WaitLeader(1)
		c.machine(full).setRoom(0, true)
		time.Sleep(5 * time.Second)
		if next := c.WaitLeader(1); next == full {
			t.Errorf("node %d still leads with its quota used up", full)
		}
		roomy(c)
		time.Sleep(3 * time.Second)
		if s, err := Verdict(c, full); err != nil || strings.Contains(s.Verdict, "room") {
			t.Errorf("status: %s %v", s.Verdict, err)
		}
	})
	if refused, unknown := h.Refused(), h.Count(check.Unknown); refused+unknown > 0 {
		t.Errorf("%d refused, %d unknown", refused, unknown)
	}
}
