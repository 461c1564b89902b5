package shard

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"tutti/internal/group"
)

// sadd is a SADD of n members, long enough for a union of 18,000 to be
// committed beside the loop too.
func sadd(key string, from, n int) string {
	var b strings.Builder
	b.WriteString("SADD " + key)
	for i := range n {
		fmt.Fprintf(&b, " m%06d%s", from+i, padding)
	}
	return b.String()
}

const padding = "-the-rest-of-a-member-of-a-set"

// TestHeavyHost runs heavy groups through the loop, beside others.
func TestHeavyHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newTestNode(t, 1)
		n.lead()
		for i := range 6 {
			n.run(sadd("a", i*2000, 2000))
			n.run(sadd("b", (i+3)*2000, 2000))
		}
		n.want(n.run("SUNIONSTORE u a b", "INCR n"), ":18000 :1 ")
		n.want(n.run("SCARD u", "GET n"), ":18000 $1 1 ")
		// Many at once, against writers that change what they look at: each is
		// answered, by what the loop gives it in the end if need be.
		var heavy, light []chan group.Reply
		for i := range 8 {
			n.seq++
			heavy = append(heavy, n.submit(newGroup(n.session, n.seq, fmt.Sprintf("SUNIONSTORE u%d a b", i), "INCR n")))
			for range 5 {
				n.seq++
				light = append(light, n.submit(newGroup(n.session, n.seq, "SADD a x", "SREM a x", "INCR n")))
			}
		}
		for _, ch := range light {
			if r := <-ch; r.Status != group.OK {
				t.Errorf("light: %s", text(r))
			}
		}
		for _, ch := range heavy {
			if r := <-ch; !strings.HasPrefix(text(r), ":18000 ") {
				t.Errorf("heavy: %s", text(r))
			}
		}
		n.want(n.run("GET n"), "$2 49 ")
		// A stop in the middle answers it as lost.
		n.seq++
		g := newGroup(n.session, n.seq, "SUNIONSTORE u a b")
		var done chan group.Reply
		n.call(func(*Replica) { done = n.submit(g) })
		n.stop()
		if r := <-done; r.Status != group.Lost && r.Status != group.OK && r.Status != group.NotLeader {
			t.Errorf("stopped: %s", text(r))
		}
	})
}
