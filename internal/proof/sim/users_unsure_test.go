package sim

import (
	"strings"
	"testing"
	"time"
)

// Users change while a node is cut off from all others, and not from its clients. It can't
// know, so it denies nothing: who was given a right, or another password, is told to try
// again. Whom it lets in by a password that is gone reaches no data, and is shut out as soon
// as it learns.
func TestUsersOfANodeThatIsCutOff(t *testing.T) {
	bubble(t, Options{Seed: 490, Shards: 2}, func(t *testing.T, all *Cluster) {
		c := operator{all}
		lead := c.WaitLeader(0)
		at, other := lead%3+1, (lead+1)%3+1
		root := c.Client("").At(other)
		root.Timeout = 30 * time.Second
		root.Must("SET", "a", "v")
		root.Must("ACL", "SETUSER", "bob", "on", ">old", "~*", "&*", "+get", "+ping", "+subscribe", "+multi", "+exec")
		say := func(k *Client, args ...string) string {
			v, err := k.Do(args...)
			if err != nil {
				t.Fatalf("%s %v: %v", stamp(), args, err)
			}
			return Text(v)
		}
		login := func(node int, password string) (*Client, string) {
			k := c.Client("").At(node)
			k.Timeout = 10 * time.Second
			return k, say(k, "AUTH", "bob", password)
		}
		bob, _ := login(at, "old")
		if got := say(bob, "SET", "a", "w"); !strings.HasPrefix(got, "NOPERM") {
			t.Fatalf("bob has no right to write: %s", got)
		}
		registrar{c}.alone(at)
		root.Must("ACL", "SETUSER", "bob", "resetpass", ">new", "+set")
		told := func(what, got, want string) {
			t.Helper()
			if !strings.HasPrefix(got, want) {
				t.Errorf("%s: %s, want %s", what, got, want)
			}
		}
		const again = "TRYAGAIN by the users that this node knows"
		told("a right that was given", say(bob, "SET", "a", "w"), again)
		_, got := login(at, "new")
		told("a password that was given", got, again)
		_, got = login(at, "wrong")
		told("a wrong password", got, again)
		thief, got := login(at, "old")
		told("a password that is gone", got, "OK")
		listener, got := login(at, "old")
		told("a password that is gone", got, "OK")
		listener.Must("SUBSCRIBE", "news")
		told("what a node answers by itself", say(thief, "PING"), "PONG")
		told("data by a password that is gone", say(thief, "GET", "a"), "CLUSTERDOWN")

		c.Heal()
		time.Sleep(5 * time.Second)
		if v, err := thief.Do("GET", "a"); err == nil {
			t.Errorf("who logged in by a password that was gone goes on: %s", Text(v))
		}
		if v, err := listener.Do("PING"); err == nil {
			t.Errorf("who listens by a password that was gone goes on: %s", Text(v))
		}
		told("who was let in rightly", say(bob, "SET", "a", "w"), "OK")
		_, got = login(at, "old")
		told("a password that is gone", got, "WRONGPASS")
		again2, got := login(at, "new")
		told("a password that was given", got, "OK")
		told("its rights", say(again2, "SET", "a", "x"), "OK")
	})
}
