package sim

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// A shard can't be reached when users change, and goes on by the rights that were:
// the one node that holds it is cut off from all others, and not from its client. So
// the change is not said to hold, until it does, and who repeats it is told when.
func TestUserChangeThatAShardDoesNotConfirmIsUncertain(t *testing.T) {
	for i, change := range [][]string{{"ACL", "SETUSER", "bob", "-@all"}, {"ACL", "DELUSER", "bob"}} {
		t.Run(change[1], func(t *testing.T) {
			bubble(t, Options{Seed: 470 + uint64(i), Shards: 2}, func(t *testing.T, all *Cluster) {
				c := operator{all}
				lead := c.WaitLeader(0)
				far, near := lead%3+1, (lead+1)%3+1
				c.Place(2, far)
				c.WaitPlaced(2, far)
				root := c.Client("").At(near)
				root.Timeout = 30 * time.Second
				root.Must("ACL", "SETUSER", "bob", "on", "nopass", "~*", "+@all")
				for _, key := range []string{"a", "b"} { // of shard 2, of shard 1
					root.Must("SET", key, "v")
				}
				there, here := &user{Client: c.Client("").At(far), name: "bob"}, &user{Client: c.Client("").At(near), name: "bob"}
				for _, bob := range []*user{there, here} {
					if got := bob.try("GET", "a"); got != "did: v" {
						t.Fatalf("bob with rights: %s", got)
					}
				}
				registrar{c}.alone(far)
				v, err := root.Do(change...)
				if err != nil || !strings.HasPrefix(Text(v), "UNCERTAIN the users were changed, but shard 2 has not confirmed") {
					t.Errorf("cut off: %s, %v", Text(v), err)
				}
				if got := there.try("GET", "a"); got != "did: v" {
					t.Errorf("the shard that was not reached goes by other rights: %s", got)
				}
				here.without(t, 0, "b")
				c.Heal()
				time.Sleep(2 * time.Second)
				v, err = root.Do(change...)
				if err != nil || v.IsError() {
					t.Errorf("repeated: %s, %v", Text(v), err)
				}
				for _, bob := range []*user{there, here} {
					bob.without(t, 1, "a", "b")
				}
				if got := fmt.Sprint(Text(root.Must("GET", "a")), Text(root.Must("GET", "b"))); got != "vv" {
					t.Errorf("a and b are %s", got)
				}
			})
		})
	}
}
