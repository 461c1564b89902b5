package sim

import (
	"fmt"

	"tutti/internal/cluster"
	"tutti/internal/node"
)

// sightings are what nodes have said in their statuses that must hold for ever,
// whatever comes and goes: an id of a replica is that of one replica, ids on a
// node only grow, a term has one leader, and only damaged data is made anew.
type sightings struct {
	generation map[cluster.NodeID]uint64
	made       map[replicaOf]cluster.NodeID
	newest     map[shardOn]cluster.ReplicaID
	led        map[shardTerm]cluster.NodeID
}

type replicaOf struct {
	shard cluster.ShardID
	id    cluster.ReplicaID
}

type shardOn struct {
	shard cluster.ShardID
	node  cluster.NodeID
}

type shardTerm struct {
	shard cluster.ShardID
	term  uint64
}

func newSightings() sightings {
	return sightings{make(map[cluster.NodeID]uint64), make(map[replicaOf]cluster.NodeID), make(map[shardOn]cluster.ReplicaID), make(map[shardTerm]cluster.NodeID)}
}

// note takes a status and says what in it contradicts an earlier one; empty:
// nothing. rotten says that the node's disk was damaged.
func (g sightings) note(s node.Status, rotten bool) string {
	if s.Generation > g.generation[s.Node] && !rotten {
		return fmt.Sprintf("node %d has made its data anew, and nobody had damaged it", s.Node)
	}
	g.generation[s.Node] = s.Generation
	for _, info := range s.Shards {
		if info.Replica == 0 {
			continue // what is said of the shard is what others have said
		}
		if was, ok := g.made[replicaOf{info.Shard, info.Replica}]; ok && was != s.Node {
			return fmt.Sprintf("replica %d of shard %d is on node %d, and was on node %d", info.Replica, info.Shard, s.Node, was)
		}
		g.made[replicaOf{info.Shard, info.Replica}] = s.Node
		on := shardOn{info.Shard, s.Node}
		if info.Replica < g.newest[on] {
			return fmt.Sprintf("node %d has replica %d of shard %d again after %d", s.Node, info.Replica, info.Shard, g.newest[on])
		}
		g.newest[on] = info.Replica
		if info.Leader == 0 {
			continue
		}
		at := shardTerm{info.Shard, info.Term}
		if was, ok := g.led[at]; ok && was != info.Leader {
			return fmt.Sprintf("node %d says that node %d leads shard %d in term %d; it was node %d before", s.Node, info.Leader, info.Shard, info.Term, was)
		}
		g.led[at] = info.Leader
	}
	return ""
}
