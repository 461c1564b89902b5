package peer

import (
	"fmt"
	"log/slog"
	"sync"

	"tutti/internal/cluster"
)

// seats is which start of each peer is connected. Two processes with one
// identity, a node and a clone of its disk, would vote twice: whoever comes
// second is refused while the first still talks. A node that has died is gone
// when its connections break, after silenceMax at the latest.
type seats struct {
	mu    sync.Mutex // guards taken
	taken map[cluster.NodeID]*seat
}

type seat struct {
	incarnation, nonce uint64
	conns              int
}

// seatTakenError says that another start of a node is connected.
type seatTakenError struct {
	h    Hello
	sits uint64
}

func (e *seatTakenError) Error() string {
	return fmt.Sprintf("start %d of node %d comes while start %d is connected", e.h.Incarnation, e.h.Node, e.sits)
}

// take returns the seat of a peer's start, to be left when the connection ends.
func (s *seats) take(h Hello) (*seat, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taken == nil {
		s.taken = make(map[cluster.NodeID]*seat)
	}
	had := s.taken[h.Node]
	if had == nil {
		had = &seat{incarnation: h.Incarnation, nonce: h.Nonce}
		s.taken[h.Node] = had
	}
	if had.incarnation != h.Incarnation || had.nonce != h.Nonce {
		return nil, &seatTakenError{h, had.incarnation}
	}
	had.conns++
	return had, nil
}

// leave ends one connection of a seat, which may have been forgotten meanwhile.
func (s *seats) leave(node cluster.NodeID, at *seat) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at.conns--
	if at.conns == 0 && s.taken[node] == at {
		delete(s.taken, node)
	}
}

// forget frees the seat of a peer whose connections are all closed.
func (s *seats) forget(node cluster.NodeID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.taken, node)
}

// refusals is why each peer was refused last, so that it is logged once and not
// with each of its attempts.
type refusals struct {
	mu  sync.Mutex // guards why
	why map[cluster.NodeID]string
}

// tell logs why a peer is refused, unless it is for what it was refused before.
func (r *refusals) tell(node cluster.NodeID, err error, log *slog.Logger) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.why[node] == err.Error() {
		return
	}
	if r.why == nil {
		r.why = make(map[cluster.NodeID]string)
	}
	r.why[node] = err.Error()
	log.Warn("peer refused", slog.Uint64("peer", uint64(node)), slog.Any("error", err))
}

// end notes that a peer is refused no more, or gone.
func (r *refusals) end(node cluster.NodeID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.why, node)
}
