package server

import (
	"strings"
	"time"

	"tutti/internal/command"
	"tutti/internal/resp"
)

// From a command to who executes it, as the command table says: the connection
// itself or its node, at once, or a shard, with what else the pipeline has for it.

// dispatch executes one command, or queues it for the group that is forming.
func (c *conn) dispatch(args [][]byte) {
	c.s.stats.commands.Add(1)
	cmd, text := c.s.cfg.Table.Lookup(args)
	if cmd == nil {
		c.refuse(args, text)
		return
	}
	c.face.lastCmd.Store(&cmd.Name)
	if c.session.tracks.client != nil {
		defer c.session.ran(cmd)
	}
	c.seat.stays(cmd, args)
	if c.surplus(cmd) || !c.permitted(cmd, args) || outOfPlace(c, cmd, args) || c.misplaced(cmd) {
		return
	}
	if c.hold(cmd, args); c.closed {
		return
	}
	if cmd.RunsScript() {
		rememberScript(c, cmd, args)
	}
	switch {
	case c.session.multi != nil && cmd.Flags&command.AtOnce == 0:
		c.enqueue(cmd, args)
	case cmd.Where.Evaluated():
		if cmd.Waits != nil {
			if d, ok := cmd.Waits.Patience(args); ok {
				c.block(cmd, args, d)
				return
			}
		}
		if cmd.Keys.Split != nil && split(c, cmd, args) {
			return
		}
		c.add(cmd, args)
	default:
		c.flush()
		c.answer(cmd, args)
	}
}

// answer executes a command that this node answers by itself.
func (c *conn) answer(cmd *command.Command, args [][]byte) {
	if c.closed {
		return
	}
	at, r := len(c.out.replies), &c.request
	r.Out, r.Proto, r.loud = c.out.replies, c.session.proto, false
	r.handle(cmd, args)
	if r.loud {
		at = len(r.Out)
	}
	c.out.replies, r.Out = c.session.hush(r.Out, at), nil
	c.session.tracks.answered()
	r.args = nil // or it would hold their memory while the client is idle
	if c.recognize() != "" {
		c.closed = true // it has given up its login, and is one too many without
	}
	c.left()
}

// error answers a command with an error, before or instead of its execution.
func (c *conn) error(text string) {
	at := len(c.out.replies)
	c.out.replies = c.session.hush(resp.AppendError(c.out.replies, text), at)
}

// refuse answers a command that can't be executed; in MULTI it spoils the
// transaction, and EXEC ends it.
func (c *conn) refuse(args [][]byte, text string) {
	c.flush()
	cmd := c.s.cfg.Table.Find(args[0])
	switch {
	case cmd != nil && cmd.Name == "exec":
		// It ends the transaction all the same: else a client that goes on would
		// have what it takes for commands of their own queued.
		c.session.endMulti()
		text = "EXECABORT Transaction discarded because of: " + strings.TrimPrefix(text, "ERR ")
	case c.session.multi != nil:
		c.session.multi.spoil()
	}
	if c.in.requestOfHTTP(args) {
		refuseHTTP(c)
		return
	}
	c.s.stats.refused(cmd, text)
	c.error(text)
}

// answered accounts for commands that went to the shards together and have been
// answered.
func (c *conn) answered(list []pending, began time.Time) {
	took := time.Since(began)
	share := took / time.Duration(len(list))
	var n [classes]int
	for i := range list {
		n[c.s.stats.called(list[i].cmd, list[i].reply, share)]++
		if len(list[i].reply) > 0 && list[i].reply[0] == '-' && list[i].cmd.RunsScript() {
			noteScript(c, list[i].reply)
		}
	}
	for class := range classes {
		c.s.stats.took(class, took, n[class])
	}
	if spikes := c.s.logs.slow.spikes; spikes.Threshold() > 0 {
		for i := range list {
			spikes.Note(spiked(list[i].cmd), took)
		}
	}
	if c.s.logs.slow.slow(took, len(list)) {
		for i := range list[:min(len(list), slowTogetherMax)] {
			c.s.logs.slow.add(c, list[i].cmd, list[i].args, took)
		}
	}
}
