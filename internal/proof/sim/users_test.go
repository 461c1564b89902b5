package sim

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"tutti/internal/proof/respclient"
)

// Rights are taken away while the node that a user is connected to is cut off, in
// all ways there are. Once the change is answered nothing is read or changed by the
// rights that were.

// cuts are the ways to part a node from the others, or from one of them.
var cuts = []struct {
	name string
	cut  func(c *Cluster, node, other string)
}{
	{"whole", func(c *Cluster, node, other string) { c.Cut(node, other) }},
	{"deaf", func(c *Cluster, node, other string) { c.CutOne(other, node) }},
	{"mute", func(c *Cluster, node, other string) { c.CutOne(node, other) }},
	{"none", func(*Cluster, string, string) {}},
}

// user is a client that logs in again whenever it has lost its connection.
type user struct {
	*Client
	name string
	in   bool
}

// try executes a command as the user and returns what it is told, if anything.
func (u *user) try(args ...string) string {
	if u.conn == nil || !u.in {
		v, err := u.Do("AUTH", u.name, "x")
		if u.in = err == nil && Text(v) == "OK"; !u.in {
			return "not logged in"
		}
	}
	v, err := u.Do(args...)
	switch {
	case err != nil:
		return "lost"
	case respclient.Err(v) != nil:
		return "refused: " + respclient.Err(v).Error()
	}
	return "did: " + Text(v)
}

func TestUsersChangeWhileANodeIsCutOff(t *testing.T) {
	for i, way := range cuts {
		t.Run(way.name, func(t *testing.T) {
			bubble(t, Options{Seed: 460 + uint64(i), Shards: 2}, func(t *testing.T, c *Cluster) {
				root, answered := c.Client(""), 0
				root.Timeout = 8 * time.Second
				bob := &user{Client: c.Client(""), name: "bob"}
				for round := range 8 {
					c.WaitLeader(1)
					c.WaitLeader(2)
					lead := c.WaitLeader(0)
					at := 1 + (lead+round%2)%3 // a node that does not lead meta
					root.At(lead)
					root.Must("ACL", "SETUSER", "bob", "on", "nopass", "~*", "+@all")
					for _, key := range []string{"a", "b"} { // one in each shard
						root.Must("SET", key, fmt.Sprint(round))
					}
					bob.Close()
					bob.At(at)
					if got := bob.try("GET", "a"); got != fmt.Sprintf("did: %d", round) {
						t.Fatalf("%s round %d: bob with rights: %s", stamp(), round, got)
					}
					for other := 1; other <= c.Nodes(); other++ {
						// Every other round only meta's leader is out of reach: the shards go on.
						if other != at && (round%4 < 2 || other == lead) {
							way.cut(c, c.Name(at), c.Name(other))
						}
					}
					v, err := root.Do("ACL", "SETUSER", "bob", "-@all")
					done := err == nil && Text(v) == "OK"
					if done {
						answered++
						bob.without(t, round, "a", "b")
					}
					c.Heal()
					if err == nil && !done {
						bob.told(t, c, round, Text(v))
					}
					time.Sleep(2 * time.Second)
					root.At(c.WaitLeader(0))
					root.Must("ACL", "SETUSER", "bob", "-@all")
					bob.without(t, round, "a", "b")
					for _, key := range []string{"a", "b"} {
						if got := Text(root.Must("GET", key)); done && got != fmt.Sprint(round) {
							t.Errorf("%s round %d: %s is %s", stamp(), round, key, got)
						}
					}
				}
				if answered < 4 {
					t.Errorf("only %d changes were answered while the node was cut off", answered)
				}
			})
		})
	}
}

// told checks that a change that is said not to be applied was not, and the other
// way round.
func (u *user) told(t *testing.T, c *Cluster, round int, text string) {
	t.Helper()
	time.Sleep(2 * time.Second)
	c.WaitLeader(1)
	applied := strings.HasPrefix(text, "UNCERTAIN the users were changed")
	if got := u.try("GET", "a"); strings.Contains(text, "Not applied") && !strings.HasPrefix(got, "did") || applied && strings.HasPrefix(got, "did") {
		t.Errorf("%s round %d: %s; and then bob: %s", stamp(), round, text, got)
	}
}

// without checks that a user without rights gets and changes nothing.
func (u *user) without(t *testing.T, round int, keys ...string) {
	t.Helper()
	for _, key := range keys {
		for _, cmds := range [][][]string{{{"GET", key}}, {{"SET", key, "stolen"}}, {{"MULTI"}, {"SET", key, "stolen"}, {"EXEC"}}} {
			for _, cmd := range cmds {
				if got := u.try(cmd...); did(cmd[0], got) {
					t.Errorf("%s round %d: bob without rights: %v: %s", stamp(), round, cmd, got)
				}
			}
		}
	}
}

// did reports whether what the user was told means that something was done, and not
// only queued: EXEC answers for each command.
func did(cmd, got string) bool {
	switch cmd {
	case "MULTI":
		return false
	case "EXEC":
		return strings.Contains(got, "OK")
	}
	return strings.HasPrefix(got, "did") && got != "did: QUEUED"
}
