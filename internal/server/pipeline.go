package server

import (
	"time"

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
	kept    bool // the client may keep what it has read

	need   int // bytes that the leader says its reply takes, to be kept before it is asked again
	needed int // how often it has said so

	upload []byte    // under which its value has been sent in parts; nil: it has not
	block  *blocking // it waits if it finds nothing; nil: it does not
	denied string    // why EXEC may not execute it
	of     *request  // the client's command of which this is a part; nil: it is one itself
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
	p.pending = append(p.pending, pending{cmd: cmd, args: args, db: c.session.db, kept: c.session.tracks.keeps(cmd)})
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
	d := c.lanes.detour()
	defer d.end()
	defer c.lanes.giveBack()
	c.session.tracks.begin(rest)
	defer c.session.tracks.answered()
	for len(rest) > 0 && !c.closed {
		if len(c.out.replies) > outMax && !c.write() {
			break
		}
		began := time.Now()
		c.lanes.borrow()
		c.lanes.step(rest, &d)
		if c.left() {
			break
		}
		n := 0
		for n < len(rest) && rest[n].done {
			n++
		}
		if n > 0 {
			c.answered(rest[:n], began)
			showAll(c, rest[:n])
			d.end() // the others have their time before them
		}
		takeReplies(c, rest[:n])
		rest = rest[n:]
	}
	c.pipeline.clear()
}

// takeReplies puts the replies to commands behind those that are to be written.
func takeReplies(c *conn, list []pending) {
	if takeWhole(c, list) {
		return
	}
	for i := range list {
		at := len(c.out.replies)
		c.out.replies = c.session.hush(append(c.out.replies, c.unsent.affordable(&list[i], at)...), at)
		list[i].reply = nil
	}
}
