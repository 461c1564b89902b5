package sim

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"tutti/internal/cluster"
	"tutti/internal/node"
	"tutti/internal/trust"
)

// Nodes join and leave a cluster that runs, and replicas move among them. What
// an operator does by commands later is done here by the commands of the meta
// shard.

// operator is who changes a cluster.
type operator struct{ *Cluster }

// changeWithin bounds how long a change may take without faults.
const changeWithin = 30 * time.Second

// ask sends an administrative command to any node until one answers it.
func (c operator) ask(args ...string) string {
	c.t.Helper()
	var last string
	for end := time.Now().Add(changeWithin); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		for i := range c.machines {
			if !c.Up(i + 1) {
				continue
			}
			v, err := c.admin.At(i + 1).Do(args...)
			if err == nil && !v.IsError() {
				return Text(v)
			}
			last = fmt.Sprint(Text(v), err)
		}
	}
	c.t.Fatalf("%s %v is not answered: %s", stamp(), args, last)
	return ""
}

// Join adds a node to the cluster and starts it, without replicas.
func (c operator) Join() int {
	c.t.Helper()
	m := newMachine(c.opts, len(c.machines)+1)
	c.machines = append(c.machines, m)
	x := m.member()
	id := c.ask("TUTTI.MEMBER", "SET", "0", m.name, "", x.Peer, x.Client, "0", "0", fmt.Sprint(cluster.Newest))
	if id != fmt.Sprint(m.id) {
		c.t.Fatalf("node %d joined as %s", m.id, id)
	}
	var from *machine
	for i, x := range c.machines[:m.id-1] {
		if c.Up(i + 1) {
			from = x
			break
		}
	}
	var now *cluster.Map
	for end := time.Now().Add(changeWithin); ; time.Sleep(50 * time.Millisecond) {
		var err error
		if now, err = node.ReadMap(from.disk.mem, from.dir); err == nil {
			if _, ok := now.Member(x.ID); ok {
				break
			}
		}
		if time.Now().After(end) {
			c.t.Fatalf("%s node 1 does not know node %d: %v", stamp(), m.id, err)
		}
	}
	ca, err := trust.LoadCA(from.disk.mem, from.dir)
	if err != nil {
		c.t.Fatal(err)
	}
	mem := vfs.NewCrashableMem()
	if err := node.FormMember(mem, m.dir, now, x.ID, ca, true); err != nil {
		c.t.Fatalf("form node %d: %v", m.id, err)
	}
	m.disk = newDisk(mem.CrashClone(vfs.CrashCloneCfg{}), m.gate, &m.room)
	c.Start(m.id)
	return m.id
}

// Place plans that a shard has voters on these nodes.
func (c operator) Place(shard int, nodes ...int) {
	c.t.Helper()
	args := []string{"TUTTI.PLACE", fmt.Sprint(shard)}
	for _, n := range nodes {
		args = append(args, fmt.Sprint(n))
	}
	if got := c.ask(args...); got != "OK" {
		c.t.Fatalf("%v: %s", args, got)
	}
}

// WaitPlaced waits until exactly these nodes vote in a shard, and no other
// replicas are left.
func (c operator) WaitPlaced(shard int, nodes ...int) {
	c.t.Helper()
	want := slices.Sorted(slices.Values(nodes))
	var last string
	for end := time.Now().Add(changeWithin); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		c.restart()
		var m struct {
			Shards []struct {
				ID       int               `json:"id"`
				Replicas []cluster.Replica `json:"replicas"`
			} `json:"shards"`
		}
		last = c.ask("TUTTI.MAP")
		if err := json.Unmarshal([]byte(last), &m); err != nil {
			c.t.Fatalf("%v: %s", err, last)
		}
		for _, s := range m.Shards {
			var got []int
			for _, r := range s.Replicas {
				if r.Part == cluster.Voter {
					got = append(got, int(r.Node))
				}
			}
			slices.Sort(got)
			if s.ID == shard && slices.Equal(got, want) && len(s.Replicas) == len(want) && c.dropped(shard, want) {
				return
			}
		}
	}
	c.t.Fatalf("%s shard %d is not on %v after %v: %s", stamp(), shard, nodes, changeWithin, last)
}

// dropped reports whether no node that is up but these has data of a shard.
func (c operator) dropped(shard int, want []int) bool {
	for i := range c.machines {
		if !c.Up(i+1) || slices.Contains(want, i+1) {
			continue
		}
		s, err := c.Status(i + 1)
		if err != nil {
			return false
		}
		for _, info := range s.Shards {
			if int(info.Shard) == shard && info.Replica != 0 {
				return false
			}
		}
	}
	return true
}

// MoveAll plans and waits for all shards, meta first.
func (c operator) MoveAll(nodes ...int) {
	c.t.Helper()
	for s := range c.opts.Shards + 1 {
		c.Place(s, nodes...)
	}
	for s := range c.opts.Shards + 1 {
		c.WaitPlaced(s, nodes...)
	}
}

// Remove takes a node that has no replicas out of the cluster; it stops by
// itself.
func (c operator) Remove(i int) {
	c.t.Helper()
	if got := c.ask("TUTTI.MEMBER", "REMOVE", fmt.Sprint(i)); got != "OK" {
		c.t.Fatalf("remove node %d: %s", i, got)
	}
}

// discard ends a removed node for the rest of the run.
func (c operator) discard(i int, err error) {
	if c.Up(i) {
		c.Crash(i)
	}
	c.machine(i).dead = errors.Join(errors.New("it was removed"), err)
}

// replica returns the id of node i's replica of a shard, 0 if it has none.
func (c operator) replica(i, shard int) cluster.ReplicaID {
	c.t.Helper()
	s, err := c.Status(i)
	if err != nil {
		c.t.Fatal(err)
	}
	for _, info := range s.Shards {
		if int(info.Shard) == shard {
			return info.Replica
		}
	}
	return 0
}

// waitShape waits until every shard has exactly these voters and learners.
func (c operator) waitShape(voters, learners []int) {
	c.t.Helper()
	var last string
	for end := time.Now().Add(changeWithin); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		c.restart()
		var m struct {
			Shards []struct {
				Replicas []cluster.Replica `json:"replicas"`
			} `json:"shards"`
		}
		last = c.ask("TUTTI.MAP")
		if err := json.Unmarshal([]byte(last), &m); err != nil {
			c.t.Fatalf("%v: %s", err, last)
		}
		right := true
		for _, s := range m.Shards {
			var votes, learns []int
			for _, r := range s.Replicas {
				if r.Part == cluster.Learner {
					learns = append(learns, int(r.Node))
				} else {
					votes = append(votes, int(r.Node))
				}
			}
			slices.Sort(votes)
			slices.Sort(learns)
			right = right && slices.Equal(votes, voters) && slices.Equal(learns, learners)
		}
		if right {
			return
		}
	}
	c.t.Fatalf("%s no shape of voters %v and learners %v after %v: %s", stamp(), voters, learners, changeWithin, last)
}

// ok sends an administrative command that is to succeed.
func (c operator) ok(args ...string) {
	c.t.Helper()
	if got := c.ask(args...); got != "OK" {
		c.t.Fatalf("%v: %s", args, got)
	}
}

// refused sends a command until it is refused with this text.
func (c operator) refused(text string, args ...string) {
	c.t.Helper()
	var last string
	for end := time.Now().Add(changeWithin); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		for i := range c.machines {
			if !c.Up(i + 1) {
				continue
			}
			v, err := c.admin.At(i + 1).Do(args...)
			if last = fmt.Sprint(Text(v), err); err == nil && v.IsError() && strings.HasPrefix(Text(v), text) {
				return
			}
		}
	}
	c.t.Fatalf("%s %v is not refused with %s: %s", stamp(), args, text, last)
}
