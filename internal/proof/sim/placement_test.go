package sim

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tutti/internal/cluster"
	"tutti/internal/resp"
)

// The cluster decides by itself where replicas are: what an operator says is
// only who joins, drains and leaves.

// A cluster of one grows to five as nodes join, gives a leader's copies away when
// it drains, and shrinks to one, under load.
func TestClusterPlacesItself(t *testing.T) {
	h := bubbleLoad(t, Options{Seed: 310, Nodes: 1, AutoPlace: true}, LoadOptions{Timeout: 3 * time.Second}, func(all *Cluster) {
		c := operator{all}
		c.Join()
		c.waitShape([]int{1}, []int{2})
		c.Join()
		c.waitShape([]int{1, 2, 3}, nil)
		c.Join()
		c.Join()
		c.waitShape([]int{1, 2, 3}, []int{4, 5})
		lead := c.WaitLeader(1)
		c.ok("TUTTI.MEMBER", "DRAIN", fmt.Sprint(lead))
		var voters []int
		for i := 1; i <= 4; i++ {
			if i != lead {
				voters = append(voters, i)
			}
		}
		c.waitShape(voters, []int{5})
		c.Remove(lead)
		c.discard(lead, nil)
		c.ok("TUTTI.MEMBER", "DRAIN", "5")
		c.waitShape(voters, nil)
		c.refused("ONECOPY", "TUTTI.MEMBER", "DRAIN", fmt.Sprint(voters[0]))
		c.ok("TUTTI.MEMBER", "DRAIN", fmt.Sprint(voters[0]), "ACCEPT-ONE-COPY")
		c.waitShape([]int{voters[1]}, []int{voters[2]})
		c.ok("TUTTI.MEMBER", "DRAIN", fmt.Sprint(voters[1]))
		c.waitShape([]int{voters[2]}, nil)
		c.refused("ERR node "+fmt.Sprint(voters[2])+": it is the last", "TUTTI.MEMBER", "DRAIN", fmt.Sprint(voters[2]), "ACCEPT-ONE-COPY")
		c.ok("TUTTI.MEMBER", "UNDRAIN", "5")
		c.ok("TUTTI.MEMBER", "UNDRAIN", fmt.Sprint(voters[0]))
		three := []int{voters[0], voters[2], 5}
		slices.Sort(three)
		c.waitShape(three, nil)
	})
	noPause(t, h)
}

// A voter that is dead for long enough is replaced by itself, wherever leadership
// of meta was; it learns when it comes back.
func TestDeadVoterIsReplacedByItself(t *testing.T) {
	bubbleLoad(t, Options{Seed: 311, Nodes: 4, AutoPlace: true}, LoadOptions{Timeout: 3 * time.Second}, func(all *Cluster) {
		c := operator{all}
		if got := c.ask("TUTTI.POLICY", "DEAD-AFTER", "8"); got == "" {
			t.Fatal("no policy")
		}
		c.waitShape([]int{1, 2, 3}, []int{4})
		dead := c.WaitLeader(int(cluster.Meta))
		c.Crash(dead)
		time.Sleep(5 * time.Second)
		c.waitShape([]int{1, 2, 3}, []int{4}) // not yet
		rest := []int{1, 2, 3, 4}
		rest = slices.DeleteFunc(rest, func(i int) bool { return i == dead })
		c.waitShape(rest, nil)
		c.Start(dead)
		c.waitShape(rest, []int{dead})
	})
}

// While replicas move and no node fails, no command fails: a read that waits on a
// node whose replica leaves goes to the leader. Clients of a node that is drained
// are refused, or find their connection closed; then nothing of that was applied.
func TestCommandsGoOnWhileReplicasMove(t *testing.T) {
	bubbleLoad(t, Options{Seed: 312, Nodes: 4, AutoPlace: true}, LoadOptions{Timeout: 3 * time.Second}, func(all *Cluster) {
		c := operator{all}
		c.waitShape([]int{1, 2, 3}, []int{4})
		c.ask("SET", "k", "v")
		var stop atomic.Bool
		var readers sync.WaitGroup
		for i := 1; i <= 4; i++ {
			readers.Go(func() {
				k := c.Client("").At(i)
				defer func() { k.Close() }()
				for n := 1; !stop.Load(); n++ {
					for _, do := range [][]string{{"GET", "k", "v"}, {"INCR", fmt.Sprint("count", i), fmt.Sprint(n)}} {
						v, err := k.Do(do[:2]...)
						for sentAway(v, err) && !stop.Load() {
							k.Close()
							time.Sleep(10 * time.Millisecond)
							k = c.Client("").At(i)
							v, err = k.Do(do[:2]...)
						}
						if sentAway(v, err) {
							return
						}
						if err != nil || Text(v) != do[2] {
							t.Errorf("%s %v through node %d: %s %v, want %s", stamp(), do[:2], i, Text(v), err, do[2])
							return
						}
					}
				}
			})
		}
		for _, out := range []int{2, 3, 1, 4, 2, 1} {
			rest := []int{1, 2, 3, 4}
			rest = slices.DeleteFunc(rest, func(i int) bool { return i == out })
			c.ok("TUTTI.MEMBER", "DRAIN", fmt.Sprint(out))
			c.waitShape(rest, nil)
			c.ok("TUTTI.MEMBER", "UNDRAIN", fmt.Sprint(out))
			c.waitShape(rest, []int{out})
		}
		stop.Store(true)
		readers.Wait()
	})
}

// sentAway reports whether a node that is drained has closed the connection instead
// of executing a command, or refused it.
func sentAway(v resp.Value, err error) bool {
	return errors.Is(err, io.EOF) || err == nil && v.IsError() && strings.HasPrefix(Text(v), "TRYAGAIN this node is drained")
}
