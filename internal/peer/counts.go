package peer

import (
	"cmp"
	"slices"
	"sync/atomic"
	"time"

	"tutti/internal/cluster"
)

// tally is what is counted of one link.
type tally struct {
	sent, received atomic.Uint64 // bytes of frames; snapshots have streams of their own
	// Frames that were not queued, since the peer was down or took too little.
	lostDown, lostFull atomic.Uint64
	connected          atomic.Uint64 // connections that this node has made
	rtt                atomic.Int64  // ns from the last question for the peer's clock to its answer; 0: none yet
}

// Counts is what a node knows of its link to one peer, since Connect.
type Counts struct {
	Node cluster.NodeID
	// Up is whether this node's connections to the peer stand; the peer may see
	// its own otherwise.
	Up                        bool
	Sent, Received            uint64
	LostWhileDown, LostByFull uint64
	Connected                 uint64
	RTT                       time.Duration // 0: not known
	// Ahead is how far the peer's wall clock is ahead of this node's, if that is
	// known: the middle of what it can be.
	Ahead      time.Duration
	AheadKnown bool
}

// CountLinks describes the links, in the order of the peers.
func CountLinks(l *Links) []Counts {
	mono, own := l.cfg.Mono(), time.Duration(l.cfg.Wall())*time.Millisecond
	var list []Counts
	for node, k := range *l.links.Load() {
		t := &k.tally
		c := Counts{Node: node, Up: l.Up(node), Sent: t.sent.Load(), Received: t.received.Load(),
			LostWhileDown: t.lostDown.Load(), LostByFull: t.lostFull.Load(), Connected: t.connected.Load(), RTT: time.Duration(t.rtt.Load())}
		c.Ahead, c.AheadKnown = l.clocks.ahead(node, mono, own)
		list = append(list, c)
	}
	slices.SortFunc(list, func(a, b Counts) int { return cmp.Compare(a.Node, b.Node) })
	return list
}

// ahead returns how far a peer's wall clock is ahead of this node's, which shows
// own when its monotonic clock shows mono.
func (c *clocks) ahead(node cluster.NodeID, mono, own time.Duration) (d time.Duration, ok bool) {
	c.mu.Lock()
	b, ok := c.known[node]
	c.mu.Unlock()
	if !ok || b.high >= unbounded/2 {
		return 0, false
	}
	b = b.aged(mono)
	return mono + (b.low+b.high)/2 - own, true
}
