package sim

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"tutti/internal/cluster"
	"tutti/internal/node"
	"tutti/internal/shard"
)

// Status asks node i for what it knows by itself.
func (c *Cluster) Status(i int) (node.Status, error) { return askStatus(c, i, "LOCAL") }

// Verdict asks node i for its status with a verdict, for which it asks others.
func Verdict(c *Cluster, i int) (node.Status, error) { return askStatus(c, i) }

func askStatus(c *Cluster, i int, how ...string) (node.Status, error) {
	var s node.Status
	if !c.Up(i) {
		return s, errors.New("down")
	}
	v, err := c.desk.admin.At(i).Do(append([]string{"TUTTI.STATUS"}, how...)...)
	if err != nil {
		return s, err
	}
	if v.IsError() {
		return s, fmt.Errorf("status of node %d: %s", i, v.Str)
	}
	if err := json.Unmarshal(v.Str, &s); err != nil {
		return s, err
	}
	if text := c.desk.seen.note(s, c.machine(i).rotten != ""); text != "" {
		c.t.Errorf("%s %s", stamp(), text)
	}
	return s, nil
}

// Leader returns the node that a majority takes for the leader of a shard, or 0.
func (c *Cluster) Leader(shard int) int {
	l, _ := c.leader(shard)
	return l
}

func (c *Cluster) leader(id int) (node int, term uint64) {
	votes := make(map[[2]uint64]int)
	for i := range c.machines {
		s, err := c.Status(i + 1)
		if err != nil {
			continue
		}
		at := slices.IndexFunc(s.Shards, func(info shard.Info) bool { return int(info.Shard) == id })
		if at < 0 {
			continue
		}
		info := s.Shards[at]
		if l := int(info.Leader); l != 0 && c.Up(l) && slices.Contains(info.Voters, s.Node) {
			at := [2]uint64{uint64(info.Leader), info.Term}
			if votes[at]++; votes[at] > len(info.Voters)/2 {
				return l, info.Term
			}
		}
	}
	return 0, 0
}

// leaderWithin bounds the time in which a majority without faults must agree on
// a leader.
const leaderWithin = 15 * time.Second

// WaitLeader waits until a shard has a leader that a majority follows.
func (c *Cluster) WaitLeader(shard int) int {
	c.t.Helper()
	for end := time.Now().Add(leaderWithin); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		c.restart()
		if l := c.Leader(shard); l != 0 {
			return l
		}
	}
	c.t.Fatalf("%s shard %d has no leader after %v", stamp(), shard, leaderWithin)
	return 0
}

// WaitEqual waits until all nodes that are not dead have applied the same of all
// shards and compares their hashes. A node that finds damage meanwhile has as
// much time from then on.
func (c *Cluster) WaitEqual(within time.Duration) {
	c.t.Helper()
	var last string
	for end := time.Now().Add(within); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if c.restart() > 0 {
			end = time.Now().Add(within)
		}
		var all []node.Status
		alive := 0
		for i := range c.machines {
			if c.Dead(i+1) != nil {
				continue
			}
			alive++
			if s, err := c.Status(i + 1); err == nil {
				all = append(all, s)
			}
		}
		if len(all) < alive {
			last = fmt.Sprintf("%d of %d nodes answer", len(all), alive)
			continue
		}
		if last = unequal(c.t, all); last == "" {
			return
		}
	}
	c.t.Fatalf("%s replicas did not converge within %v: %s", stamp(), within, last)
}

// unequal says in what the replicas differ, if they do. Replicas that have
// applied the same and have another hash end the test.
func unequal(t testing.TB, all []node.Status) string {
	t.Helper()
	type copyOf struct {
		node cluster.NodeID
		info shard.Info
	}
	first := make(map[cluster.ShardID]copyOf)
	last := ""
	for _, s := range all {
		for _, info := range s.Shards {
			if info.Replica == 0 {
				continue // the node has none of this shard
			}
			f, ok := first[info.Shard]
			switch {
			case !ok:
				first[info.Shard] = copyOf{s.Node, info}
			case info.Applied != f.info.Applied:
				last = fmt.Sprintf("shard %d: node %d applied %d, node %d %d", info.Shard, f.node, f.info.Applied, s.Node, info.Applied)
			case info.Hash != f.info.Hash:
				t.Fatalf("%s shard %d at %d: hash %s at node %d, %s at node %d", stamp(), info.Shard, info.Applied, f.info.Hash, f.node, info.Hash, s.Node)
			}
		}
	}
	return last
}
