package server

import (
	"slices"
	"time"

	"tutti/internal/cluster"
	"tutti/internal/command"
	"tutti/internal/group"
	"tutti/internal/keyspace"
)

// From commands to groups: what a pipeline has for the shards is gathered and
// goes to each of them together.

// pipelineMax is how many commands gather.
const pipelineMax = group.CommandsMax

const errTooLarge = "ERR the arguments of this command exceed 16 MiB, the most that one command may write. Not applied. Split it into smaller ones."

// pending is a command of the pipeline that waits for its group.
type pending struct {
	address // by the newest map when it is sent
	cmd     *command.Command
	args    [][]byte
	db      uint8
	reply   []byte
	done    bool // there is a reply

	denied string // why EXEC may not execute it
}

func (p *pending) answer(reply []byte) { p.reply, p.done = reply, true }

// pipeline is the commands that wait, in order.
type pipeline struct {
	pending []pending
	bytes   int // of their arguments
}

func (p *pipeline) full() bool {
	return len(p.pending) >= pipelineMax || p.bytes > group.BytesMax
}

func (p *pipeline) clear() {
	clear(p.pending)
	p.pending, p.bytes = p.pending[:0], 0
}

// add puts a command into the forming groups.
func (c *conn) add(cmd *command.Command, args [][]byte) {
	size := argsBytes(args)
	if size > keyspace.WriteSetMax {
		c.flush()
		c.error(errTooLarge)
		return
	}
	if c.session.quiet != replyOn {
		c.flush()
	}
	p := &c.pipeline
	p.pending = append(p.pending, pending{cmd: cmd, args: args, db: c.session.db})
	p.bytes += size
	if p.full() || c.session.quiet != replyOn {
		c.flush()
	}
}

func argsBytes(args [][]byte) (n int) {
	for _, a := range args {
		n += len(a)
	}
	return n
}

// flush executes the pending commands and appends their replies in order. If
// they are large it writes what there is before it reads on: a few bytes of
// pipeline must not ask for more than memory holds.
func (c *conn) flush() {
	rest := c.pipeline.pending
	d := detour{lane: c.lane}
	defer d.end()
	for len(rest) > 0 && !c.closed {
		if len(c.out.replies) > outMax && !c.write() {
			break
		}
		began := time.Now()
		c.step(rest, &d)
		if c.left() {
			break
		}
		n := 0
		for n < len(rest) && rest[n].done {
			n++
		}
		if n > 0 {
			c.answered(rest[:n], began)
			d.end() // the others have their time before them
		}
		for i := range n {
			at := len(c.out.replies)
			c.out.replies = c.session.hush(append(c.out.replies, rest[i].reply...), at)
			rest[i].reply = nil
		}
		rest = rest[n:]
	}
	c.pipeline.clear()
}

// executeAll executes commands until all are done or the client has gone.
func (c *conn) executeAll(list []pending) {
	d := detour{lane: c.lane}
	defer d.end()
	for slices.ContainsFunc(list, func(p pending) bool { return !p.done }) && !c.left() {
		c.step(list, &d)
	}
}

// step executes those of the commands that are not done, as far as the map and
// the shards let it.
func (c *conn) step(list []pending, d *detour) {
	if m := d.begin(); m != d.placed {
		// All by one map: commands on one key must not overtake each other.
		d.placed = m
		place(m, list)
	}
	refused, all := c.execute(list)
	if !all && !d.again(d.placed, refused...) {
		answerAll(list, errMoving)
	}
}

// place finds out where those of the commands go that are not done.
func place(m *cluster.Map, all []pending) {
	for i := range all {
		p := &all[i]
		if p.done {
			continue
		}
		if p.address = locate(m, p.cmd, p.args); p.way == toSeveral {
			p.answer(errorReply(command.TextCrossShard))
		}
	}
}

// answerAll answers those of the commands that are not done with an error.
func answerAll(all []pending, text string) {
	for i := range all {
		if !all[i].done {
			all[i].answer(errorReply(text))
		}
	}
}

// execute executes commands, each where it goes. If all is false some were left
// because this node's map is too old: those that have no place in it, and those
// that shards refused.
func (c *conn) execute(list []pending) (refused []*group.Refusal, all bool) {
	id, one := sameShard(list)
	if !one {
		return c.runMany(list)
	}
	if ref := c.lane.run(id, c.session.proto, list); ref != nil {
		return []*group.Refusal{ref}, false
	}
	return nil, true
}

func sameShard(all []pending) (id cluster.ShardID, one bool) {
	for i := range all {
		if all[i].shard != all[0].shard || all[i].way != toShard || all[i].done {
			return 0, false
		}
	}
	return all[0].shard, true
}

// runMany executes commands for several shards: a group for each, at once.
func (c *conn) runMany(list []pending) (refused []*group.Refusal, all bool) {
	parts := make(map[cluster.ShardID][]pending)
	where := make(map[cluster.ShardID][]int)
	all = true
	for i, p := range list {
		switch {
		case p.done: // by an earlier round
		case p.way == toNobody:
			all = false
		default:
			parts[p.shard] = append(parts[p.shard], p)
			where[p.shard] = append(where[p.shard], i)
		}
	}
	for len(c.lanes) < len(parts) {
		c.lanes = append(c.lanes, newLane(c.s, &patience{gone: c.gone}))
	}
	ended := make(chan *group.Refusal, len(parts))
	lanes, proto := c.lanes, c.session.proto
	for id, part := range parts {
		l := lanes[0]
		lanes = lanes[1:]
		l.until = c.lane.until
		go func() { ended <- l.run(id, proto, part) }()
	}
	for range parts {
		ref, how := receive(&c.wait, ended, nil)
		if how == abandoned {
			ref = <-ended // the lanes have noticed too
		}
		if ref != nil {
			refused, all = append(refused, ref), false
		}
	}
	for id, part := range parts {
		for i, at := range where[id] {
			list[at].reply, list[at].done = part[i].reply, part[i].done
		}
	}
	return refused, all
}

// unsure reports whether something may still refer to the arguments of commands
// that have been answered, and forgets it.
func (c *conn) unsure() bool {
	unsure := c.lane.forget()
	for _, l := range c.lanes {
		unsure = l.forget() || unsure
	}
	return unsure
}
