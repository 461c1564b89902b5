package server

import "tutti/internal/resp"

// spares is what the clients of a loop are lent while they have something under
// way: most of thousands rest, and hold nothing.
type spares struct {
	read    resp.Pool
	replies [][]byte
	pending [][]pending
}

// sparesMax is how many pieces of each kind a loop keeps.
const sparesMax = 256

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
	if p := c.pipeline.pending; cap(p) > 0 && len(s.pending) < sparesMax {
		s.pending = append(s.pending, p[:0])
	}
	if r := c.out.replies; cap(r) > 0 && cap(r) <= outKeep && len(s.replies) < sparesMax {
		s.replies = append(s.replies, r[:0])
	}
	c.pipeline.pending, c.out.replies = nil, nil
}
