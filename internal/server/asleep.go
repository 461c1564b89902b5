package server

import (
	"sync/atomic"
	"time"

	"tutti/internal/command"
	"tutti/internal/group"
	"tutti/internal/router"
	"tutti/internal/server/epoll"
)

// Clients whose commands wait, without a goroutine: they are asleep, and their loop
// watches them. Thousands may wait, and each costs what is known of its command. A loop
// registers the commands of those that it serves itself; a client on a goroutine falls
// asleep when it has waited for a round of the patrol, and that goroutine ends.
//
// A loop reads nothing of a client that is asleep; of its hanging up the poller tells.
// Whoever has something for it stirs it: with the answer, or with a reason to give up,
// for which the loop asks the shard. The answer the loop writes by itself, if that is
// all there is to do; else the client wakes on a goroutine, which finds everything as
// if it had waited with the command all the time.

// awakeMax is how many commands wait awake: with more, who comes falls asleep at once.
// Thousands that come together would need the stacks of thousands of goroutines.
const awakeMax = 512

// sleeper is who is to be woken when something has come for a command that waits.
type sleeper struct {
	nap chan struct{}        // capacity 1: a signal of the patrol that it may fall asleep; nil: it can't
	who atomic.Pointer[conn] // nil: it is awake, and looks itself
}

// stirred is posted to a loop when something has come for a client that is asleep.
type stirred struct {
	c *conn
	b *blocking
}

// stir is to be called behind whatever ends the waiting, from any goroutine.
func (b *blocking) stir() {
	if c := b.who.Load(); c != nil {
		c.seat.loop.post(stirred{c, b})
	}
}

// drowse reports whether the client may fall asleep while this command waits, and has
// the patrol tell when it is time to. Who wants no replies may send and go, and is
// not watched at all.
func drowse(c *conn, b *blocking) {
	if c.seat.loop != nil && c.session.quiet == replyOn {
		b.nap = make(chan struct{}, 1)
	}
}

// sleeps gives the client to its loop, and reports whether it did: then it is the
// loop's.
func (t *seat) sleeps() bool {
	b := t.waits
	b.who.Store(t.c)
	if t.loop.post(seated{t.c}) {
		return true
	}
	b.who.Store(nil)
	return false
}

// goOn goes on with a client that has slept, or was about to, and with what it has
// sent behind the command that waited. It reports what execute does.
func (t *seat) goOn() bool {
	c, b := t.c, t.waits
	t.waits, b.asleep = nil, false
	drowse(c, b)
	if await(c, b); t.waits != nil {
		return true
	}
	if c.closed {
		return t.execute(nil, nil)
	}
	args, _, err := c.in.buffered()
	return t.execute(args, err)
}

// waitsAsleep reports whether a loop can register a command that waits, and for how
// long it does, 0: for ever: if nobody is to be asked first what its arguments mean.
func waitsAsleep(cmd *command.Command, args [][]byte) (patience time.Duration, ok bool) {
	if cmd.Waits == nil || !cmd.Where.Evaluated() || argsBytes(args) > waitBytesMax {
		return 0, false
	}
	if patience, ok = cmd.Waits.Patience(args); !ok {
		return 0, false
	}
	return patience, cmd.Waits.Ask == nil || cmd.Waits.Ask(args) == nil
}

// fallsAsleep registers the next command of a client that has nothing under way, if that is
// one that waits, and reports whether there is nothing else to do for it now. With
// false it has done nothing.
func fallsAsleep(l *loop, c *conn) bool {
	t := &c.seat
	cmd, _ := l.s.cfg.Table.Lookup(t.next)
	if cmd == nil || t.hungUp || c.session.onlyListens() || !t.plain() || !t.lets(cmd, t.next) {
		return false
	}
	patience, ok := waitsAsleep(cmd, t.next)
	if !ok {
		return false
	}
	places := l.s.cfg.Router.Map()
	at := locate(places, cmd, t.next)
	if at.way != toShard {
		return false
	}
	if len(c.out.replies) > 0 && !l.flush(c) { // those before it must not wait with it
		return true
	}
	l.s.stats.commands.Add(1)
	c.face.lastCmd.Store(&cmd.Name)
	b := newBlocking(c, cmd, t.next)
	b.list[0].address, b.sent = at, places
	t.next, t.waits, t.busy = nil, b, true
	t.trips++
	c.in.rest(c.lanes.anyUnsure())
	l.spare.takeBack(c)
	b.who.Store(c)
	c.begins(b)
	at.claim.Users = c.session.users.Epoch
	c.lanes.register(at.shard, &group.Group{Proto: uint8(c.session.proto), Claim: at.claim,
		Cmds: []group.Command{{DB: c.session.db, Args: b.args}}}, b)
	b.expires(patience)
	return true
}

// watchAsleep takes a client that is asleep.
func watchAsleep(l *loop, c *conn) {
	t := &c.seat
	t.busy = true
	c.in.rd.Draw(&l.spare.read)
	c.in.rd.Rest()
	l.spare.takeBack(c)
	l.clients[c.id] = c
	if c.left() || t.sock.Watch() != nil {
		wakeUp(l, c)
		return
	}
	stirred{c, t.waits}.look(l) // before it was here nobody has told
}

// toldAsleep takes what the poller tells of a client that is asleep. One that has
// only closed its own direction is taken for gone, as a lookout does; of one that has
// sent much, nobody knows what is behind that.
func toldAsleep(l *loop, c *conn, e epoll.Event) {
	t := &c.seat
	t.readable, t.hungUp = true, t.hungUp || e.HungUp
	if t.hungUp && t.sock.Unread() <= aheadMax {
		c.end(errHungUp)
		endAsleep(c) // at once: others may push what it was waiting for
		l.drop(c)
	}
}

// look looks what there is for a client that may be asleep.
func (x stirred) look(l *loop) {
	c, b := x.c, x.b
	if !c.seat.here || c.seat.waits != b {
		return // it is awake
	}
	select {
	case result := <-c.lanes.results:
		if !hands(l, c, b, result) {
			c.lanes.results <- result
			wakeUp(l, c)
		}
		return
	default:
	}
	select {
	case why := <-b.stop:
		b.giveUp(why) // the answer will stir it
	default:
	}
}

// hands goes on with a client whose command has waited. With false it has done
// nothing: that is for a goroutine.
func hands(l *loop, c *conn, b *blocking, result router.Result) bool {
	t, p := &c.seat, &b.list[0]
	var reply []byte
	switch {
	case result.Err != "" || !t.plain() || c.left() || len(c.in.ahead.buf) > 0:
		return false
	case result.Cancelled && b.why != nodeStops && !p.cmd.Waits.Late:
		reply = b.nothing(c.session.proto)
	case !result.Cancelled && result.Reply.Status == group.OK && result.Reply.Unfit.Need == 0 && len(result.Reply.Replies) == 1:
		reply = result.Reply.Replies[0]
	default:
		return false
	}
	p.answer(reply)
	b.waits, t.waits, t.busy = nil, nil, false
	b.who.Store(nil)
	c.ends(b)
	l.spare.lend(c)
	waited(c, b)
	l.transfer.answered = append(l.transfer.answered, c)
	return true
}

// wakeUp gives a client that is asleep to a goroutine.
func wakeUp(l *loop, c *conn) {
	c.seat.busy = false
	c.seat.waits.who.Store(nil)
	l.handOver(c)
}

// endAsleep ends the waiting of a client whose loop ends.
func endAsleep(c *conn) {
	b := c.seat.waits
	if b == nil {
		return
	}
	c.seat.waits = nil
	b.who.Store(nil)
	c.lanes.abandon(b)
	c.ends(b)
}
