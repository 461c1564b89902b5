package server

import (
	"errors"
	"net"
	"time"

	"tutti/internal/command"
	"tutti/internal/resp"
	"tutti/internal/server/epoll"
)

// Who serves a client: a loop, as long as all that it wants is plain, or a
// goroutine. It goes from one to the other between two pipelines, or with what is
// left of one.

// seat is a client's place at its loop. It belongs to whoever serves the client,
// but for loop and sock, which never change.
type seat struct {
	c    *conn
	loop *loop // nil: a goroutine serves it for ever
	sock socket
	here bool // the loop serves it now

	due      bool      // its turn comes
	early    []byte    // what has been read before it
	readable bool      // there may be something to read
	hungUp   bool      // the other side sends no more
	taken    int       // bytes read in this turn
	busy     bool      // its commands are on their way
	trips    int       // how often they have been
	waits    *blocking // its command that waits while it is asleep; nil: it is awake

	// What comes behind the commands that have gathered: one that is for a
	// goroutine, or how reading ended.
	next [][]byte
	err  error

	began  time.Time // when the commands were sent, or since when it has been idle
	writes int       // how many of them go to the shard's loop
	alone  bool      // in a group of their own

	// stay is for how many more pipelines a goroutine keeps a client that is plain
	// again: who mixes would go to and fro.
	stay int
}

// socket is a connection as a loop sees it: nothing of it waits.
type socket interface {
	// Watch has the loop told of what arrives, or has arrived; Unwatch ends that.
	Watch() error
	Unwatch()
	// Read and Write return epoll.ErrAgain for what they would have to wait for.
	Read(p []byte) (int, error)
	Write(p []byte) (int, error)
	// Unread is how many bytes have arrived that were not read.
	Unread() int
}

// How long a goroutine keeps a client that has had something not plain: for so
// many pipelines, or until it has sent nothing for so long.
const (
	stayRounds = 16
	// stayFirst is for how many pipelines a new client stays: many come for one, and
	// in a flood of them the loop is for the others.
	stayFirst = 8
	stayIdle  = 100 * time.Millisecond
	// stayBytes is how much of replies is better left to a goroutine.
	stayBytes = 64 << 10
	// turnBytes is about how much a loop reads from a client before it looks at the
	// others: who sends without end would keep it for itself.
	turnBytes = 128 << 10
)

// Read reads what has arrived, for the loop.
func (t *seat) Read(p []byte) (int, error) {
	if n := copy(p, t.early); n > 0 {
		if t.early = t.early[n:]; len(t.early) == 0 {
			t.early = nil
		}
		t.taken += n
		return n, nil
	}
	if !t.readable || t.taken >= turnBytes {
		return 0, epoll.ErrAgain
	}
	n, err := t.sock.Read(p)
	t.taken += n
	t.wasAll(n < len(p), err)
	return n, err
}

// wasAll notes that less came than there was room for: that was all, and more will be
// told of; but for the end, which has been told of already.
func (t *seat) wasAll(less bool, err error) {
	if errors.Is(err, epoll.ErrAgain) || err == nil && less && !t.hungUp {
		t.readable = false
	}
}

// comesEarly keeps what was read before the client's turn. An end, or an error, comes
// again when there is nothing else to read.
func (t *seat) comesEarly(space []byte, n int, err error) {
	if n > 0 {
		t.early = space[:n:n]
	}
	t.wasAll(n < len(space), err)
}

// plain reports whether a loop may serve the client as it is now.
func (t *seat) plain() bool {
	c, s := t.c, &t.c.session
	return s.multi == nil && len(s.watches) == 0 && s.quiet == replyOn && s.tracks.client == nil && s.admitted() && !c.stranger && !c.reserved &&
		!c.closed && !c.s.pause.active.Load() && !c.in.leaving() && !c.s.Drained()
}

// brief reports whether a loop answers a command by itself that is the
// connection's or the node's.
func brief(cmd *command.Command) bool {
	switch cmd.Name {
	case "ping", "echo", "select":
		return true
	}
	return false
}

// sits gives the client, which waits for nothing, to its loop, and reports whether
// it did: then it is the loop's.
func (t *seat) sits() bool {
	c := t.c
	c.in.restless = false
	if t.loop == nil || !t.plain() || c.in.rd.Partial() || len(c.in.ahead.buf) > 0 {
		return false
	}
	c.in.restless = t.stay > 0
	return t.stay == 0 && t.loop.post(seated{c})
}

// stays is told what a goroutine executes, and keeps the client with it if that is
// not for a loop.
func (t *seat) stays(cmd *command.Command, args [][]byte) {
	if t.loop == nil || (cmd.Light(args) || cmd.Alone(args)) && t.loop.s.cfg.Uploads.light(cmd, args) || brief(cmd) {
		return
	}
	if _, asleep := waitsAsleep(cmd, args); !asleep {
		t.stay = stayRounds
	}
}

// rested is told how a read has ended, and reports whether that was the client's
// sending nothing for so long that it need not stay with a goroutine.
func (t *seat) rested(err error) bool {
	timeout, ok := errors.AsType[net.Error](err)
	if !t.c.in.restless || !ok || !timeout.Timeout() || t.c.in.rd.Partial() {
		return false
	}
	t.stay = 0
	return true
}

// lets reports whether the client is known to be allowed a command. That it is not
// takes waiting for a shard, see permitted.
func (t *seat) lets(cmd *command.Command, args [][]byte) bool {
	c := t.c
	users := c.s.cfg.Users.Set()
	if users != c.session.users {
		if users.Unknown() || len(c.pipeline.pending) > 0 { // those go by the rights of before
			return false
		}
		if c.renew(); c.closed {
			return false
		}
	}
	return c.session.free || !users.Unknown() && c.session.judge(cmd, args).text == ""
}

// reads returns those of the client's commands that go over a view.
func (t *seat) reads() []pending { return t.c.pipeline.pending[t.writes:] }

// settle takes the commands that are done out of the pipeline, the first ones, and
// puts their replies behind those that are to be written.
func (t *seat) settle() {
	c, p := t.c, &t.c.pipeline
	n := 0
	for n < len(p.pending) && p.pending[n].done {
		n++
	}
	if n > 0 {
		c.answered(p.pending[:n], t.began)
		showAll(c, p.pending[:n])
	}
	for i := range n {
		c.out.replies = append(c.out.replies, c.unsent.affordable(&p.pending[i], len(c.out.replies))...)
		p.bytes -= argsBytes(p.pending[i].args)
	}
	left := copy(p.pending, p.pending[n:])
	clear(p.pending[left:])
	p.pending = p.pending[:left]
}

// resume goes on, on a goroutine, with what the loop has left.
func (t *seat) resume() {
	goesOn := false
	if t.waits != nil {
		goesOn = t.goOn()
	} else {
		next, err := t.next, t.err
		t.next, t.err = nil, nil
		goesOn = t.execute(next, err)
	}
	if goesOn && t.attend() {
		return
	}
	t.c.s.forget(t.c)
}

// attend reads, executes and answers until the connection ends, or until a loop
// has taken it over, which it reports.
func (t *seat) attend() (taken bool) {
	c := t.c
	for !c.closed {
		if t.waits != nil {
			if t.sleeps() {
				return true
			}
			if !t.goOn() {
				break
			}
			continue
		}
		c.out.release()
		if t.sits() {
			return true
		}
		args, err := c.in.next()
		if t.rested(err) {
			continue
		}
		c.out.hold()
		c.face.lastAt.Store(time.Now().UnixNano())
		if !t.execute(args, err) {
			break
		}
	}
	return false
}

// execute executes a command, or answers the error that came instead, with what
// else of the pipeline has arrived. It reports whether the client takes its
// replies.
func (t *seat) execute(args [][]byte, err error) bool {
	c := t.c
	t.stay = max(t.stay-1, 0)
	for err == nil && args != nil {
		c.dispatch(args)
		if t.waits != nil {
			return true // what comes behind is for when it wakes
		}
		if c.closed {
			break
		}
		if len(c.out.replies) > outMax {
			if c.flush(); !c.write() {
				return false
			}
		}
		var more bool
		if args, more, err = c.in.buffered(); !more {
			break
		}
	}
	c.flush()
	c.readFailed(err)
	if t.loop != nil && len(c.out.replies) > stayBytes {
		t.stay = stayRounds
	}
	if !c.write() {
		return false
	}
	if _, refused := errors.AsType[*resp.ProtocolError](err); refused || errors.Is(err, errNoRoom) || c.in.foreign {
		linger(c.nc, lingerMax)
	}
	parts(c.nc, err)
	c.in.release(c.lanes.anyUnsure())
	return true
}
