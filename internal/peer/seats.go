package peer

import (
	"fmt"
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
		return nil, fmt.Errorf("start %d of node %d comes while start %d is connected", h.Incarnation, h.Node, had.incarnation)
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
