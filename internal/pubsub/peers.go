package pubsub

import (
	"iter"
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
	// retryAfter is when a peer is told again that had no room for what it was told.
	retryAfter = 200 * time.Millisecond
)

// peerState is what is known of a peer.
type peerState struct {
	linked bool      // this node can send to it
	ever   bool      // it could
	due    time.Time // until when the table is waited for once it is linked

	known      bool // the table is whole, as of seq
	building   bool // the first parts of it have come
	start, seq uint64
	wants      [kinds]map[string]uint64
	events     uint16

	acked uint64 // the last change that it has said to have heard of
	late  uint64 // nobody waits for it until it has heard of this one
	owed  bool   // it had no room for a change
	asked bool   // for its table
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

// forget forgets the table.
func (p *peerState) forget() {
	p.known, p.building, p.wants = false, false, [kinds]map[string]uint64{}
}

func (p *peerState) take(entries []entry) {
	for _, e := range entries {
		switch {
		case e.count == 0:
			delete(p.wants[e.kind], e.name)
		case p.wants[e.kind] == nil:
			p.wants[e.kind] = map[string]uint64{e.name: e.count}
		default:
			p.wants[e.kind][e.name] = e.count
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
		p.forget()
		p.events = 0
		p.owed, p.asked = false, false
		h.others.count()
		h.others.dontWait(node)
		h.others.wake()
		return
	}
	p.ever, p.due = true, time.Now().Add(tableMax)
	p.acked, p.late = 0, 0 // it may be another start of the peer
	h.others.sendTable(node, p)
	if !p.known {
		h.others.ask(node, p)
	}
	h.others.wake()
}

// count finds out which notifications are wanted on any node. While the table of a peer
// is not known those count that it wanted last.
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
	p := h.others.peer(from)
	switch next := f.start == p.start; {
	case f.flags&firstPart != 0:
		p.forget()
		p.building, p.asked, p.start, p.seq = true, false, f.start, f.seq
	case next && p.building && f.seq == p.seq:
	case next && p.known && f.seq == p.seq+1 && f.flags == 0:
		p.seq = f.seq
	default: // something is missing
		p.forget()
		h.others.ask(from, p)
		return
	}
	p.take(f.entries)
	p.events = f.events
	h.others.count()
	if f.flags&lastPart != 0 {
		p.known, p.building = true, false
		h.others.wake()
	}
	if p.known {
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
	if x.stopped {
		return
	}
	if x.retry == nil {
		x.retry = time.AfterFunc(retryAfter, x.again)
	} else {
		x.retry.Reset(retryAfter)
	}
}

// payUp tells those who are owed.
func (h *Hub) payUp() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for node, p := range h.others.peers {
		if p.owed && p.linked && !h.closed {
			h.others.sendTable(node, p)
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
	case p == nil || !p.ever:
		return x.born.Add(arrivalMax)
	case p.linked && !p.known:
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
