package pubsub

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"tutti/internal/cluster"
	"tutti/internal/peer"
)

// Config says how a hub reaches the other nodes. The zero value is a hub that is alone.
type Config struct {
	Node  cluster.NodeID
	Start uint64 // number of this start of the node, never drawn twice
	// Map lists the nodes. Nil: there is no other.
	Map *cluster.Holder
	// Send sends a frame to a peer, or reports that it can't; Offer does so only if not
	// much waits for the peer already. Neither blocks.
	Send, Offer func(to cluster.NodeID, kind peer.Kind, build func(dst []byte) []byte) bool
	Logger      *slog.Logger
}

// Hub is where the messages of a node meet. It is safe for concurrent use.
type Hub struct {
	cfg   Config
	inbox inbox
	count counters
	quit  chan struct{}
	wg    sync.WaitGroup

	mu     sync.RWMutex // guards all below
	here   registry
	others exchange
	closed bool
}

// counters count since the node has started.
type counters struct {
	published, received, lostOnLink, lostInInbox atomic.Int64
}

// New returns a hub without subscribers. Run starts to hand over what comes from other
// nodes.
func New(cfg Config) *Hub {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	h := &Hub{cfg: cfg, quit: make(chan struct{})}
	h.inbox.wake = make(chan struct{}, 1)
	x := &h.others
	x.cfg, x.born, x.here, x.peers, x.again = cfg, time.Now(), &h.here, make(map[cluster.NodeID]*peerState), h.payUp
	return h
}

// Run starts the hub.
func (h *Hub) Run() { h.wg.Go(h.handOver) }

// Close ends the hub and returns when nothing of it runs any more.
func (h *Hub) Close() {
	h.mu.Lock()
	if !h.closed {
		h.closed = true
		close(h.quit)
	}
	h.others.stop()
	h.mu.Unlock()
	h.wg.Wait()
}

// handOver hands messages of other nodes to the subscribers here.
func (h *Hub) handOver() {
	for {
		select {
		case <-h.quit:
			return
		case <-h.inbox.wake:
		}
		for _, m := range h.inbox.take() {
			if m.everywhere {
				h.Publish(m.kind, m.channel, m.payload)
			} else {
				h.Deliver(m.kind, m.channel, m.payload)
			}
		}
	}
}

// Publish sends a message to all who have subscribed, of kind Channel or ShardChannel,
// and returns how many there are. It keeps nothing of the arguments.
func (h *Hub) Publish(kind Kind, channel, payload []byte) (receivers int) {
	h.count.published.Add(1)
	m := envelope{kind: kind, channel: channel, payload: payload}
	h.mu.RLock()
	defer h.mu.RUnlock()
	receivers = h.here.deliver(kind, channel, payload)
	for node, p := range h.others.peers {
		n := p.receivers(kind, channel)
		if n == 0 {
			continue
		}
		if p.post(&h.cfg, node, m) {
			receivers += n
		} else {
			h.count.lostOnLink.Add(1)
		}
	}
	return receivers
}

// PublishLater is Publish for whoever has no time. It keeps the arguments, which must
// not change any more.
func (h *Hub) PublishLater(kind Kind, channel, payload []byte) {
	if !h.inbox.put(envelope{kind: kind, channel: channel, payload: payload, everywhere: true}) {
		h.count.lostInInbox.Add(1)
	}
}

// DeliverLater is Deliver for whoever has no time, as PublishLater is Publish.
func (h *Hub) DeliverLater(kind Kind, channel, payload []byte) {
	if !h.inbox.put(envelope{kind: kind, channel: channel, payload: payload}) {
		h.count.lostInInbox.Add(1)
	}
}

// Deliver is Publish for subscribers on this node only.
func (h *Hub) Deliver(kind Kind, channel, payload []byte) (receivers int) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.here.deliver(kind, channel, payload)
}

// Message takes a message from a peer; it keeps the frame.
func (h *Hub) Message(from cluster.NodeID, frame []byte) {
	m, err := decodeEnvelope(frame)
	if err != nil {
		h.nonsense(from, err)
		return
	}
	if !h.inbox.news(from, m) {
		return
	}
	h.count.received.Add(1)
	if !h.inbox.put(m) {
		h.count.lostInInbox.Add(1)
	}
}

func (h *Hub) nonsense(from cluster.NodeID, err error) {
	h.cfg.Logger.Error("a frame about messages can't be read", slog.Uint64("peer", uint64(from)), slog.Any("error", err))
}

// Subscribe subscribes to a name, and reports whether that is new. Peers are being told
// when it returns, see Settle.
func (h *Hub) Subscribe(s *Subscriber, kind Kind, name string) bool {
	if !s.add(kind, name) {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.others.change([]entry{{kind, uint64(h.here.add(kind, name, s)), name}})
	return true
}

// Unsubscribe is the contrary. No message by this name is pushed to the subscriber once
// it has returned.
func (h *Hub) Unsubscribe(s *Subscriber, kind Kind, name string) bool {
	if !s.remove(kind, name) {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.others.change([]entry{{kind, uint64(h.here.remove(kind, name, s)), name}})
	return true
}

// Leave unsubscribes from everything.
func (h *Hub) Leave(s *Subscriber) {
	for kind := range kinds {
		names := s.Names(kind)
		if len(names) == 0 {
			continue
		}
		entries := make([]entry, 0, len(names))
		h.mu.Lock()
		for _, name := range names {
			if s.remove(kind, name) {
				entries = append(entries, entry{kind, uint64(h.here.remove(kind, name, s)), name})
			}
		}
		for part := range parts(entries) {
			h.others.change(part)
		}
		h.mu.Unlock()
	}
}

// SetEvents says which notifications about keys are wanted on this node.
func (h *Hub) SetEvents(events uint16) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if events != h.others.events {
		h.others.events = events
		h.others.change(nil)
		h.others.count()
	}
}

// Events returns which notifications about keys are wanted on any node. It takes no
// lock.
func (h *Hub) Events() uint16 { return uint16(h.others.wanted.Load()) }
