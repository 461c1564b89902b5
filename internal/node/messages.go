package node

import (
	"strconv"

	"tutti/internal/cluster"
	"tutti/internal/keyspace"
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

// notify tells those who want to know what became of keys, once by the key and once by
// what was done to it, and brings the messages of scripts.
func notify(hub *pubsub.Hub, events []keyspace.Event) {
	wanted := keyspace.Classes(hub.Events())
	for _, e := range events {
		if e.Message != keyspace.NoMessage {
			kind := pubsub.Channel
			if e.Message == keyspace.PublishedToShard {
				kind = pubsub.ShardChannel
			}
			hub.PublishLater(kind, []byte(e.Name), []byte(e.Key))
			continue
		}
		db := "@" + strconv.Itoa(int(e.DB)) + "__:"
		if wanted&keyspace.ByKey != 0 {
			hub.PublishLater(pubsub.Channel, []byte("__keyspace"+db+e.Key), []byte(e.Name))
		}
		if wanted&keyspace.ByEvent != 0 {
			hub.PublishLater(pubsub.Channel, []byte("__keyevent"+db+e.Name), []byte(e.Key))
		}
	}
}
