package server

import (
	"sync/atomic"
	"time"

	"tutti/internal/cluster"
	"tutti/internal/command"
	"tutti/internal/group"
	"tutti/internal/resp"
	"tutti/internal/router"
)

// Commands that wait at their shard for what is not there yet. The shard keeps
// them in line; what ends the waiting otherwise is here: the time, CLIENT UNBLOCK,
// the end of the client or of the node.

// ending is why a command that waits is to end without what it waits for.
type ending int

const (
	timedOut  ending = iota // its time is over, or CLIENT UNBLOCK says so
	unblocked               // CLIENT UNBLOCK … ERROR
	nodeStops
)

// waitBytesMax bounds the arguments of a command that waits: the leader keeps them.
const waitBytesMax = 64 << 10

const (
	errWaitTooLarge = "ERR the arguments of a command that waits exceed 64 KiB. Not applied. Name fewer keys."
	errUnblocked    = "UNBLOCKED client unblocked via CLIENT UNBLOCK"
	errNodeStops    = "UNBLOCKED this node is stopping. Nothing was taken; ask another node."
)

// blocking is a command that waits.
type blocking struct {
	stop  chan ending // capacity 1: the first reason counts
	why   ending
	given bool // why has been taken, and the shard is asked to forget the command
	ended bool // nothing came

	args   [][]byte        // as the client sent them
	list   [1]pending      // the command
	timer  *time.Timer     // ends the waiting; nil: nothing does
	sent   *cluster.Map    // by which the command went to its shard
	waits  *router.Waiting // its waiting there; nil: it does not wait now
	asleep bool            // the loop is to watch the client meanwhile, see asleep.go
	parked atomic.Bool     // the shard has it wait
	sleeper
}

// end ends the waiting, from any goroutine; first says that nobody else has.
func (b *blocking) end(why ending) (first bool) {
	select {
	case b.stop <- why:
		b.stir()
		return true
	default:
		return false
	}
}

// newBlocking is a command that waits, with arguments of its own.
func newBlocking(c *conn, cmd *command.Command, args [][]byte) *blocking {
	b := &blocking{stop: make(chan ending, 1), args: ownArgs(args)}
	b.list[0] = pending{cmd: cmd, args: b.args, db: c.session.db, block: b}
	return b
}

func ownArgs(args [][]byte) [][]byte {
	arena := make([]byte, 0, argsBytes(args))
	own := make([][]byte, len(args))
	for i, a := range args {
		arena = append(arena, a...)
		own[i] = arena[len(arena)-len(a) : len(arena) : len(arena)]
	}
	return own
}

// expires ends the waiting after so long; 0: never.
func (b *blocking) expires(patience time.Duration) {
	if patience > 0 {
		b.timer = time.AfterFunc(patience, func() { b.end(timedOut) })
	}
}

// block executes a command that waits if it finds nothing, for so long; 0: for ever.
func (c *conn) block(cmd *command.Command, args [][]byte, patience time.Duration) {
	if c.flush(); c.closed {
		return
	}
	if argsBytes(args) > waitBytesMax {
		c.error(errWaitTooLarge)
		return
	}
	if len(c.out.replies) > 0 && !c.write() { // those before it must not wait with it
		return
	}
	b := newBlocking(c, cmd, args)
	b.expires(patience)
	c.in.rest(c.lanes.anyUnsure())
	c.settle(&b.list[0]) // before anybody sees that it waits: what he does then comes behind that
	c.begins(b)
	c.session.tracks.mayWait()
	drowse(c, b)
	await(c, b)
}

// await waits with a command until it is answered, or has waited for so long that the
// loop of its client is to watch that: then it goes on with await when it is woken.
func await(c *conn, b *blocking) {
	c.lanes.waitAnywhere(b)
	if b.asleep {
		c.seat.waits = b
		return
	}
	c.ends(b)
	if !c.left() {
		waited(c, b)
	}
}

// waited takes the reply to a command that has waited.
func waited(c *conn, b *blocking) {
	p := &b.list[0]
	c.s.stats.took(c.s.stats.called(p.cmd, p.reply, 0), 0, 1)
	if slow := &c.s.logs.slow; slow.slow(0, 1) { // waiting is not working
		slow.add(c, p.cmd, b.args, 0)
	}
	show(c, p.cmd, p.db, b.args)
	at := len(c.out.replies)
	c.out.replies = c.session.hush(append(c.out.replies, p.reply...), at)
	if c.session.tracks.keeps(p.cmd) {
		c.session.tracks.unheard(p.cmd, b.args)
	}
	c.session.tracks.answered()
}

// settle makes definite what the arguments of a command leave to the moment in which it
// comes, or answers it.
func (c *conn) settle(p *pending) {
	if p.cmd.Waits.Ask == nil {
		return
	}
	ask := p.cmd.Waits.Ask(p.args)
	if ask == nil {
		return
	}
	asked := []pending{{cmd: c.s.cfg.Table.Find(ask[0]), args: ask, db: p.db, of: &request{cmd: p.cmd, args: p.args}}}
	c.lanes.executeAll(asked)
	settled, ok := p.cmd.Waits.Settle(p.args, asked[0].reply)
	if !ok {
		p.answer(asked[0].reply)
		return
	}
	p.args = settled
}

// begins shows others that the client waits.
func (c *conn) begins(b *blocking) {
	c.face.waiting.Store(b)
	c.face.blocked.Store(true)
	c.s.stats.blocked.Add(1)
	c.out.release()
	if c.in.leaving() { // who asks it to leave may have looked already
		b.end(nodeStops)
	}
}

func (c *conn) ends(b *blocking) {
	if b.timer != nil {
		b.timer.Stop()
	}
	c.out.hold()
	c.s.stats.blocked.Add(-1)
	c.face.blocked.Store(false)
	c.face.waiting.Store(nil)
}

// waitAnywhere executes a command that waits where it belongs, by newer maps if that
// has moved meanwhile.
func (x *lanes) waitAnywhere(b *blocking) {
	list := b.list[:]
	p := &list[0]
	d := x.detour()
	defer d.end()
	for !p.done && !x.left() {
		if b.waits == nil {
			if x.c.renew() {
				recheckAll(x.c, list)
			}
			if x.c.closed || p.done {
				return
			}
			b.sent = d.begin()
			place(b.sent, list)
			if p.done {
				return
			}
		}
		refused, all := x.execute(list)
		x.holdReplies()
		switch {
		case b.asleep:
			return
		case all && b.ended:
			x.nothingCame(list)
		case !all:
			d.end() // it may have waited for long: this is another attempt
			d.begin()
			if !d.again(b.sent, refused...) {
				answerAll(list, errMoving)
			}
		}
	}
	if b.waits != nil { // the client has gone while its loop watched
		x.abandon(b)
	}
}

// nothingCame answers a command whose waiting has ended.
func (x *lanes) nothingCame(list []pending) {
	p := &list[0]
	switch {
	case p.block.why == nodeStops:
		p.answer(errorReply(errNodeStops))
		x.c.closed = true
	case p.cmd.Waits.Late && p.block.why == timedOut:
		p.block = nil
		x.executeAll(list)
	default:
		p.answer(p.block.nothing(x.session.proto))
	}
}

// nothing is the answer to a command whose time is over, or whom CLIENT UNBLOCK has
// ended.
func (b *blocking) nothing(proto int) []byte {
	if b.why == unblocked {
		return errorReply(errUnblocked)
	}
	w := resp.Writer{Proto: proto}
	command.NoElement(&w)
	return w.Out
}

// await sends a command that may wait, unless it waits already, and waits with it.
func (l *lane) await(id cluster.ShardID, g *group.Group, b *blocking) router.Result {
	if b.waits == nil {
		if l.left() {
			return router.Result{Err: textGone}
		}
		l.register(id, g, b)
	}
	why, result, how := receiveOr(l.wait, l.results, b)
	switch how {
	case arrived:
		b.waits = nil
		l.tracks.served(&result.Reply, id)
		return result
	case sleeps:
		b.asleep = true
		return router.Result{}
	case expired:
		b.giveUp(why)
		if result, how = receive(l.wait, l.results, nil); how == arrived {
			b.waits = nil
			l.tracks.served(&result.Reply, id)
			return result
		}
	}
	l.abandon(b)
	return router.Result{Err: textGone}
}

// register lets a command wait at its shard. Its answer goes to results. A client that is
// not watched yet is from when the shard has it wait: what is pushed once it has gone would
// be taken for nobody.
func (l *lane) register(id cluster.ShardID, g *group.Group, b *blocking) {
	g.Own = l.tracks.asks()
	waits := l.tracks.parked(g)
	if w := l.wait; b.who.Load() == nil && w.patrol != nil {
		parked := waits
		waits = func() {
			b.parked.Store(true)
			w.watch()
			if parked != nil {
				parked()
			}
		}
	}
	b.waits = l.router.Wait(id, g, waits, func(r router.Result) {
		l.onResult(r)
		b.stir()
	})
}

// giveUp asks the shard to forget the command. It may have been served: the answer says.
func (b *blocking) giveUp(why ending) {
	if !b.given {
		b.why, b.given = why, true
	}
	b.waits.Cancel()
}

// abandon gives up a command that waits, since nobody is there to take its answer.
func (l *lane) abandon(b *blocking) {
	b.waits.Cancel()
	b.waits = nil
	l.unsure = true
}
