package sim

import (
	"fmt"
	"testing"
	"time"

	"tutti/internal/resp"
)

// Rights are given and taken away while nodes die, stand still, lose their power, and
// clocks jump, at all moments of the change. Once it is answered no node goes by the
// rights that were, not even one that was away meanwhile.
func TestUsersChangeUnderFaults(t *testing.T) {
	for i, trouble := range []struct {
		name string
		// strike meets the cluster while users change; at is a node that does not lead
		// meta, to which bob is connected.
		strike func(c *Cluster, lead, at int)
	}{
		{"meta's leader is killed", func(c *Cluster, lead, _ int) { c.Kill(lead) }},
		{"meta's leader loses its power", func(c *Cluster, lead, _ int) { c.Crash(lead) }},
		{"meta's leader stands still", func(c *Cluster, lead, _ int) { c.Pause(lead) }},
		{"the user's node loses its power", func(c *Cluster, _, at int) { c.Crash(at) }},
		{"the user's node stands still", func(c *Cluster, _, at int) { c.Pause(at) }},
		{"all lose their power", func(c *Cluster, _, _ int) {
			for i := range c.Nodes() {
				c.Crash(i + 1)
			}
		}},
		{"clocks jump", func(c *Cluster, lead, at int) { c.Clock(lead).Jump(time.Hour); c.Clock(at).Jump(-time.Hour) }},
	} {
		t.Run(trouble.name, func(t *testing.T) {
			bubble(t, Options{Seed: 480 + uint64(i), Shards: 2}, func(t *testing.T, c *Cluster) {
				root, bob := c.Client(""), &user{Client: c.Client(""), name: "bob"}
				answered := 0
				for round := range 8 {
					lead := c.WaitLeader(0)
					at := 1 + (lead+round%2)%3
					insist(t, root.At(at), "ACL", "SETUSER", "bob", "on", "nopass", "~*", "+@all")
					for _, key := range []string{"a", "b"} { // one in each shard
						insist(t, root, "SET", key, fmt.Sprint(round))
					}
					bob.Close()
					if bob.At(at); bob.try("GET", "a") != fmt.Sprintf("did: %d", round) {
						t.Fatalf("%s round %d: bob has no rights", stamp(), round)
					}
					other := 6 - lead - at // through which the rights go
					reply := make(chan resp.Value, 1)
					admin := c.Client("").At(other)
					go func() {
						defer admin.Close()
						v, _ := admin.Do("ACL", "SETUSER", "bob", "-@all")
						reply <- v
					}()
					time.Sleep(time.Duration(c.Rand.IntN(20_000)) * time.Microsecond)
					trouble.strike(c, lead, at)
					done := false
					select {
					case v := <-reply:
						done = Text(v) == "OK"
					case <-time.After(clientTimeout):
					}
					if done {
						answered++
						bob.without(t, round, "a", "b")
					}
					c.Recover()
					if !done {
						insist(t, root, "ACL", "SETUSER", "bob", "-@all")
					}
					for i := range c.Nodes() {
						bob.At(i + 1)
						bob.without(t, round, "a", "b")
					}
				}
				root.Close()
				bob.Close()
				t.Logf("%d of 8 changes were answered in spite of it", answered)
			})
		})
	}
}

// insist sends a command until it is answered without an error: nodes were away.
func insist(t *testing.T, k *Client, args ...string) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		v, err := k.Do(args...)
		if err == nil && !v.IsError() {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s %v: %s, %v", stamp(), args, Text(v), err)
		}
	}
}
