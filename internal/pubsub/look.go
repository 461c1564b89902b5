package pubsub

import (
	"maps"
	"slices"

	"tutti/internal/glob"
)

// What PUBSUB and INFO show: of all nodes whose tables are known.

// wanted returns how many subscribers each name of a kind has. h.mu is held.
func (h *Hub) wanted(kind Kind) map[string]uint64 {
	all := make(map[string]uint64, len(h.here.by[kind]))
	for name, subscribers := range h.here.by[kind] {
		all[name] = uint64(len(subscribers))
	}
	for _, p := range h.others.peers {
		if p.known {
			for name, n := range p.wants[kind] {
				all[name] += n
			}
		}
	}
	return all
}

// Names lists the names of a kind that have subscribers, sorted; with a pattern those
// that match it.
func (h *Hub) Names(kind Kind, pattern []byte) []string {
	h.mu.RLock()
	names := slices.Sorted(maps.Keys(h.wanted(kind)))
	h.mu.RUnlock()
	if pattern == nil {
		return names
	}
	return slices.DeleteFunc(names, func(name string) bool { return !glob.Match(pattern, []byte(name)) })
}

// Subscribers returns how many have subscribed to a name.
func (h *Hub) Subscribers(kind Kind, name string) (n int) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	n = len(h.here.by[kind][name])
	for _, p := range h.others.peers {
		if p.known {
			n += int(p.wants[kind][name])
		}
	}
	return n
}

// Hears reports whether somebody on this node is told what is published to a channel.
func (h *Hub) Hears(channel string) bool {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if len(h.here.by[Channel][channel]) > 0 {
		return true
	}
	for pattern := range h.here.by[Pattern] {
		if glob.Match([]byte(pattern), []byte(channel)) {
			return true
		}
	}
	return false
}

// Counts is what a hub has counted since the node has started, and how things are.
type Counts struct {
	// Here are the names that have subscribers on this node, by kind.
	Here [kinds]int
	// Published are the messages of this node's clients, Received those that other
	// nodes have sent here.
	Published, Received int64
	// LostOnLink were not sent to a node that wanted them, since it could not be
	// reached or did not take what it was sent; LostInInbox came and found too many
	// others before them.
	LostOnLink, LostInInbox int64
}

// Counts returns what was counted.
func (h *Hub) Counts() (c Counts) {
	h.mu.RLock()
	for kind := range h.here.by {
		c.Here[kind] = len(h.here.by[kind])
	}
	h.mu.RUnlock()
	c.Published, c.Received = h.count.published.Load(), h.count.received.Load()
	c.LostOnLink, c.LostInInbox = h.count.lostOnLink.Load(), h.count.lostInInbox.Load()
	return c
}
