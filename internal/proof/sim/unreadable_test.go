package sim

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"
)

// unreadable are rows that no command of this version writes.
var unreadable = []struct {
	name, head string
	code       string
}{
	{"later", "\x09\x63", "NEEDVERSION"}, // a type of format 99
	{"malformed", "\x09\x00", "BADROW"},
}

// plant gives the row of a key on node i, which is down, another head.
func plant(c *Cluster, i int, key, head string) {
	c.ChangeState(i, func(row, val []byte) bool {
		if len(row) < 12 || row[0] != 1 || row[3] != 'm' || !bytes.HasSuffix(row, []byte(key)) {
			return false
		}
		copy(val, head)
		return true
	})
}

// expectRefused reads and writes a key at node i, which refuses it, and others,
// which it does not, in one pipeline.
func expectRefused(t *testing.T, c *Cluster, i int, code string) {
	t.Helper()
	k := c.Client("").At(i)
	defer k.Close()
	k.Must("SET", "other", fmt.Sprint("by ", i))
	for _, cmd := range [][]string{{"GET", "planted"}, {"SET", "planted", "x"}, {"DEL", "planted"}, {"HSET", "planted", "f", "v"}} {
		values, err := k.Pipe([]string{"INCR", "n"}, cmd, []string{"GET", "other"})
		if err != nil {
			t.Fatalf("node %d: %q: %v", i, cmd, err)
		}
		if got := Text(values[1]); !strings.Contains(got, code+` key "planted"`) || !strings.Contains(got, "Not applied") {
			t.Errorf("node %d: %q: %s", i, cmd, got)
		}
		if got := Text(values[2]); got != fmt.Sprint("by ", i) {
			t.Errorf("node %d: another key is %q", i, got)
		}
	}
}

// A row that cannot be read lies on all nodes, as a bug or a later version would
// leave it. Commands on its key fail everywhere, whoever leads; nothing else does,
// and no node ends: there is nothing to rebuild from.
func TestUnreadableRowEverywhere(t *testing.T) {
	for _, u := range unreadable {
		t.Run(u.name, func(t *testing.T) {
			bubble(t, Options{Seed: 310, ScrubEvery: time.Second}, func(t *testing.T, c *Cluster) {
				k := c.Client("").At(c.WaitLeader(1))
				k.Must("SET", "planted", "a value of some length")
				k.Close()
				c.WaitEqual(10 * time.Second)
				for i := 1; i <= 3; i++ {
					c.Stop(i)
					plant(c, i, "planted", u.head)
				}
				for i := 1; i <= 3; i++ {
					c.Start(i)
				}
				for range 3 {
					lead := c.WaitLeader(1)
					for i := 1; i <= 3; i++ {
						expectRefused(t, c, i, u.code)
					}
					time.Sleep(3 * time.Second) // some scrubs
					c.Stop(lead)                // the next one meets it too
					c.WaitLeader(1)
					c.Start(lead)
				}
				if ended := c.Reap(); len(ended) > 0 {
					t.Errorf("nodes %v have ended", ended)
				}
				c.WaitEqual(10 * time.Second)
				met := uint64(0)
				for i := 1; i <= 3; i++ {
					s, err := Verdict(c, i)
					if err != nil || s.Generation != 0 {
						t.Errorf("node %d is of generation %d, %v", i, s.Generation, err)
					}
					if met += s.UnreadableRows; s.UnreadableRows > 0 && (!strings.Contains(s.Verdict, "can't be read") || c.Logged(i, "a row can't be read") == 0) {
						t.Errorf("node %d has met the row, and says %q", i, s.Verdict)
					}
				}
				if met == 0 {
					t.Error("no node has counted the row")
				}
			})
		})
	}
}

// A row that cannot be read lies on one node only, the leader or a follower: its
// commands fail there, and the scrub finds the difference and has the node's data
// made anew. It is the node's damage whatever the row looks like.
func TestUnreadableRowOnOneNode(t *testing.T) {
	for _, u := range unreadable {
		for _, role := range []string{"leader", "follower"} {
			t.Run(u.name+" "+role, func(t *testing.T) {
				bubble(t, Options{Seed: 311, ScrubEvery: 20 * time.Second}, func(t *testing.T, c *Cluster) {
					k := c.Client("").At(c.WaitLeader(1))
					k.Must("SET", "planted", "a value of some length")
					k.Close()
					c.WaitEqual(10 * time.Second)
					hurt := c.Leader(1)
					if role == "follower" {
						hurt = hurt%3 + 1
					}
					c.Stop(hurt)
					plant(c, hurt, "planted", u.head)
					c.Start(hurt)
					for l := c.WaitLeader(1); role == "leader" && l != hurt; l = c.WaitLeader(1) {
						c.Kill(l)
						time.Sleep(500 * time.Millisecond)
						c.Start(l)
					}
					k = c.Client("").At(hurt)
					if v, err := k.Do("GET", "planted"); err != nil || !strings.Contains(Text(v), u.code) {
						t.Errorf("node %d reads %q, %v", hurt, Text(v), err)
					}
					if v, err := k.Do("SADD", "planted", "m"); err != nil || role == "leader" && !strings.Contains(Text(v), u.code) || role != "leader" && !strings.Contains(Text(v), "WRONGTYPE") {
						t.Errorf("node %d writes %q, %v", hurt, Text(v), err)
					}
					if v := k.Must("INCR", "n"); Text(v) != "1" {
						t.Errorf("another key is %q", Text(v))
					}
					k.Close()
					c.WaitRebuilt(hurt, 1, time.Minute)
					k.At(hurt)
					if v := k.Must("GET", "planted"); Text(v) != "a value of some length" {
						t.Errorf("node %d, rebuilt, reads %q", hurt, Text(v))
					}
					k.Close()
				})
			})
		}
	}
}
