package sim

import (
	"testing"

	"tutti/internal/proof/respclient"
	"tutti/internal/script"
)

// A client takes a script that it has sent by EVAL for known as long as its connection
// lasts, and in a transaction it can't send it again. Its connection outlasts the node that
// ran the script, so that must be true when the node is killed, and of a follower's client.
func TestScriptOutlivesItsLeader(t *testing.T) {
	bubble(t, Options{Seed: 611}, func(t *testing.T, c *Cluster) {
		const text = "return redis.call('INCR', KEYS[1])"
		sha := script.SHA1([]byte(text))
		lead := c.WaitLeader(1)
		k := c.Client("").At(lead%c.Nodes() + 1)
		defer k.Close()
		k.Must("EVAL", text, "1", "n")
		for want := int64(2); want < 5; want++ {
			c.Kill(c.killable(k.at))
			k.Must("MULTI")
			k.Must("EVALSHA", sha, "1", "n")
			v := k.Must("EXEC")
			if len(v.Elems) != 1 || respclient.Err(v.Elems[0]) != nil || v.Elems[0].Int != want {
				t.Fatalf("EXEC answers %v, not %d", v, want)
			}
			c.Recover()
		}
	})
}

// killable is the leader, unless that is node spared: then another node.
func (c *Cluster) killable(spared int) int {
	if lead := c.WaitLeader(1); lead != spared {
		return lead
	}
	return spared%c.Nodes() + 1
}
