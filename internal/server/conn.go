package server

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"tutti/internal/resp"
)

// A connection from its first byte to its last: the goroutine that serves it,
// and how it ends.

// Limits of a connection that is being closed: how long, and for how many
// bytes, a refused client may still send.
const (
	lingerMax      = time.Second
	lingerBytesMax = 64 << 20
)

// conn is one client. Its fields belong to whoever serves it, a goroutine or a
// loop, but for face and gone, and for the outbox, which guards itself.
type conn struct {
	s    *Server
	id   uint64
	nc   net.Conn
	born time.Time

	in       reader
	session  session
	face     face
	pipeline pipeline
	lanes    lanes
	out      outbox
	unsent   held    // what of all clients' memory the replies take that are not sent
	request  request // the command that is being executed here
	admission
	seat seat

	listening listening

	closed bool          // close after the replies have been written
	wait   patience      // how a command waits
	gone   chan struct{} // closed when there is nobody to answer any more
	goOnce sync.Once
}

// Why connections end that have not asked for it.
var (
	errStopped = errors.New("the node stops")
	errKilled  = errors.New("killed by another client")
	errNoRoom  = errors.New("all clients together make the node hold too much")
	errIdle    = errors.New("idle for longer than the setting timeout allows")
	errHungUp  = errors.New("the client has hung up")
	errSlow    = errors.New("the client does not take what it is sent")
)

func newConn(s *Server, id uint64, nc net.Conn) *conn {
	nc = s.secured(nc)
	c := &conn{s: s, id: id, nc: nc, born: time.Now(), gone: make(chan struct{}), admission: admission{from: network(nc.RemoteAddr().String())}}
	cut := func(why error) { c.end(why) }
	client := &lookout{nc: nc, received: &s.stats.bytesIn, lost: cut}
	c.session.init(&c.face, s.cfg.Users.Set())
	c.face.init(c.born)
	c.in.init(s, nc, client, &c.face, &c.seat)
	c.out.init(s, nc, cut)
	c.wait = patience{gone: c.gone, patrol: &s.patrol, quiet: &c.session.quiet, client: client}
	c.in.held.of, c.unsent.of = &s.config.held, &s.config.held
	c.lanes = newLanes(c)
	c.request, c.seat.c = request{s: s, c: c}, c
	return c
}

// serve begins with a client, on a goroutine of its own.
func (c *conn) serve() {
	if why := c.recognize(); why != "" {
		c.s.turnAway(c.nc, why)
	} else if c.shake() && c.seat.attend() {
		return
	}
	c.s.forget(c)
}

// close gives back what the connection has, once its goroutine is done with it.
func (c *conn) close() {
	c.goOnce.Do(func() { close(c.gone) })
	c.session.endMulti()
	c.listening.end(c.s.cfg.Messages)
	c.s.logs.monitors.leave(c)
	c.session.tracks.end(&c.face)
	c.in.held.release()
	c.unsent.release()
	c.nc.Close()
	c.out.close()
	if c.stranger {
		c.s.gate.strangers.leave(c.from)
	}
}

// end ends the connection from any goroutine, without waiting: whatever waits on
// behalf of the client gives up. Groups that are on their way are executed. It
// reports false if the connection has been ended before.
func (c *conn) end(why error) (first bool) {
	c.goOnce.Do(func() {
		first = true
		close(c.gone)
		c.s.cfg.Logger.Debug("client connection ended", "id", c.id, "reason", why)
		// Closing may take a while where the transport says goodbye.
		c.s.wg.Go(func() { c.nc.Close() })
		if c.seat.loop != nil {
			c.seat.loop.post(ended{c})
		}
	})
	return first
}

// left reports whether there is nobody to answer any more, and sees to it that
// nothing else is executed then.
func (c *conn) left() bool {
	select {
	case <-c.gone:
		c.closed = true
		return true
	default:
		return false
	}
}

// write sends the replies that have gathered, and reports whether the client
// still takes them.
func (c *conn) write() bool {
	if c.left() {
		return false
	}
	c.unsent.be(int64(len(c.out.replies)))
	defer c.unsent.release()
	if err := c.out.flush(); err != nil {
		c.closed = true
		c.end(err)
		return false
	}
	return true
}

// linger takes what the client is still sending before the connection closes:
// closing with bytes unread resets it, and the client might lose the answer
// that says what was wrong.
func linger(nc net.Conn, atMost time.Duration) {
	if half, ok := nc.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		_ = nc.SetReadDeadline(time.Now().Add(atMost))
		_, _ = io.CopyN(io.Discard, nc, lingerBytesMax)
	}
}

// readFailed ends the connection, with an answer if the client sent nonsense.
func (c *conn) readFailed(err error) {
	if err == nil {
		return
	}
	c.closed = true
	if p, ok := errors.AsType[*resp.ProtocolError](err); ok {
		c.out.replies = resp.AppendError(c.out.replies, "ERR "+p.Error())
	} else if errors.Is(err, errNoRoom) {
		c.in.held.release() // the others need not wait until the client has heard it
		c.s.stats.failed(errBudgetCommand)
		c.out.replies = resp.AppendError(c.out.replies, errBudgetCommand)
	} else if errors.Is(err, errTLSHello) {
		c.s.logs.foreign.heard(c.s.cfg.Logger, foreignTLS, c.nc)
		c.out.replies, c.in.foreign = resp.AppendError(c.out.replies, errNoTLS), true
	} else if !errors.Is(err, io.EOF) {
		c.s.cfg.Logger.Debug("client connection ended", "id", c.id, "error", err)
	}
}
