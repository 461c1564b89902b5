package node

import (
	"tutti/internal/cluster"
	"tutti/internal/peer"
	"tutti/internal/pubsub"
)

// messagesWaitingMax is how many bytes may wait for a peer before messages of clients
// are lost: what shards say to each other goes the same way.
const messagesWaitingMax = 8 << 20

// newMessages makes the node's hub of messages, which the links serve.
func newMessages(n *Node) *pubsub.Hub {
	links := n.links
	hub := pubsub.New(pubsub.Config{Node: n.self.Node, Start: n.start.Nonce, Map: n.maps, Logger: n.cfg.Logger,
		Send: func(to cluster.NodeID, kind peer.Kind, build func([]byte) []byte) bool {
			return links.Send(to, peer.Bulk, kind, build)
		},
		Offer: func(to cluster.NodeID, kind peer.Kind, build func([]byte) []byte) bool {
			return peer.Offer(links, to, peer.Bulk, kind, messagesWaitingMax, build)
		}})
	links.Handle(pubsub.KindInterest, hub.Interest)
	links.Handle(pubsub.KindHeard, hub.Heard)
	links.Handle(pubsub.KindAsk, hub.Ask)
	links.Handle(pubsub.KindMessage, hub.Message)
	return hub
}
