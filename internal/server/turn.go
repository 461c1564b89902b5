package server

import (
	"errors"
	"io"

	"tutti/internal/command"
	"tutti/internal/keyspace"
	"tutti/internal/server/epoll"
)

// turn takes what has arrived of a client that has nothing under way: commands
// that are plain gather, until one comes that is not, or there is no more. Its
// outbox is held.
func (l *loop) turn(c *conn) {
	t, p := &c.seat, &c.pipeline
	c.face.lastAt.Store(l.now.UnixNano())
	t.taken, t.alone = 0, false
	l.spare.lend(c)
	args := t.next // which those before it have kept waiting
	if args == nil {
		args = l.next(c)
	}
	for t.next = nil; args != nil; args = l.next(c) {
		if !l.gather(c, args) {
			t.next = args
			break
		}
		if p.full() || c.closed {
			break
		}
	}
	switch {
	case c.closed:
		l.handOver(c)
	case len(p.pending) > 0:
		t.busy = true
		t.trips++
		l.gathered = append(l.gathered, c)
	case errors.Is(t.err, io.EOF) && len(c.out.replies) == 0:
		l.drop(c)
	case t.next != nil && fallsAsleep(l, c):
	case t.next != nil || t.err != nil:
		l.handOver(c)
	case !l.flush(c):
	case c.in.rd.Partial() || t.readable || c.in.leaving():
		// A part of a command, which has its time: a goroutine watches that. Or the
		// loop has read as much as it may and there was no command in it. Or the client
		// is asked to leave.
		l.handOver(c)
	default:
		c.in.release(c.lanes.anyUnsure())
		l.rest(c)
		c.out.release()
	}
}

// next returns the next command if it has arrived. How reading ended, if it has,
// it leaves in the seat.
func (l *loop) next(c *conn) (args [][]byte) {
	t := &c.seat
	if t.err != nil {
		return nil
	}
	args, more, err := c.in.buffered()
	if !more && err == nil && (t.readable || len(t.early) > 0) {
		args, err = c.in.next()
	}
	if err != nil && !errors.Is(err, epoll.ErrAgain) {
		t.err = err
	}
	return args
}

// gather adds a command to those that go to the shards together, or answers it. It
// reports false, having done nothing, if that is for a goroutine.
func (l *loop) gather(c *conn, args [][]byte) bool {
	cmd, _ := l.s.cfg.Table.Lookup(args)
	if cmd == nil || c.session.onlyListens() || !c.seat.plain() || !c.seat.lets(cmd, args) {
		return false
	}
	p := &c.pipeline
	switch {
	case (cmd.Light(args) || goesAlone(c, cmd, args)) && l.s.cfg.Uploads.light(cmd, args):
		p.pending = append(p.pending, pending{cmd: cmd, args: args, db: c.session.db})
		p.bytes += argsBytes(args)
	case brief(cmd) && len(p.pending) == 0 && len(c.out.replies) <= outMax && argsBytes(args) <= keyspace.WriteSetMax:
		c.answer(cmd, args)
	default:
		return false
	}
	l.s.stats.commands.Add(1)
	c.face.lastCmd.Store(&cmd.Name)
	return true
}

// goesAlone reports whether a command goes to its shard in a group of the client's own.
func goesAlone(c *conn, cmd *command.Command, args [][]byte) bool {
	if !cmd.Alone(args) {
		return false
	}
	if cmd.RunsScript() && !scriptIsReady(c.s.cfg.Table, cmd, args) {
		return false
	}
	c.seat.alone = true
	return true
}

// flush writes the replies of a client. It reports false if it does not take them
// now, or not any more: then it has gone to a goroutine, or has ended.
func (l *loop) flush(c *conn) bool {
	done, err := c.out.flushNow(c.seat.sock)
	switch {
	case err != nil:
		c.closed = true
		c.end(err)
		l.drop(c)
	case !done:
		l.handOver(c)
	default:
		c.unsent.release()
		return true
	}
	return false
}
