package server

import (
	"slices"
	"time"

	"tutti/internal/command"
	"tutti/internal/group"
)

// splitPatience is how long the shards have to answer their parts: whoever waits has
// others to serve.
const splitPatience = 2 * time.Second

// splitsMax is how often a command is split anew because slots have moved meanwhile.
const splitsMax = 3

// split executes a command that is about several shards, if there are several: a part at
// each of them, at once. It reports false, having done nothing, if there is one.
func split(c *conn, cmd *command.Command, args [][]byte) bool {
	shards := c.s.cfg.Router.Shards()
	if len(shards) < 2 || argsBytes(args) > group.BytesMax || cmd.Keys.Split.Parts(args, shards) == nil {
		return false
	}
	c.flush()
	if c.closed {
		return true
	}
	began := time.Now()
	whole := pending{cmd: cmd, args: args, db: c.session.db, kept: c.session.tracks.keeps(cmd)}
	c.session.tracks.begin([]pending{whole})
	defer c.session.tracks.answered()
	r := &c.request
	r.Out, r.Proto, r.cmd, r.args = nil, c.session.proto, cmd, args
	cmd.Keys.Split.Join(&r.Writer, args, executeParts(c, cmd, args))
	whole.answer(r.Out)
	r.Out = nil
	if c.left() || c.closed {
		return true
	}
	c.answered([]pending{whole}, began)
	show(c, cmd, whole.db, args)
	at := len(c.out.replies)
	c.out.replies = c.session.hush(append(c.out.replies, c.unsent.affordable(&whole, at)...), at)
	return true
}

// executeParts executes the parts of a command and returns their replies.
func executeParts(c *conn, cmd *command.Command, args [][]byte) (replies [][]byte) {
	for range splitsMax {
		var list []pending
		for _, part := range cmd.Keys.Split.Parts(args, c.s.cfg.Router.Shards()) {
			list = append(list, pending{cmd: c.s.cfg.Table.Find(part[0]), args: part, db: c.session.db, of: &c.request})
		}
		c.lanes.until = time.Now().Add(splitPatience)
		c.lanes.executeAll(list)
		replies = replies[:0]
		for _, p := range list {
			replies = append(replies, p.reply)
		}
		if !slices.ContainsFunc(replies, func(r []byte) bool { return string(r) == "-"+command.TextCrossShard+"\r\n" }) {
			break
		}
	}
	return replies
}
