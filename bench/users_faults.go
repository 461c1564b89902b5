package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"tutti/internal/cluster"
	"tutti/internal/keyspace"
	"tutti/internal/node"
	"tutti/internal/proof/action"
	"tutti/internal/shard"
)

// userFaults are faults of nodes, their links and their clocks.
func userFaults() []fault {
	var kinds []fault
	for _, f := range faultKinds() {
		if f.name != "client cut" && f.name != "corruption" {
			kinds = append(kinds, f)
		}
	}
	return append(kinds, fault{name: "clock", weight: 3, fits: always, plan: clockJump})
}

// clockJump ends a node, and starts it with another clock: up to an hour ahead or behind.
func clockJump(n *nemesis, node int) (*action.Plan, time.Duration) {
	plan := action.Halt("kill", node+1)
	plan.Begin = append(plan.Begin, fmt.Sprintf("clock %d ahead=%v", node+1, n.between(-time.Hour, time.Hour).Round(time.Second)))
	return plan, n.between(100*time.Millisecond, 2*time.Second)
}

// metaCut is a fault in which a node does not hear of users, and reads go on through it.
const metaCut = "cut from meta"

// cutFromMeta cuts a node from the one that leads meta, where another leads a shard: the node
// goes by its old users, and has views of that shard in which newer ones are known. Readers
// are led there meanwhile.
func (c *crowd) cutFromMeta(ctx context.Context, n *nemesis) error {
	var plan *action.Plan
	var deaf *deafNode
	for range 4 { // while one node leads all
		leaders := n.leaders()
		meta := leaders[cluster.Meta].Leader
		if plan, deaf = n.deafen(leaders); plan != nil {
			break
		}
		if meta != 0 {
			n.unseat(int(meta))
		}
		if err := sleep(ctx, time.Second); err != nil {
			return err
		}
	}
	if plan == nil {
		return nil // no such luck
	}
	lasts := n.between(7*time.Second, 10*time.Second)
	n.counts[metaCut]++
	n.say("%-15s %s", metaCut, strings.Join(plan.Begin, ", "))
	from := n.rec.Now()
	n.do(ctx, plan.Begin)
	deaf.until = from + lasts
	c.deaf.Store(deaf)
	err := sleep(ctx, lasts)
	n.do(ctx, plan.End)
	n.past = append(n.past, span{metaCut, from, n.rec.Now()})
	return err
}

// deafen plans how a node does not hear of users; nil: there is none that could read then.
func (n *nemesis) deafen(leaders map[cluster.ShardID]shard.Info) (*action.Plan, *deafNode) {
	meta := leaders[cluster.Meta].Leader
	for id, led := range leaders {
		if id == cluster.Meta || led.Leader == meta || meta == 0 {
			continue
		}
		// Who leads the shard hears of the users: changes are answered. It is another that does not.
		others := slices.DeleteFunc(n.b.others(int(meta)-1), func(i int) bool { return i == int(led.Leader)-1 })
		node := others[n.rand.IntN(len(others))]
		return action.Isolate(n.b.host(node), n.b.host(int(meta)-1)), &deafNode{node: node, first: led.First, end: led.End}
	}
	return nil, nil
}

// unseat lets a node that leads all stand still, until others are elected.
func (n *nemesis) unseat(node int) {
	from, plan := n.rec.Now(), action.Pause(node)
	n.do(context.Background(), plan.Begin)
	time.Sleep(n.between(1500*time.Millisecond, 2500*time.Millisecond))
	n.do(context.Background(), plan.End)
	n.past = append(n.past, span{"pause", from, n.rec.Now()})
}

// deafNode is a node that does not hear of users until some time, and reads these slots.
type deafNode struct {
	node       int
	first, end int
	until      time.Duration
}

// reads reports whether a key is one that the node reads; nil reads all.
func (d *deafNode) reads(key string) bool {
	if d == nil {
		return true
	}
	slot := int(keyspace.Slot([]byte(key)))
	return d.first <= slot && slot < d.end
}

// deafNow returns the node that does not hear of users now; nil: there is none.
func (c *crowd) deafNow() *deafNode {
	if d := c.deaf.Load(); d != nil && c.rec.Now() < d.until {
		return d
	}
	return nil
}

// leaders returns the shards as those see them who lead them.
func (n *nemesis) leaders() map[cluster.ShardID]shard.Info {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	return leadersBy(tuttiSystem{}.statuses(ctx, n.b))
}

// leadersBy returns what leaders tell of their shards, those of the newest term.
func leadersBy(all []*node.Status) map[cluster.ShardID]shard.Info {
	leaders := map[cluster.ShardID]shard.Info{}
	for _, s := range all {
		if s == nil {
			continue
		}
		for _, x := range s.Shards {
			if x.Leader == s.Node && x.Term > leaders[x.Shard].Term {
				leaders[x.Shard] = x
			}
		}
	}
	return leaders
}
