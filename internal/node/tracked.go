package node

import (
	"tutti/internal/cluster"
	"tutti/internal/eval"
	"tutti/internal/peer"
	"tutti/internal/shard"
	"tutti/internal/store"
	"tutti/internal/tracking"
)

// newTracked makes the table of what the node's clients have read, which the links serve.
func newTracked(n *Node) *tracking.Table {
	links := n.links
	t := tracking.New(tracking.Config{Node: n.self.Node, Logger: n.cfg.Logger, Up: links.Up,
		Map:  n.maps.Routes,
		Away: func(id cluster.ShardID) bool { return n.host.Away(id) },
		Probe: func(id cluster.ShardID, done func(ok bool)) {
			n.host.Read(&shard.Read{Shard: id, Done: func(v *store.View, _ int64, err error) {
				if err == nil {
					v.Release()
				}
				done(err == nil)
			}})
		},
		Offer: func(to cluster.NodeID, kind peer.Kind, build func([]byte) []byte) bool {
			return peer.Offer(links, to, peer.Bulk, kind, messagesWaitingMax, build)
		}})
	links.Handle(tracking.KindFollow, t.Follow)
	links.Handle(tracking.KindFed, t.Fed)
	return t
}

// applied takes what an entry has changed that is applied here.
func (n *Node) applied(id cluster.ShardID, index uint64, w eval.Written) {
	change := tracking.Change{Index: index, Keys: w.Keys, Renamed: w.Renamed}
	for _, x := range w.Served {
		change.Served = append(change.Served, tracking.Waiter{Session: x.Session, Seq: x.Seq})
	}
	n.reads.Applied(id, change)
}
