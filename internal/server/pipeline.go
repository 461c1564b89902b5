package server

import (
	"time"

	"tutti/internal/cluster"
	"tutti/internal/command"
	"tutti/internal/keyspace"
	"tutti/internal/router"
	"tutti/internal/shard"
	"tutti/internal/store"
)

// pending is a command of the pipeline that waits for its group.
type pending struct {
	cmd   *command.Command
	args  [][]byte
	db    uint8
	shard cluster.ShardID
	reply []byte
	done  bool // there is a reply
}

func (p *pending) answer(reply []byte) { p.reply, p.done = reply, true }

const errCrossShard = "CROSSSHARD the keys of this command live in several shards. Not applied. Use keys with one {hash tag}."

const errTooLarge = "ERR the arguments of this command exceed 16 MiB, the most that one command may write. Not applied. Split it into smaller ones."

// add puts a command with keys into the forming groups.
func (c *conn) add(cmd *command.Command, args [][]byte) {
	id, ok := c.s.shardOf(cmd, args)
	if !ok {
		c.flush()
		c.error(errCrossShard)
		return
	}
	size := 0
	for _, a := range args {
		size += len(a)
	}
	if size > keyspace.WriteSetMax {
		c.flush()
		c.error(errTooLarge)
		return
	}
	if c.quiet != replyOn {
		c.flush()
	}
	c.pending = append(c.pending, pending{cmd: cmd, args: args, db: c.db, shard: id})
	c.bytes += size
	if len(c.pending) >= pipelineMax || c.bytes > shard.GroupBytesMax || c.quiet != replyOn {
		c.flush()
	}
}

// shardOf returns the shard of a command; ok is false if there are several.
func (s *Server) shardOf(cmd *command.Command, args [][]byte) (id cluster.ShardID, ok bool) {
	if id, ok = s.cfg.Router.Single(); ok {
		return id, true
	}
	if cmd.Flags&command.WholeShard != 0 {
		return 0, false
	}
	var buf [8]int
	for i, at := range cmd.KeyArgs(buf[:0], args) {
		owner := s.cfg.Router.Shard(keyspace.Slot(args[at]))
		if i > 0 && owner != id {
			return 0, false
		}
		id = owner
	}
	if id == 0 { // no keys: any shard will do
		id = s.cfg.Router.Shards()[0].ID
	}
	return id, true
}

// flush executes the pending commands and appends their replies in order. If
// they are large it writes what there is before it reads on: a few bytes of
// pipeline must not ask for more than memory holds.
func (c *conn) flush() {
	rest := c.pending
	for len(rest) > 0 && !c.closed {
		if len(c.out) > outMax && c.write() != nil {
			c.closed = true
			break
		}
		began := time.Now()
		if id, one := sameShard(rest); one {
			c.run(id, rest)
		} else {
			c.runMany(rest)
		}
		n := 0
		for n < len(rest) && rest[n].done {
			n++
		}
		c.answered(rest[:n], began)
		for i := range n {
			at := len(c.out)
			c.out = append(c.out, rest[i].reply...)
			c.hush(at)
			rest[i].reply = nil
		}
		rest = rest[n:]
	}
	clear(c.pending)
	c.pending, c.bytes = c.pending[:0], 0
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
	done := make(chan struct{}, len(parts))
	for id, part := range parts {
		go func() {
			// A lane has its own channels, as it waits on its own.
			lane := &conn{s: c.s, proto: c.proto, results: make(chan router.Result, 1), views: make(chan viewed, 1)}
			lane.result = func(r router.Result) { lane.results <- r }
			lane.run(id, part)
			if lane.keep {
				done <- struct{}{}
			}
			done <- struct{}{}
		}()
	}
	for range parts {
		<-done
	}
	c.keep = c.keep || len(done) > 0
	for id, part := range parts {
		for i, at := range where[id] {
			all[at].reply, all[at].done = part[i].reply, part[i].done
		}
	}
}

// run executes commands of one shard: up to the last write in the shard's loop,
// reads behind it over a view that has seen that write. A node that can't
// follow has no such view: there all go to the loop. Of the reads it leaves those
// undone that come behind outMax of replies.
func (c *conn) run(id cluster.ShardID, list []pending) {
	writes := len(list)
	for writes > 0 && list[writes-1].cmd.Flags&command.Write == 0 {
		writes--
	}
	if c.s.cfg.Router.Away(id) {
		writes = len(list)
	}
	var minIndex uint64
	var now int64
	if writes > 0 {
		result := c.group(id, &shard.Group{Proto: uint8(c.proto)}, list[:writes])
		if result.Err != "" {
			for i := range list {
				list[i].answer(errorReply(result.Err))
			}
			return
		}
		for i := range list[:writes] {
			list[i].answer(result.Reply.Replies[i])
		}
		minIndex, now = result.Reply.Index, result.Reply.Time
	}
	if reads := list[writes:]; len(reads) > 0 {
		c.read(id, minIndex, now, func(tx *keyspace.Tx) {
			size := 0
			for i := range reads {
				reads[i].done = false // this may be another attempt
				if size <= outMax {
					reads[i].answer(c.eval(tx, &reads[i], nil))
					size += len(reads[i].reply)
				}
			}
		}, func(text string) {
			for i := range reads {
				reads[i].answer(errorReply(text))
			}
		})
	}
}

// group sends a group of commands that has its other fields set, and waits.
func (c *conn) group(id cluster.ShardID, g *shard.Group, list []pending) router.Result {
	g.Cmds = make([]shard.Command, len(list))
	for i := range list {
		g.Cmds[i] = shard.Command{DB: list[i].db, Args: list[i].args}
	}
	c.s.cfg.Router.Write(id, g, c.result)
	result := <-c.results
	// An answer to a later attempt, or none at all, leaves an earlier attempt
	// somewhere that still refers to the arguments.
	c.keep = c.keep || result.Err != "" || g.Attempt > 1 || result.Reply.Attempt > 1
	return result
}

func errorReply(text string) []byte { return []byte("-" + text + "\r\n") }

// read evaluates f over one view that is recent enough: one confirmed by a
// ReadIndex round if minIndex is 0. If f's outcome depends on a time that the
// shard has not recorded yet, it is evaluated again once it has: else a later
// leader with a slower clock might show an expired key again.
func (c *conn) read(id cluster.ShardID, minIndex uint64, now int64, f func(tx *keyspace.Tx), fail func(text string)) {
	q := &shard.Read{Shard: id, MinIndex: minIndex, Now: now, Done: func(v *store.View, now int64, err error) { c.views <- viewed{v, now, err} }}
	for {
		c.s.cfg.Router.Read(q)
		got := <-c.views
		if got.err != nil {
			fail(router.ErrRead(id))
			return
		}
		again, err := c.over(got, f)
		if err != nil {
			fail("ERR this node can't read its disk. Nothing was read; ask another node.")
			return
		}
		if !again {
			return
		}
		q = &shard.Read{Shard: id, MinIndex: got.v.Index, Now: got.now, MinTime: got.now, Done: q.Done}
	}
}

func (c *conn) over(got viewed, f func(tx *keyspace.Tx)) (again bool, err error) {
	defer got.v.Release()
	tx := keyspace.NewReadTx(got.v, keyspace.Env{Now: got.now, Applied: got.v.Time, Index: got.v.Index,
		Databases: got.v.Databases, Keys: got.v.Keys, Rand: c.s.cfg.Rand})
	f(tx)
	return tx.UsedNow(), tx.Err()
}

// eval evaluates one command and returns its reply, appended to out.
func (c *conn) eval(tx *keyspace.Tx, p *pending, out []byte) []byte {
	ctx := command.Ctx{Tx: tx, DB: p.db, Proto: c.proto, Args: p.args, Out: out}
	ctx.Run(p.cmd)
	return ctx.Out
}
