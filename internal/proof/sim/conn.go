package sim

import (
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// Conn is one end of a connection. The other end is another Conn; what one
// writes goes through its out, which is the other's in.
type Conn struct {
	net           *Network
	local, remote string
	in, out       *stream
	closed        bool // by this end
	broken        bool // reset, or its host is gone
	sealed        bool // what it carries is secured
	readBy        time.Time
	writeBy       time.Time
	frames        *framer    // nil: no connection of peers
	cond          *sync.Cond // this end: something arrived, room, deadline, closed
}

// stream is one direction of a connection.
type stream struct {
	net   *Network
	to    *Conn // who reads
	from  string
	wait  []segment // under way
	ready []byte    // arrived
	bytes int       // under way or unread
	eof   bool
	timer *time.Timer
	last  time.Time // when the newest segment arrives
}

type segment struct {
	data  []byte
	at    time.Time
	fin   bool
	reset bool
}

// pair connects two hosts; mu is held.
func (n *Network) pair(a, b string) (near, far *Conn) {
	near = &Conn{net: n, local: a, remote: b, cond: sync.NewCond(&n.mu)}
	far = &Conn{net: n, local: b, remote: a, cond: sync.NewCond(&n.mu)}
	near.out = &stream{net: n, to: far, from: a}
	far.out = &stream{net: n, to: near, from: b}
	near.in, far.in = far.out, near.out
	n.conns[near], n.conns[far] = struct{}{}, struct{}{}
	return near, far
}

// Fed reports that the node at this end may serve the connection by an event loop.
// Every second one does, the others have a goroutine for each client.
func (c *Conn) Fed() bool {
	var id int
	_, err := fmt.Sscanf(c.local, "n%d", &id)
	return err == nil && id%2 == 1
}

// wakeEvery is how far apart, at least, clients' commands arrive at an event loop:
// those of several clients arrive at once, as in the real world's wakes.
const wakeEvery = time.Millisecond

// push sends a segment; mu is held.
func (s *stream) push(g segment) {
	g.at = time.Now().Add(s.net.delay(s.from, s.to.local))
	if s.to.frames == nil && s.to.Fed() {
		g.at = g.at.Truncate(wakeEvery).Add(wakeEvery)
	}
	if g.at.Before(s.last) {
		g.at = s.last
	}
	s.last = g.at
	s.bytes += len(g.data)
	s.wait = append(s.wait, g)
	s.pump()
}

// pump delivers what is due and arranges for the rest; mu is held. While the
// direction is cut it does nothing: stir calls it again.
func (s *stream) pump() {
	for len(s.wait) > 0 && s.net.passable(s.from, s.to.local) {
		g := s.wait[0]
		if m := s.net.path(s.from, s.to.local).BytesMax; m > 0 && len(g.data) > m {
			break
		}
		if d := time.Until(g.at); d > 0 {
			s.arm(d)
			break
		}
		// Before it arrives: where both ends are gone each answers the other, and comes
		// back here.
		s.wait = s.wait[1:]
		s.arrive(g)
	}
}

func (s *stream) arm(d time.Duration) {
	if s.timer != nil {
		s.timer.Reset(d)
		return
	}
	s.timer = time.AfterFunc(d, func() {
		s.net.mu.Lock()
		defer s.net.mu.Unlock()
		s.pump()
	})
}

func (s *stream) arrive(g segment) {
	c := s.to
	switch {
	case g.reset:
		c.broken = true
	case c.closed || c.broken:
		// The host answers for a connection it does not know any more.
		if !g.fin {
			c.out.push(segment{reset: true})
		}
		return
	case g.fin:
		s.eof = true
	default:
		s.ready = append(s.ready, g.data...)
	}
	c.wake()
}

// wake lets both ends look again; mu is held.
func (c *Conn) wake() {
	c.cond.Broadcast()
	c.out.to.cond.Broadcast()
}

// die ends this end without a word; mu is held.
func (c *Conn) die() {
	c.broken = true
	delete(c.net.conns, c)
	c.wake()
}

// Read implements net.Conn.
func (c *Conn) Read(p []byte) (int, error) {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	for {
		switch {
		case c.closed:
			return 0, net.ErrClosed
		case c.broken:
			return 0, errReset
		case len(c.in.ready) > 0:
			n := copy(p, c.in.ready)
			c.in.ready = c.in.ready[n:]
			c.in.bytes -= n
			c.wake()
			return n, nil
		case c.in.eof:
			return 0, io.EOF
		}
		if err := c.sleep(c.readBy); err != nil {
			return 0, err
		}
	}
}

// Write implements net.Conn.
func (c *Conn) Write(p []byte) (int, error) {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	if c.frames != nil {
		all := len(p)
		n, err := c.write(c.frames.pass(p, c.net.path(c.local, c.remote).Frames, c.net.rand))
		if err == nil {
			n = all
		}
		return min(n, all), err
	}
	return c.write(p)
}

// write sends p; mu is held.
func (c *Conn) write(p []byte) (int, error) {
	done := 0
	for done < len(p) {
		room := windowBytes - c.out.bytes
		switch {
		case c.closed:
			return done, net.ErrClosed
		case c.broken:
			return done, errReset
		case room > 0:
			n := min(room, len(p)-done)
			c.out.push(segment{data: append([]byte(nil), p[done:done+n]...)})
			done += n
			continue
		}
		if err := c.sleep(c.writeBy); err != nil {
			return done, err
		}
	}
	return done, nil
}

// sleep waits for a change or the deadline; mu is held.
func (c *Conn) sleep(deadline time.Time) error {
	if deadline.IsZero() {
		c.cond.Wait()
		return nil
	}
	d := time.Until(deadline)
	if d <= 0 {
		return errTimeout
	}
	t := time.AfterFunc(d, func() {
		c.net.mu.Lock()
		c.cond.Broadcast()
		c.net.mu.Unlock()
	})
	c.cond.Wait()
	t.Stop()
	return nil
}

// Close implements net.Conn.
func (c *Conn) Close() error {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	if c.closed {
		return nil
	}
	c.closed = true
	if !c.broken {
		c.out.push(segment{fin: true})
	}
	delete(c.net.conns, c)
	c.wake()
	return nil
}

// LocalAddr implements net.Conn.
func (c *Conn) LocalAddr() net.Addr { return address(c.local + ":0") }

// RemoteAddr implements net.Conn.
func (c *Conn) RemoteAddr() net.Addr { return address(c.remote + ":0") }

// SetDeadline implements net.Conn.
func (c *Conn) SetDeadline(t time.Time) error {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	c.readBy, c.writeBy = t, t
	c.cond.Broadcast()
	return nil
}

// SetReadDeadline implements net.Conn.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	c.readBy = t
	c.cond.Broadcast()
	return nil
}

// SetWriteDeadline implements net.Conn.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	c.writeBy = t
	c.cond.Broadcast()
	return nil
}
