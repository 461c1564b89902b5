package server

import "tutti/internal/resp"

// spares is what the clients of a loop are lent while they have something under
// way: most of thousands rest, and hold nothing.
type spares struct {
	read    resp.Pool
	replies [][]byte
	pending [][]pending
}

const (
	// sparesMax is how many pieces of each kind a loop keeps, sparesLargeMax how many
	// before it takes small ones only: what a GET or SET needs.
	sparesMax         = 1024
	sparesLargeMax    = 256
	spareRepliesSmall = 2 << 10 // bytes
	sparePendingSmall = 8       // commands
)

// lend gives a client what it needs for commands.
func (s *spares) lend(c *conn) {
	if n := len(s.pending) - 1; c.pipeline.pending == nil && n >= 0 {
		c.pipeline.pending, s.pending = s.pending[n], s.pending[:n]
	}
	if n := len(s.replies) - 1; c.out.replies == nil && n >= 0 {
		c.out.replies, s.replies = s.replies[n], s.replies[:n]
	}
}

// takeBack takes what a client has that has no commands.
func (s *spares) takeBack(c *conn) {
	if p := c.pipeline.pending; spared(len(s.pending), cap(p), sparePendingSmall) {
		s.pending = append(s.pending, p[:0])
	}
	if r := c.out.replies; cap(r) <= outKeep && spared(len(s.replies), cap(r), spareRepliesSmall) {
		s.replies = append(s.replies, r[:0])
	}
	c.pipeline.pending, c.out.replies = nil, nil
}

// spared reports whether another piece of a size is kept beside n.
func spared(n, size, small int) bool {
	return size > 0 && (n < sparesLargeMax || n < sparesMax && size <= small)
}
