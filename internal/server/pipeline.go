package server

import (
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

const (
	errCrossShard = "CROSSSHARD the keys of this command live in several shards. Not applied. Use keys with one {hash tag}."
	errTooLarge   = "ERR the arguments of this command exceed 16 MiB, the most that one command may write. Not applied. Split it into smaller ones."
)

// pending is a command of the pipeline that waits for its group.
type pending struct {
	cmd   *command.Command
	args  [][]byte
	db    uint8
	shard cluster.ShardID
	reply []byte
	done  bool // there is a reply

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
	id, ok := c.s.shardOf(cmd, args)
	if !ok {
		c.flush()
		c.error(errCrossShard)
		return
	}
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
	p.pending = append(p.pending, pending{cmd: cmd, args: args, db: c.session.db, shard: id})
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

// shardOf returns the shard of a command; ok is false if there are several.
func (s *Server) shardOf(cmd *command.Command, args [][]byte) (id cluster.ShardID, ok bool) {
	if cmd.Where == command.OnMeta {
		return cluster.Meta, true
	}
	if id, ok = s.cfg.Router.Single(); ok {
		return id, true
	}
	if cmd.Flags&command.WholeShard != 0 {
		return 0, false
	}
	var buf [8]int
	keys := cmd.KeyArgs(buf[:0], args)
	if len(keys) == 0 { // any shard will do
		return s.cfg.Router.Shards()[0].ID, true
	}
	for i, at := range keys {
		owner := s.cfg.Router.Shard(keyspace.Slot(args[at]))
		if i > 0 && owner != id {
			return 0, false
		}
		id = owner
	}
	return id, true
}

// flush executes the pending commands and appends their replies in order. If
// they are large it writes what there is before it reads on: a few bytes of
// pipeline must not ask for more than memory holds.
func (c *conn) flush() {
	rest := c.pipeline.pending
	for len(rest) > 0 && !c.closed {
		if len(c.out.replies) > outMax && !c.write() {
			break
		}
		began := time.Now()
		if id, one := sameShard(rest); one {
			c.lane.run(id, c.session.proto, rest)
		} else {
			c.runMany(rest)
		}
		if c.left() {
			break
		}
		n := 0
		for n < len(rest) && rest[n].done {
			n++
		}
		c.answered(rest[:n], began)
		for i := range n {
			at := len(c.out.replies)
			c.out.replies = c.session.hush(append(c.out.replies, rest[i].reply...), at)
			rest[i].reply = nil
		}
		rest = rest[n:]
	}
	c.pipeline.clear()
}

func sameShard(all []pending) (id cluster.ShardID, one bool) {
	for i := range all {
		if all[i].shard != all[0].shard {
			return 0, false
		}
	}
	return all[0].shard, true
}

// runMany executes commands for several shards: a group for each, at once.
func (c *conn) runMany(all []pending) {
	parts := make(map[cluster.ShardID][]pending)
	where := make(map[cluster.ShardID][]int)
	for i, p := range all {
		if !p.done { // by an earlier round
			parts[p.shard] = append(parts[p.shard], p)
			where[p.shard] = append(where[p.shard], i)
		}
	}
	for len(c.lanes) < len(parts) {
		c.lanes = append(c.lanes, newLane(c.s, &patience{gone: c.gone}))
	}
	ended := make(chan struct{}, len(parts))
	lanes, proto := c.lanes, c.session.proto
	for id, part := range parts {
		l := lanes[0]
		lanes = lanes[1:]
		go func() {
			l.run(id, proto, part)
			ended <- struct{}{}
		}()
	}
	for range parts {
		if _, how := receive(&c.wait, ended, nil); how == abandoned {
			<-ended // the lanes have noticed too
		}
	}
	for id, part := range parts {
		for i, at := range where[id] {
			all[at].reply, all[at].done = part[i].reply, part[i].done
		}
	}
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
