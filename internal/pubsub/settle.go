package pubsub

import (
	"log/slog"
	"slices"

	"tutti/internal/cluster"
)

// Settling is changes of what this node wants, on their way to the peers.
type Settling struct {
	// Done is closed when all peers have heard of them that can be reached.
	Done chan struct{}
	seq  uint64
	need []cluster.NodeID // that have not yet
}

// Settle returns what to wait for until all peers that can be reached know of what was
// subscribed to here so far, or nil if they do.
func (h *Hub) Settle() *Settling {
	h.mu.Lock()
	defer h.mu.Unlock()
	x := &h.others
	w := &Settling{seq: x.seq}
	for node, p := range x.peers {
		if p.linked && p.acked >= p.late && p.acked < x.seq {
			w.need = append(w.need, node)
		}
	}
	if len(w.need) == 0 || h.closed {
		return nil
	}
	w.Done = make(chan struct{})
	x.settling = append(x.settling, w)
	return w
}

// GiveUp says that w has been waited for long enough: from now on nobody waits for the
// peers that it lacks, until they tell that they have heard of what they were told.
func (h *Hub) GiveUp(w *Settling) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, node := range slices.Clone(w.need) {
		p := h.others.peer(node)
		p.late = h.others.seq
		h.others.owe(p)
		h.cfg.Logger.Debug("a peer does not tell that it has heard of subscriptions", slog.Uint64("peer", uint64(node)))
		h.others.dontWait(node)
	}
}

// Heard takes from a peer which change it has taken over.
func (h *Hub) Heard(from cluster.NodeID, frame []byte) {
	f, err := decodeHeard(frame)
	if err != nil {
		h.nonsense(from, err)
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if f.start != h.cfg.Start {
		return // it has heard an earlier start of this node
	}
	p := h.others.peer(from)
	p.acked = max(p.acked, f.seq)
	h.others.settle(from, p.acked)
}

// dontWait has nobody wait for a peer.
func (x *exchange) dontWait(node cluster.NodeID) { x.settle(node, x.seq) }

// settle has nobody wait for a peer that has heard of all changes up to seq.
func (x *exchange) settle(node cluster.NodeID, seq uint64) {
	x.settling = slices.DeleteFunc(x.settling, func(w *Settling) bool {
		if w.seq <= seq {
			w.need = slices.DeleteFunc(w.need, func(n cluster.NodeID) bool { return n == node })
		}
		if len(w.need) > 0 {
			return false
		}
		close(w.Done)
		return true
	})
}
