package pubsub

import (
	"iter"
	"sync"
	"sync/atomic"
	"time"

	"tutti/internal/cluster"
	"tutti/internal/glob"
)

const (
	// tableMax is how long the table of a peer is waited for whose link has come up,
	// and how long a peer has to say that it has heard of a change.
	tableMax = time.Second
	// arrivalMax is how long after its start a node waits for links to its peers.
	arrivalMax = 2 * time.Second
	// retryAfter is when a peer is told again that had no room for what it was told, and
	// silentAfter when one that does not say that it has heard, until its link is found
	// broken.
	retryAfter  = 200 * time.Millisecond
	silentAfter = time.Second
)

// peerState is what is known of a peer.
type peerState struct {
	linked bool      // this node can send to it
	due    time.Time // until when the table is waited for once it is linked

	known bool   // the table is whole
	table        // as of its last change that has come
	next  *table // of which the first parts have come; nil: none

	acked uint64 // the last change that it has said to have heard of
	late  uint64 // nobody waits for it until it has heard of this one
	owed  bool   // it had no room for a change
	asked bool   // for its table

	posting sync.Mutex // guards posted, and orders what is posted
	posted  uint64     // number of the last message
}

// table is what a node wants.
type table struct {
	start, seq uint64 // of the node, and of the change
	wants      [kinds]map[string]uint64
	events     uint16
}

// exchange is what is known of the peers, and what they are told. The hub's mutex
// guards it.
type exchange struct {
	cfg      Config
	born     time.Time
	here     *registry
	events   uint16        // wanted on this node
	wanted   atomic.Uint32 // on any
	seq      uint64        // number of the last change of what is wanted here
	peers    map[cluster.NodeID]*peerState
	settling []*Settling
	changed  chan struct{} // closed when more is known of a peer; nil: nobody waits for that
	again    func()        // tells those who are owed something
	retry    *time.Timer   // of again
	stopped  bool
}

func (x *exchange) stop() {
	x.stopped = true
	if x.retry != nil {
		x.retry.Stop()
	}
}

func (x *exchange) peer(node cluster.NodeID) *peerState {
	p := x.peers[node]
	if p == nil {
		p = &peerState{}
		x.peers[node] = p
	}
	return p
}

// receivers returns how many receivers a message has there.
func (p *peerState) receivers(kind Kind, channel []byte) int {
	if !p.known {
		return 0
	}
	n := p.wants[kind][string(channel)]
	if kind == Channel {
		for pattern, count := range p.wants[Pattern] {
			if glob.Match([]byte(pattern), channel) {
				n += count
			}
		}
	}
	return int(n)
}

// post sends a message there.
func (p *peerState) post(cfg *Config, node cluster.NodeID, m envelope) bool {
	p.posting.Lock()
	defer p.posting.Unlock()
	p.posted++
	m.start, m.seq = cfg.Start, p.posted
	return cfg.Offer(node, KindMessage, m.encode)
}

// take takes over a change, or a part of the whole.
func (t *table) take(f interest) {
	t.seq, t.events = f.seq, f.events
	for _, e := range f.entries {
		switch {
		case e.count == 0:
			delete(t.wants[e.kind], e.name)
		case t.wants[e.kind] == nil:
			t.wants[e.kind] = map[string]uint64{e.name: e.count}
		default:
			t.wants[e.kind][e.name] = e.count
		}
	}
}

// LinkChanged is told that the link to a peer stands, or does not any more.
func (h *Hub) LinkChanged(node cluster.NodeID, up bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	p := h.others.peer(node)
	p.linked = up
	if !up {
		// What it has told may not be all that it wants any more when it can be
		// reached again.
		p.known, p.table, p.next = false, table{}, nil
		p.owed, p.asked = false, false
		h.others.count()
		h.others.dontWait(node)
		h.others.wake()
		return
	}
	p.due = time.Now().Add(tableMax)
	p.acked, p.late = 0, 0 // it may be another start of the peer
	h.others.sendTable(node, p)
	if !p.known {
		h.others.ask(node, p)
	}
	h.others.wake()
}

// count finds out which notifications are wanted on any node.
func (x *exchange) count() {
	events := x.events
	for _, p := range x.peers {
		events |= p.events
	}
	x.wanted.Store(uint32(events))
}

// ask asks a peer for its table, once until it comes.
func (x *exchange) ask(node cluster.NodeID, p *peerState) {
	if !p.asked {
		p.asked = x.cfg.Send(node, KindAsk, encodeAsk)
	}
}

// Interest takes a change of what a peer wants, or a part of all that it wants.
func (h *Hub) Interest(from cluster.NodeID, frame []byte) {
	f, err := decodeInterest(frame)
	if err != nil {
		h.nonsense(from, err)
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	x := &h.others
	p := x.peer(from)
	same := p.known && f.start == p.start
	switch {
	case f.flags&firstPart != 0:
		p.asked, p.next = false, &table{start: f.start}
		p.next.take(f)
	case p.next != nil && f.start == p.next.start && f.seq == p.next.seq:
		p.next.take(f)
	case same && f.flags == 0 && f.seq == p.seq+1:
		p.take(f)
	case same && f.flags == 0 && f.seq <= p.seq: // again, or late
	default: // something is missing; until it is there what is known has to do
		x.ask(from, p)
		return
	}
	if f.flags&lastPart != 0 {
		p.known, p.table, p.next = true, *p.next, nil
		h.others.wake()
	}
	x.count()
	if p.known && p.next == nil {
		h.cfg.Send(from, KindHeard, heard{p.start, p.seq}.encode)
	}
}

// Ask takes the question of a peer for the table.
func (h *Hub) Ask(from cluster.NodeID, frame []byte) {
	if err := decodeAsk(frame); err != nil {
		h.nonsense(from, err)
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.others.sendTable(from, h.others.peer(from))
}

// change tells the peers of a change of what is wanted here.
func (x *exchange) change(entries []entry) {
	x.seq++
	f := interest{start: x.cfg.Start, seq: x.seq, events: x.events, entries: entries}
	for node, p := range x.peers {
		if p.linked && !x.cfg.Send(node, KindInterest, f.encode) {
			x.owe(p)
		}
	}
}

// sendTable tells a peer all that is wanted here.
func (x *exchange) sendTable(node cluster.NodeID, p *peerState) {
	var all []entry
	for kind, names := range x.here.by {
		for name, subscribers := range names {
			all = append(all, entry{Kind(kind), uint64(len(subscribers)), name})
		}
	}
	f := interest{start: x.cfg.Start, seq: x.seq, flags: firstPart, events: x.events}
	sent := 0
	for part := range parts(all) {
		f.entries = part
		if sent += len(part); sent == len(all) {
			f.flags |= lastPart
		}
		if !x.cfg.Send(node, KindInterest, f.encode) {
			x.owe(p)
			return
		}
		f.flags = 0
	}
	p.owed = false
}

// parts cuts entries into parts that make frames of a moderate size, at least one.
func parts(entries []entry) iter.Seq[[]entry] {
	return func(yield func([]entry) bool) {
		for {
			n, size := 0, 0
			for n < len(entries) && size < partMax {
				size += len(entries[n].name) + 8
				n++
			}
			if !yield(entries[:n]) || n == len(entries) {
				return
			}
			entries = entries[n:]
		}
	}
}

// owe has a peer told all again that was not told a change.
func (x *exchange) owe(p *peerState) {
	p.owed = true
	x.tellLater(retryAfter)
}

// tellLater has those told again after a while who are owed something.
func (x *exchange) tellLater(after time.Duration) {
	switch {
	case x.stopped:
	case x.retry == nil:
		x.retry = time.AfterFunc(after, x.again)
	default:
		x.retry.Reset(after)
	}
}

// payUp tells those who are owed.
func (h *Hub) payUp() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for node, p := range h.others.peers {
		silent := p.acked < p.late
		if !p.linked || h.closed || !p.owed && !silent {
			continue
		}
		if h.others.sendTable(node, p); silent && !p.owed {
			h.others.tellLater(silentAfter)
		}
	}
}

// wake wakes those who wait for a table.
func (x *exchange) wake() {
	if x.changed != nil {
		close(x.changed)
		x.changed = nil
	}
}

// unheard returns until when the table of a peer is to be waited for; in the past, or
// zero: it is not.
func (x *exchange) unheard(node cluster.NodeID) (until time.Time) {
	p := x.peers[node]
	switch {
	case p == nil || !p.linked: // the first link of a node that starts may be lost at once
		return x.born.Add(arrivalMax)
	case !p.known:
		return p.due
	}
	return time.Time{}
}

// unheardUntil is unheard for the peers together.
func (x *exchange) unheardUntil(members []cluster.Member) (until time.Time) {
	for _, m := range members {
		if m.ID == x.cfg.Node {
			continue
		}
		if at := x.unheard(m.ID); at.After(until) {
			until = at
		}
	}
	return until
}

// Unheard tells whoever is about to publish whether there are peers that may have
// subscribers of whom nobody here knows yet. If so more is closed when that has changed,
// and it is not worth waiting beyond until; else more is nil.
func (h *Hub) Unheard() (more <-chan struct{}, until time.Time) {
	if h.cfg.Map == nil {
		return nil, until
	}
	members := h.cfg.Map.Map().Members
	h.mu.RLock()
	until = h.others.unheardUntil(members)
	h.mu.RUnlock()
	if until.IsZero() || !until.After(time.Now()) {
		return nil, until
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if until = h.others.unheardUntil(members); !until.After(time.Now()) {
		return nil, until
	}
	if h.others.changed == nil {
		h.others.changed = make(chan struct{})
	}
	return h.others.changed, until
}
