package server

import (
	"net"
	"net/netip"

	"tutti/internal/acl"
)

// insideName is what the node calls itself as a user of its own; no user of the
// cluster has a name with a space.
const insideName = "the node"

// inside is the node's end of a connection that does not leave it.
type inside struct{ net.Conn }

// Inside returns a connection for the node's own use: all that clients can do works
// on it, and it may do everything. It is no client: nobody sees it, counts it or asks
// it to leave, and a node that is drained serves it. Nothing is buffered between
// its two ends, so who uses it reads each reply before it sends the next command. The
// caller closes it, before the server is closed.
func (s *Server) Inside() net.Conn {
	ours, theirs := net.Pipe()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		ours.Close()
		return theirs // whoever uses it finds it closed
	}
	c := newConn(s, 0, inside{ours})
	c.from = netip.IPv6Loopback()
	c.in.departure.never = true
	c.session.enter(s.cfg.Table.Catalog())
	s.wg.Add(1)
	go c.serve()
	return theirs
}

// enter makes the client the node itself.
func (s *session) enter(c *acl.Catalog) {
	me := acl.NewDefault(c)
	me.Name = insideName
	s.inside = true
	s.become(me, s.users, true)
}
