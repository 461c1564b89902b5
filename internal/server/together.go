package server

import (
	"slices"

	"tutti/internal/cluster"
	"tutti/internal/group"
	"tutti/internal/router"
	"tutti/internal/shard"
)

// Commands of many clients for one shard, which go there together: their writes as
// one group, but for those that may take long, their reads over one view. Each
// client's are as they would be alone: in order, by its own rights, within its own
// bounds. What does not go well is not mended here: the client goes to a goroutine,
// with the commands that have not been executed, and they are executed there as they
// would have been without a loop.

// together is a group of several clients.
type together struct {
	shard cluster.ShardID
	g     *group.Group
	parts []part
	args  int // of its commands
	bytes int
	alone bool // it is one client's
}

// part is how many commands of a group are a client's.
type part struct {
	c *conn
	n int
}

// argsTogetherMax bounds what a group of several clients may touch: a light command
// takes a few steps for each argument, and a group that took more than a batch may
// would be set aside with all its clients.
const argsTogetherMax = 4 << 10

// send sends what has been gathered.
func (l *loop) send() {
	if len(l.gathered) == 0 {
		return
	}
	var groups []*together
	var reads []*readers
	places := l.s.cfg.Router.Map()
	for _, c := range l.gathered {
		if !c.seat.here {
			continue // cut off meanwhile
		}
		list := c.pipeline.pending
		place(places, list)
		id, one := sameShard(list)
		if !one {
			l.giveUp(c)
			continue
		}
		c.seat.began = l.now
		c.seat.writes = writesOf(list, l.s.cfg.Router.Away(id))
		if c.seat.writes == 0 {
			reads = addReader(reads, id, c)
		} else {
			groups = addWriter(groups, id, c)
		}
	}
	clear(l.gathered)
	l.gathered = l.gathered[:0]
	for _, t := range groups {
		l.s.cfg.Router.Write(t.shard, t.g, func(result router.Result) { l.post(wrote{t, result}) })
	}
	for _, r := range reads {
		l.read(&shard.Read{Shard: r.shard}, r)
	}
}

// writesOf returns how many of the commands go to the shard's loop: those up to the
// last write, or last one that may wait there, or all if there is nothing here to
// read from.
func writesOf(list []pending, away bool) int {
	n := len(list)
	for n > 0 && !away && !list[n-1].cmd.Changes() && list[n-1].block == nil {
		n--
	}
	return n
}

// addWriter puts the writes of a client into a group that has room for them, or
// into a new one.
func addWriter(all []*together, id cluster.ShardID, c *conn) []*together {
	list := c.pipeline.pending[:c.seat.writes]
	args, bytes := 0, 0
	for i := range list {
		args += len(list[i].args)
		bytes += argsBytes(list[i].args)
	}
	i := slices.IndexFunc(all, func(t *together) bool {
		return t.shard == id && !t.alone && !c.seat.alone && int(t.g.Proto) == c.session.proto && t.args+args <= argsTogetherMax &&
			len(t.g.Cmds)+len(list) <= group.CommandsMax && t.bytes+bytes <= group.BytesMax
	})
	claim := claimOf(list)
	claim.Users = c.session.users.Epoch
	if i < 0 {
		i = len(all)
		all = append(all, &together{shard: id, g: &group.Group{Proto: uint8(c.session.proto), Claim: claim}, alone: c.seat.alone})
	}
	t := all[i]
	if runsScripts(list) {
		t.g.User = c.session.rights()
	}
	t.g.Claim = joined(t.g.Claim, claim)
	for i := range list {
		t.g.Cmds = append(t.g.Cmds, group.Command{DB: list[i].db, Args: list[i].args})
	}
	t.parts = append(t.parts, part{c, len(list)})
	t.args, t.bytes = t.args+args, t.bytes+bytes
	return all
}

// joined is the claim of two clients. One that knows later users than either of
// them refuses both.
func joined(a, b group.Claim) group.Claim {
	all := a.Join(b)
	all.Users = min(a.Users, b.Users)
	return all
}

// wrote takes the answer to a group.
func (l *loop) wrote(t *together, result router.Result) {
	unsure := result.Err != "" || t.g.Attempt > 1 || result.Reply.Attempt > 1
	refusal := result.Reply.Refusal()
	if refusal != nil {
		l.s.cfg.Router.Learn(refusal)
	}
	rest := &readers{shard: t.shard}
	replies := result.Reply.Replies
	if u := result.Reply.Unfit; u.Need > 0 {
		replies = replies[:min(u.From, len(replies))]
	}
	for _, p := range t.parts {
		own := replies[:min(p.n, len(replies))] // of an error there are none
		replies = replies[len(own):]
		if !p.c.seat.here {
			continue // there is nobody to answer
		}
		p.c.lanes.unsure = p.c.lanes.unsure || unsure
		list := p.c.pipeline.pending
		switch {
		case result.Err != "":
			answerAll(list, result.Err)
			l.finish(p.c)
		case refusal != nil || !answerOwn(list, own) || len(own) < p.n:
			l.giveUp(p.c)
		case p.n < len(list):
			rest.clients = append(rest.clients, p.c)
		default:
			l.finish(p.c)
		}
	}
	if len(rest.clients) > 0 {
		l.read(&shard.Read{Shard: t.shard, MinIndex: result.Reply.Index, Now: result.Reply.Time}, rest)
	}
}

// answerOwn answers commands of a client with what their group came to. It reports
// false if one was left out only because the replies to other clients were large:
// it, and those behind it, have not been executed.
func answerOwn(list []pending, replies [][]byte) bool {
	size := 0
	for i, reply := range replies {
		if size <= group.RepliesMax && string(reply) == "-"+group.TextReplies+"\r\n" {
			return false
		}
		list[i].answer(reply)
		size += len(reply)
	}
	return true
}

// finish goes on with a client whose commands have all been answered.
func (l *loop) finish(c *conn) {
	t := &c.seat
	t.busy = false
	c.seat.settle()
	if t.next == nil && t.err == nil {
		l.transfer.answered = append(l.transfer.answered, c)
		return
	}
	l.turn(c)
}

// replied goes on with a client whose replies are written, or have been.
func replied(l *loop, c *conn) {
	if l.flush(c) {
		c.in.release(c.lanes.anyUnsure())
		l.turn(c)
	}
}

// giveUp gives a client to a goroutine that executes those of its commands that are
// not done.
func (l *loop) giveUp(c *conn) {
	c.seat.busy = false
	c.seat.settle()
	l.handOver(c)
}
