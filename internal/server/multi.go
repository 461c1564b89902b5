package server

import (
	"time"

	"tutti/internal/cluster"
	"tutti/internal/command"
	"tutti/internal/eval"
	"tutti/internal/group"
	"tutti/internal/router"
	"tutti/internal/shard"
)

// multiBytesMax bounds what one connection may queue.
const multiBytesMax = 16 << 20

func multiHandlers() map[string]handler {
	return map[string]handler{"multi": multiCmd, "exec": exec, "discard": discard, "watch": watch, "unwatch": unwatch}
}

func multiCmd(r *request, _ [][]byte) {
	if r.c.session.multi != nil {
		r.Error("ERR MULTI calls can not be nested")
		return
	}
	r.c.session.beginMulti(&r.s.config.held)
	r.OK()
}

// enqueue queues a command of a transaction. Its arguments are copied: the
// reader's memory does not outlive the pipeline.
func (c *conn) enqueue(cmd *command.Command, args [][]byte) {
	c.flush()
	m := c.session.multi
	if cmd.Flags&command.NoMulti != 0 {
		m.spoil()
		c.error("ERR Command not allowed inside a transaction")
		return
	}
	size := argsBytes(args)
	if m.bytes += size; m.bytes > multiBytesMax {
		m.spoil()
		c.error("ERR the transaction exceeds 16 MiB. Not applied. Split it into smaller ones.")
		return
	}
	if m.memory += size + queuedBytes + len(args)*argBytes; !m.held.grow(int64(m.memory)) {
		m.spoil()
		c.error(errBudgetMulti)
		return
	}
	if !m.spoiled {
		m.keep(cmd, args, size)
	}
	c.face.queued.Store(int32(len(m.queue)))
	at := len(c.out.replies)
	c.out.replies = c.session.hush(append(c.out.replies, "+QUEUED\r\n"...), at)
}

// queuedBytes and argBytes are about what a queued command takes beside its arguments,
// and each of those.
const (
	queuedBytes = 256
	argBytes    = 24
)

// keep queues a copy of a command.
func (m *multi) keep(cmd *command.Command, args [][]byte, size int) {
	arena := make([]byte, 0, size)
	own := make([][]byte, len(args))
	for i, a := range args {
		arena = append(arena, a...)
		own[i] = arena[len(arena)-len(a) : len(arena) : len(arena)]
	}
	m.queue = append(m.queue, pending{cmd: cmd, args: own})
}

// spoil makes EXEC discard the transaction. What is queued, and what follows, need not
// be kept then.
func (m *multi) spoil() {
	m.spoiled, m.queue, m.memory = true, nil, 0
	m.held.release()
}

func discard(r *request, _ [][]byte) {
	if r.c.session.multi == nil {
		r.Error("ERR DISCARD without MULTI")
		return
	}
	r.c.session.endMulti()
	r.OK()
}

func watch(r *request, args [][]byte) {
	if r.c.session.multi != nil {
		r.Error("ERR WATCH inside MULTI is not allowed")
		return
	}
	for _, key := range args[1:] {
		if !r.watch(key) {
			return
		}
	}
	r.OK()
}

// watch remembers the version of one key, or answers the error.
func (r *request) watch(key []byte) (ok bool) {
	s := &r.c.session
	for _, w := range s.watches {
		if w.DB == s.db && string(w.Key) == string(key) {
			return true
		}
	}
	var w watched
	w.DB, w.Key = s.db, append([]byte{}, key...)
	args := [][]byte{[]byte("TUTTI.KEYVERSION"), w.Key}
	p := []pending{{cmd: r.s.cfg.Table.Find(args[0]), args: args, db: s.db, of: r}}
	r.c.lanes.executeAll(p)
	if w.Version, w.Exists, ok = command.ParseKeyVersion(p[0].reply); !ok {
		r.Out = append(r.Out, p[0].reply...)
		return false
	}
	w.shard = p[0].shard
	s.watches = append(s.watches, w)
	return true
}

func unwatch(r *request, _ [][]byte) {
	r.c.session.watches = nil
	r.OK()
}

func exec(r *request, _ [][]byte) {
	s := &r.c.session
	m, watches := s.multi, s.watches
	if m == nil {
		r.Error("ERR EXEC without MULTI")
		return
	}
	queued := m.held
	m.held.n = 0
	defer queued.release() // once it is executed
	s.endMulti()
	if m.spoiled {
		r.Error("EXECABORT Transaction discarded because of previous errors.")
		return
	}
	r.c.current()
	sure := m.confirmed(r.c)
	if r.c.closed {
		return
	}
	if !sure {
		r.Error(errUnsureDenied)
		return
	}
	m.recheck(r.c)
	s.keepAll(m.queue)
	began := time.Now()
	t, failed, text := r.c.lanes.transactAnywhere(m, watches)
	switch {
	case text != "":
		r.Error(text)
	case failed:
		r.s.stats.conflicts.Add(1)
		r.NullArray()
	default:
		if len(t.cmds) > 0 {
			r.c.answered(t.cmds, began)
		}
		r.answerExec(m, t.cmds)
	}
}

// transaction is what a shard evaluates of a MULTI.
type transaction struct {
	address
	proto   int
	cmds    []pending
	watches []watched
	strayed bool // a watched key is at another shard than when it was watched
}

// join adds where something of the transaction goes, and reports whether all of
// it so far goes to one shard.
func (t *transaction) join(a address, first bool) bool {
	switch {
	case first || a.way != toShard:
		t.address = a
	case a.shard != t.shard:
		t.way = toSeveral
	default:
		t.claim = t.claim.Join(a.claim)
	}
	return t.way == toShard
}

// plan picks the commands that a shard evaluates, following the databases that
// SELECT chooses within the transaction, and finds out by the map where it goes.
func plan(by *cluster.Map, m *multi, db uint8, watches []watched) (t transaction) {
	t.watches = watches
	for i := range m.queue {
		p := &m.queue[i]
		if p.cmd.Name == "select" {
			if n, valid := parseDB(p.args[1]); valid {
				db = n
			}
		}
		p.db = db
		if !p.cmd.Where.Evaluated() || p.denied != "" {
			continue
		}
		t.cmds = append(t.cmds, *p)
		if !t.join(locate(by, p.cmd, p.args), len(t.cmds) == 1) {
			return t
		}
	}
	for i, w := range watches {
		if !t.join(locateKey(by, w.Key), len(t.cmds)+i == 0) {
			return t
		}
		// Its version is that of another shard's log: it says nothing here.
		t.strayed = t.strayed || w.shard != t.shard
	}
	return t
}

// transact evaluates the commands as one; failed says that a watched key
// changed, text is an error.
func (l *lane) transact(t transaction) (failed bool, text string, refused *group.Refusal) {
	writes := l.router.Away(t.shard) // it then is evaluated where writes are
	for i := range t.cmds {
		writes = writes || t.cmds[i].cmd.Changes()
	}
	if !writes {
		text, refused = l.read(&shard.Read{Shard: t.shard}, t.claim, func(tx eval.Reads) { failed = t.evaluate(tx) })
		if !l.vanished(t.shard, text) {
			return failed, text, refused
		}
	}
	return l.transactInLoop(t)
}

// transactInLoop has a transaction evaluated where writes are.
func (l *lane) transactInLoop(t transaction) (failed bool, text string, refused *group.Refusal) {
	var result router.Result
	for tries, need := 0, 0; ; tries++ {
		g := &group.Group{Proto: uint8(t.proto), Atomic: true, Claim: t.claim, Room: need}
		for _, w := range t.watches {
			g.Watches = append(g.Watches, w.Watch)
		}
		result = l.group(t.shard, g, t.cmds)
		if need = result.Reply.Unfit.Need; need == 0 {
			break
		}
		if l.unkeep(); tries == keepsMax || !l.ownRoom().keep(int64(need)) {
			return false, command.TextNoReply, nil
		}
	}
	switch result.Reply.Status {
	case group.NoSpace:
		return false, "EXECABORT Transaction discarded because of: " + group.TextNoSpace, nil
	case group.Undone:
		return false, undoneText(result.Reply.Replies), nil
	}
	for i, r := range result.Reply.Replies {
		t.cmds[i].reply = r
	}
	return result.Reply.Status == group.WatchFailed, result.Err, result.Reply.Refusal()
}

// undoneText is the error that undid a transaction.
func undoneText(replies [][]byte) string {
	if len(replies) != 1 || len(replies[0]) < 3 {
		return "EXECABORT Transaction discarded."
	}
	return string(replies[0][1 : len(replies[0])-2]) // -CODE text\r\n
}

// evaluate evaluates a transaction that only reads.
func (t *transaction) evaluate(tx eval.Reads) (failed bool) {
	for i := range t.watches {
		if !tx.Unchanged(&t.watches[i].Watch) {
			return true
		}
	}
	size := 0
	for i := range t.cmds {
		if size > group.RepliesMax {
			t.cmds[i].reply = errorReply(group.TextReplies)
			continue
		}
		t.cmds[i].reply = tx.Run(t.cmds[i].cmd, t.cmds[i].db, t.proto, t.cmds[i].args)
		size += len(t.cmds[i].reply)
	}
	return false
}

// answerExec writes the array of replies, executing now what the node answers by
// itself.
func (r *request) answerExec(m *multi, evaluated []pending) {
	r.Array(len(m.queue))
	r.inExec = true
	for i := range m.queue {
		p := &m.queue[i]
		if p.denied != "" {
			r.Error(p.denied)
			continue
		}
		if p.cmd.Where.Evaluated() {
			r.Out = append(r.Out, r.c.unsent.affordable(&evaluated[0], len(r.Out))...)
			evaluated[0].reply = nil
			show(r.c, p.cmd, evaluated[0].db, p.args)
			evaluated = evaluated[1:]
			continue
		}
		r.handle(p.cmd, p.args)
	}
	r.inExec = false
}
