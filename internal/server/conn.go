package server

import (
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"tutti/internal/command"
	"tutti/internal/group"
	"tutti/internal/resp"
	"tutti/internal/router"
	"tutti/internal/store"
)

// Limits of a connection.
const (
	pipelineMax = group.CommandsMax
	// frameTimeout is how long a command may take to arrive once it has begun:
	// a client that sends a byte now and then must not hold memory for ever.
	frameTimeout = 30 * time.Second
	writeTimeout = 30 * time.Second
	// outKeep is the size of a reply buffer that is kept between pipelines.
	outKeep = 64 << 10
	// outMax is how much of replies gathers before it is written.
	outMax = 1 << 20
	// lingerMax and lingerBytesMax bound what a refused client may still send.
	lingerMax      = time.Second
	lingerBytesMax = 64 << 20
)

// conn is one client. Its fields belong to its goroutine, but for those that
// CLIENT LIST and CLIENT KILL of others read, which are atomic.
type conn struct {
	s    *Server
	id   uint64
	nc   net.Conn
	rd   *resp.Reader
	out  []byte
	born time.Time

	db     uint8
	proto  int
	closed bool // close after the replies have been written
	keep   bool // the outcome of a group is unknown: its arguments may still be referred to
	quiet  quiet
	timed  bool // a read deadline is set
	// writable is when the write deadline was last moved on.
	writable time.Time

	pending []pending
	bytes   int // of pending
	results chan router.Result
	result  func(router.Result) // sends to results; made once, as it is needed for every group
	views   chan viewed

	multi   *multi
	watches []watched

	name, libName, libVer atomic.Pointer[string]
	lastCmd               atomic.Pointer[string]
	lastAt                atomic.Int64 // unix nanoseconds
	seenDB                atomic.Int32
	seenProto             atomic.Int32
	seenMulti             atomic.Int32
	noEvict, noTouch      atomic.Bool
	blocked               atomic.Bool // held by CLIENT PAUSE

	limits   *resp.Limits  // those that rd has
	gone     chan struct{} // closed when another has killed the connection
	goneOnce sync.Once
}

// errDraining ends the connections of a node that stops, between two commands.
var errDraining = errors.New("the node is stopping")

// quiet is the state of CLIENT REPLY.
type quiet int

const (
	replyOn quiet = iota
	replyOff
	replySkip     // the next command is not answered
	replySkipThis // the command being executed is not answered
)

type viewed struct {
	v   *store.View
	now int64
	err error
}

func newConn(s *Server, id uint64, nc net.Conn) *conn {
	c := &conn{s: s, id: id, nc: nc, born: time.Now(), proto: 2, results: make(chan router.Result, 1), views: make(chan viewed, 1),
		gone: make(chan struct{}), limits: s.config.limits.Load()}
	c.result = func(r router.Result) { c.results <- r }
	c.rd = resp.NewReader(deadlined{c}, *c.limits)
	empty := ""
	for _, p := range []*atomic.Pointer[string]{&c.name, &c.libName, &c.libVer, &c.lastCmd} {
		p.Store(&empty)
	}
	c.lastAt.Store(c.born.UnixNano())
	c.seenMulti.Store(-1)
	c.seenProto.Store(2)
	return c
}

// deadlined reads from the connection, with a deadline while a command is
// incomplete.
type deadlined struct{ c *conn }

func (d deadlined) Read(p []byte) (int, error) {
	limit := d.c.s.config.idleTimeout()
	if d.c.rd.Partial() {
		limit = frameTimeout
	}
	// Deadlines cost a timer each: none is set, or cleared, where none is needed.
	if limit > 0 || d.c.timed {
		deadline := time.Time{}
		if limit > 0 {
			deadline = time.Now().Add(limit)
		}
		_ = d.c.nc.SetReadDeadline(deadline)
		d.c.timed = limit > 0
	}
	if d.c.s.draining.Load() {
		return 0, errDraining
	}
	n, err := d.c.nc.Read(p)
	d.c.s.stats.bytesIn.Add(int64(n))
	return n, err
}

// serve reads, executes and answers until the connection ends.
func (c *conn) serve() {
	defer c.nc.Close()
	for !c.closed {
		if l := c.s.config.limits.Load(); l != c.limits {
			c.limits = l
			c.rd.SetLimits(*l)
		}
		args, err := c.rd.ReadCommand()
		c.lastAt.Store(time.Now().UnixNano())
		for n := 0; err == nil && args != nil; n++ {
			c.dispatch(args)
			if c.closed {
				break
			}
			if len(c.out) > outMax {
				c.flush()
				if c.write() != nil {
					return
				}
			}
			var ok bool
			if args, ok, err = c.rd.NextBuffered(); !ok {
				break
			}
		}
		c.flush()
		c.readFailed(err)
		if c.write() != nil {
			return
		}
		if _, refused := errors.AsType[*resp.ProtocolError](err); refused {
			c.linger()
		}
		if c.keep {
			c.rd.Abandon()
			c.keep = false
		} else {
			c.rd.Release()
		}
	}
}

// linger takes what the client is still sending before the connection closes:
// closing with bytes unread resets it, and the client might lose the answer
// that says what was wrong.
func (c *conn) linger() {
	if half, ok := c.nc.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		_ = c.nc.SetReadDeadline(time.Now().Add(lingerMax))
		_, _ = io.CopyN(io.Discard, c.nc, lingerBytesMax)
	}
}

// readFailed ends the connection, with an answer if the client sent nonsense.
func (c *conn) readFailed(err error) {
	if err == nil {
		return
	}
	c.closed = true
	if p, ok := errors.AsType[*resp.ProtocolError](err); ok {
		c.out = resp.AppendError(c.out, "ERR "+p.Error())
	} else if !errors.Is(err, io.EOF) {
		c.s.cfg.Logger.Debug("client connection ended", "id", c.id, "error", err)
	}
}

func (c *conn) write() error {
	if len(c.out) == 0 {
		return nil
	}
	// Setting a deadline for every write would cost more than it gives: it is
	// moved on when half of it has passed.
	if now := time.Now(); now.Sub(c.writable) > writeTimeout/2 {
		c.writable = now
		_ = c.nc.SetWriteDeadline(now.Add(writeTimeout))
	}
	n, err := c.nc.Write(c.out)
	c.s.stats.bytesOut.Add(int64(n))
	if c.out = c.out[:0]; cap(c.out) > outKeep {
		c.out = nil
	}
	return err
}

// dispatch executes one command, or queues it for the group that is forming.
func (c *conn) dispatch(args [][]byte) {
	c.s.stats.commands.Add(1)
	cmd, text := c.s.cfg.Table.Lookup(args)
	if cmd == nil {
		c.refuse(args, text)
		return
	}
	c.seen(cmd)
	if c.hold(cmd); c.closed {
		return
	}
	switch {
	case c.multi != nil && !inMulti[cmd.Name]:
		c.enqueue(cmd, args)
	case cmd.Run == nil:
		c.flush()
		at := len(c.out)
		c.own(cmd, c.s.handlers[cmd.Name], args)
		c.hush(at)
	default:
		c.add(cmd, args)
	}
}

// refuse answers a command that can't be executed; in MULTI it spoils the
// transaction.
func (c *conn) refuse(args [][]byte, text string) {
	c.flush()
	if c.multi != nil {
		c.multi.spoiled = true
	}
	if strings.EqualFold(string(args[0]), "post") || strings.EqualFold(string(args[0]), "host:") {
		// A browser was made to talk to this port. What follows in its request
		// must not be executed, and it need not be told what else is here.
		c.s.cfg.Logger.Warn("possible cross-protocol attack, connection closed", "remote", c.nc.RemoteAddr().String())
		c.out, c.closed = c.out[:0], true
		return
	}
	at := len(c.out)
	c.error(text)
	c.s.stats.refused(c.s.cfg.Table.Find(args[0]), c.out[at:])
	c.hush(at)
}

// hush takes back the reply that begins at at if CLIENT REPLY says so.
func (c *conn) hush(at int) {
	switch c.quiet {
	case replyOff, replySkipThis:
		c.out = c.out[:at]
		if c.quiet == replySkipThis {
			c.quiet = replyOn
		}
	case replySkip:
		c.quiet = replySkipThis
		c.out = c.out[:at]
	}
}

func (c *conn) seen(cmd *command.Command) {
	c.lastCmd.Store(&cmd.Name)
}
