package server

import (
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
	ended bool // nothing came
}

// end ends the waiting, from any goroutine; first says that nobody else has.
func (b *blocking) end(why ending) (first bool) {
	select {
	case b.stop <- why:
		return true
	default:
		return false
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
	b := &blocking{stop: make(chan ending, 1)}
	if patience > 0 {
		timer := time.AfterFunc(patience, func() { b.end(timedOut) })
		defer timer.Stop()
	}
	own := make([][]byte, len(args))
	for i, a := range args {
		own[i] = append([]byte{}, a...)
	}
	p := []pending{{cmd: cmd, args: own, db: c.session.db, block: b}}
	c.in.rest(c.lanes.anyUnsure())
	c.settle(&p[0]) // before anybody sees that it waits: what he does then comes behind that
	c.begins(b)
	c.lanes.waitAnywhere(p)
	c.ends()
	if c.left() {
		return
	}
	c.s.stats.took(c.s.stats.called(cmd, p[0].reply, 0), 0, 1)
	if slow := &c.s.logs.slow; slow.slow(0, 1) { // waiting is not working
		slow.add(c, cmd, own, 0)
	}
	at := len(c.out.replies)
	c.out.replies = c.session.hush(append(c.out.replies, p[0].reply...), at)
	if c.session.tracks.keeps(cmd) {
		c.session.tracks.unheard(cmd, own)
	}
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

func (c *conn) ends() {
	c.out.hold()
	c.s.stats.blocked.Add(-1)
	c.face.blocked.Store(false)
	c.face.waiting.Store(nil)
}

// waitAnywhere executes a command that waits where it belongs, by newer maps if that
// has moved meanwhile.
func (x *lanes) waitAnywhere(list []pending) {
	p := &list[0]
	d := x.detour()
	defer d.end()
	for !p.done && !x.left() {
		if x.c.renew() {
			recheckAll(x.c, list)
		}
		if x.c.closed || p.done {
			return
		}
		m := d.begin()
		place(m, list)
		if p.done {
			return
		}
		refused, all := x.execute(list)
		switch {
		case all && p.block.ended:
			x.nothingCame(list)
		case !all:
			d.end() // it may have waited for long: this is another attempt
			d.begin()
			if !d.again(m, refused...) {
				answerAll(list, errMoving)
			}
		}
	}
}

// nothingCame answers a command whose waiting has ended.
func (x *lanes) nothingCame(list []pending) {
	p := &list[0]
	switch {
	case p.block.why == unblocked:
		p.answer(errorReply(errUnblocked))
	case p.block.why == nodeStops:
		p.answer(errorReply(errNodeStops))
		x.c.closed = true
	case p.cmd.Waits.Late:
		p.block = nil
		x.executeAll(list)
	default:
		w := resp.Writer{Proto: x.session.proto}
		command.NoElement(&w)
		p.answer(w.Out)
	}
}

// await sends a command that may wait, and waits with it.
func (l *lane) await(id cluster.ShardID, g *group.Group, b *blocking) router.Result {
	w := l.router.Wait(id, g, l.onResult)
	why, result, how := receiveOr(l.wait, l.results, b.stop)
	switch how {
	case arrived:
		return result
	case expired:
		w.Cancel()
		b.why = why
		if result, how = receive(l.wait, l.results, nil); how == arrived {
			return result
		}
	}
	w.Cancel()
	l.unsure = true
	return router.Result{Err: textGone}
}
