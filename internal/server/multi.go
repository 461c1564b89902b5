package server

import (
	"time"

	"tutti/internal/cluster"
	"tutti/internal/command"
	"tutti/internal/keyspace"
	"tutti/internal/resp"
	"tutti/internal/shard"
)

// multi is an open MULTI.
type multi struct {
	queue   []pending
	spoiled bool // a command was refused: EXEC discards
	bytes   int
}

// watched is a key that WATCH remembers.
type watched struct {
	shard.Watch
	shard cluster.ShardID
}

// multiBytesMax bounds what one connection may queue.
const multiBytesMax = 16 << 20

// inMulti lists the commands that MULTI does not queue.
var inMulti = map[string]bool{"exec": true, "discard": true, "multi": true, "watch": true, "quit": true, "reset": true}

func multiCmd(c *conn, _ [][]byte) {
	if c.multi != nil {
		c.error("ERR MULTI calls can not be nested")
		return
	}
	c.multi = &multi{}
	c.seenMulti.Store(0)
	c.ok()
}

// enqueue queues a command of a transaction. Its arguments are copied: the
// reader's memory does not outlive the pipeline.
func (c *conn) enqueue(cmd *command.Command, args [][]byte) {
	c.flush()
	at := len(c.out)
	defer func() { c.hush(at) }()
	m := c.multi
	if cmd.Flags&command.NoMulti != 0 {
		m.spoiled = true
		c.error("ERR Command not allowed inside a transaction")
		return
	}
	size := 0
	for _, a := range args {
		size += len(a)
	}
	if m.bytes += size; m.bytes > multiBytesMax {
		m.spoiled = true
		c.error("ERR the transaction exceeds 16 MiB. Not applied. Split it into smaller ones.")
		return
	}
	arena := make([]byte, 0, size)
	own := make([][]byte, len(args))
	for i, a := range args {
		arena = append(arena, a...)
		own[i] = arena[len(arena)-len(a) : len(arena) : len(arena)]
	}
	m.queue = append(m.queue, pending{cmd: cmd, args: own})
	c.seenMulti.Store(int32(len(m.queue)))
	c.out = append(c.out, "+QUEUED\r\n"...)
}

func (c *conn) endMulti() {
	c.multi = nil
	c.watches = nil
	c.seenMulti.Store(-1)
}

func discard(c *conn, _ [][]byte) {
	if c.multi == nil {
		c.error("ERR DISCARD without MULTI")
		return
	}
	c.endMulti()
	c.ok()
}

func watch(c *conn, args [][]byte) {
	if c.multi != nil {
		c.error("ERR WATCH inside MULTI is not allowed")
		return
	}
	for _, key := range args[1:] {
		if !c.watch(key) {
			return
		}
	}
	c.ok()
}

// watch remembers the version of one key.
func (c *conn) watch(key []byte) bool {
	for _, w := range c.watches {
		if w.DB == c.db && string(w.Key) == string(key) {
			return true
		}
	}
	w := watched{shard: c.s.cfg.Router.Shard(keyspace.Slot(key))}
	w.DB, w.Key = c.db, append([]byte{}, key...)
	good := true
	c.read(w.shard, 0, 0, func(tx *keyspace.Tx) {
		w.Version, w.Exists = tx.KeyVersion(w.DB, w.Key)
	}, func(text string) {
		c.error(text)
		good = false
	})
	if good {
		c.watches = append(c.watches, w)
	}
	return good
}

func unwatch(c *conn, _ [][]byte) {
	c.watches = nil
	c.ok()
}

func exec(c *conn, _ [][]byte) {
	m := c.multi
	if m == nil {
		c.error("ERR EXEC without MULTI")
		return
	}
	watches := c.watches
	c.endMulti()
	if m.spoiled {
		c.error("EXECABORT Transaction discarded because of previous errors.")
		return
	}
	keyed, id, ok := c.plan(m)
	for _, w := range watches {
		if id == 0 {
			id = w.shard
		}
		ok = ok && w.shard == id
	}
	if !ok {
		c.error(errCrossShard)
		return
	}
	failed, text, began := false, "", time.Now()
	if len(keyed) > 0 || len(watches) > 0 {
		failed, text = c.transact(id, keyed, watches)
	}
	switch {
	case text != "":
		c.error(text)
	case failed:
		c.out = resp.AppendNullArray(c.out, c.proto)
	default:
		if len(keyed) > 0 {
			c.answered(keyed, began)
		}
		c.answerExec(m, keyed)
	}
}

// plan follows the databases that SELECT chooses within the transaction and
// picks the commands with keys; ok is false if they live in several shards.
func (c *conn) plan(m *multi) (keyed []pending, id cluster.ShardID, ok bool) {
	db := c.db
	for i := range m.queue {
		p := &m.queue[i]
		if p.cmd.Name == "select" {
			if n, valid := parseDB(p.args[1]); valid {
				db = n
			}
		}
		p.db = db
		if p.cmd.Run == nil {
			continue
		}
		owner, single := c.s.shardOf(p.cmd, p.args)
		if !single || id != 0 && owner != id {
			return nil, 0, false
		}
		id, p.shard = owner, owner
		keyed = append(keyed, *p)
	}
	return keyed, id, true
}

// transact evaluates the commands as one; failed says that a watched key
// changed, text is an error.
func (c *conn) transact(id cluster.ShardID, keyed []pending, watches []watched) (failed bool, text string) {
	writes := c.s.cfg.Router.Away(id) // it then is evaluated where writes are
	for i := range keyed {
		writes = writes || keyed[i].cmd.Flags&command.Write != 0
	}
	if writes {
		g := &shard.Group{Proto: uint8(c.proto), Atomic: true}
		for _, w := range watches {
			g.Watches = append(g.Watches, w.Watch)
		}
		result := c.group(id, g, keyed)
		for i, r := range result.Reply.Replies {
			keyed[i].reply = r
		}
		if result.Reply.Status == shard.NoSpace {
			return false, "EXECABORT Transaction discarded because of: " + shard.TextNoSpace
		}
		return result.Reply.Status == shard.WatchFailed, result.Err
	}
	c.read(id, 0, 0, func(tx *keyspace.Tx) {
		failed = false
		for _, w := range watches {
			if v, exists := tx.KeyVersion(w.DB, w.Key); v != w.Version || exists != w.Exists {
				failed = true
				return
			}
		}
		size := 0
		for i := range keyed {
			if size > shard.RepliesMax {
				keyed[i].reply = errorReply(shard.TextReplies)
				continue
			}
			keyed[i].reply = c.eval(tx, &keyed[i], nil)
			size += len(keyed[i].reply)
		}
	}, func(t string) { text = t })
	return failed, text
}

// answerExec writes the array of replies, executing now what the connection
// answers by itself.
func (c *conn) answerExec(m *multi, keyed []pending) {
	c.out = resp.AppendArray(c.out, len(m.queue))
	next := 0
	for i := range m.queue {
		p := &m.queue[i]
		if p.cmd.Run != nil {
			c.out = append(c.out, keyed[next].reply...)
			next++
			continue
		}
		c.own(p.cmd, c.s.handlers[p.cmd.Name], p.args)
	}
}
