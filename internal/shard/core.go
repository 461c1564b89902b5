package shard

import (
	"encoding/binary"
	"errors"
	"maps"
	"slices"

	"tutti/internal/cluster"
	"tutti/internal/command"
	"tutti/internal/keyspace"
	"tutti/internal/store"
)

var be = binary.BigEndian

// Budgets of one batch.
const (
	batchStepsMax = 20_000  // rows touched: about 5 ms
	batchBytesMax = 1 << 20 // of effects, unless one command has more
)

// TextNoSpace is the error for commands that need room on a full disk.
const TextNoSpace = "NOSPACE the disk of the leader or of too many other nodes is full. Not applied. Deletes and reads still work; make room on the disks."

const errTight = "NOSPACE the disk of the leader or of too many other nodes is full to the last reserve. Not applied. Reads still work; make room on the disks."

// batch is what one cycle evaluates into one entry.
type batch struct {
	index, term uint64
	time        int64
	data        store.WriteSet // nil: no effects
	logged      bool           // seen in raft's log
	groups      []*Group
	replies     []Reply
	dbs         *keyspace.Databases // nil: unchanged
	opened      []uint64            // sessions opened
	floors      map[uint64]uint64   // session -> floor raised to
	recorded    map[uint64]replyRow // session -> the row of this entry
	deadlines   []deadline          // added to the expiry index
	trash       []trashed           // big collections deleted
	tx          *keyspace.Tx        // what has its effects
}

// core evaluates. It has no goroutine, clock or I/O of its own: the state it
// reads, the time and the randomness are given to it, so a recorded input
// replays exactly.
type core struct {
	shard      cluster.ShardID
	table      *command.Table
	sessions   *sessions
	newID      func() uint64
	rand       func(n uint64) uint64
	known      *keyspace.Known
	unreadable func(err *keyspace.RowError) // takes note of rows that can't be read
	tx         *keyspace.Tx                 // its memory is used again for every batch
	out        int                          // bytes of replies of the last batch, the guess for the next
}

// input is everything an evaluation depends on beside the core.
type input struct {
	state     keyspace.Reader
	keys      func(pdb uint32) (int64, error)
	databases *keyspace.Databases
	applied   int64 // applied shard time
	now       int64
	index     uint64
	term      uint64
	sweep     func(tx *keyspace.Tx) // background work of the keyspace; nil: none
	tick      bool                  // the time must be recorded though nothing else is
	scrub     bool                  // the scrub row must be written
	from      []byte                // with this value
	shortage                        // of room on the disks
}

// evaluate runs as many of groups as the budget allows and returns the batch
// and how many it took. With keyspace.ErrHeavy, the group of that number is too
// much for the loop: it is to be evaluated beside it, see prepare.
func (c *core) evaluate(in input, groups []*Group) (*batch, int, error) {
	env := keyspace.Env{Now: in.now, Applied: in.applied, Index: in.index,
		Databases: in.databases, Keys: in.keys, NewID: c.newID, Rand: c.rand, Known: c.known, Unreadable: c.unreadable}
	if c.tx == nil {
		c.tx = keyspace.NewTx(in.state, env)
	} else {
		c.tx.Reset(in.state, env)
	}
	tx := c.tx
	if len(groups) > 0 && groups[0].prepared != nil {
		if b, ok := c.take(in, groups[0]); ok {
			return b, 1, nil
		}
	}
	b := &batch{index: in.index, term: in.term, time: in.now, tx: tx}
	ctx := command.Ctx{Tx: tx}
	ctx.Out = make([]byte, 0, c.out+256)
	n := 0
	wrote := make([]bool, 0, len(groups))
	for ; n < len(groups); n++ {
		if n > 0 && (tx.Steps() > batchStepsMax || tx.Size() > batchBytesMax || len(ctx.Out) > batchBytesMax) {
			break
		}
		before := tx.Writes()
		tx.Allow(groups[n].stepsMax())
		b.replies = append(b.replies, c.group(&ctx, b, groups[n], in))
		wrote = append(wrote, tx.Writes() != before)
		b.groups = append(b.groups, groups[n])
		if errors.Is(tx.Err(), keyspace.ErrHeavy) {
			return nil, n, keyspace.ErrHeavy
		}
	}
	tx.Allow(0)
	if in.sweep != nil && !in.tight && tx.Steps() <= batchStepsMax {
		mark := tx.Mark()
		in.sweep(tx)
		if bad := tx.TakeRowError(); bad != nil {
			tx.Rollback(mark)
			tx.ReportRow(bad)
		}
		tx.Release(mark)
	}
	if err := tx.Err(); err != nil {
		return nil, 0, err
	}
	c.out = min(len(ctx.Out), batchBytesMax)
	c.finish(b, in, wrote)
	return b, n, nil
}

// group evaluates one group. The sessions have already been asked whether it
// is a repetition.
func (c *core) group(ctx *command.Ctx, b *batch, g *Group, in input) Reply {
	r := Reply{Session: g.Session, Seq: g.Seq, Attempt: g.Attempt, Term: b.term, Index: b.index, Time: b.time}
	if c.ended(b, g) {
		r.Status = NoSession
		return r
	}
	if g.Open {
		b.opened = append(b.opened, g.Session)
		return r
	}
	if !unchanged(ctx.Tx, g.Watches) {
		r.Status = WatchFailed
		return r
	}
	if g.Atomic && c.refused(g, in.shortage) {
		r.Status = NoSpace
		return r
	}
	r.Replies = c.commands(ctx, g, in.shortage)
	return r
}

// finish seals a batch if anything of it must be replicated.
func (c *core) finish(b *batch, in input, wrote []bool) {
	tx := b.tx
	if tx.Empty() && !tx.UsedNow() && !in.tick && !in.scrub && len(b.opened) == 0 {
		return
	}
	c.seal(b, tx, in.databases, wrote)
	if in.scrub {
		b.data.Put(store.ScrubRow(c.shard), in.from)
	}
}

// commands evaluates the commands of a group and returns their replies.
func (c *core) commands(ctx *command.Ctx, g *Group, short shortage) [][]byte {
	ctx.Proto = int(g.Proto)
	began := len(ctx.Out)
	replies := make([][]byte, len(g.Cmds))
	for i, cmd := range g.Cmds {
		at := len(ctx.Out)
		ctx.DB, ctx.Args = cmd.DB, cmd.Args
		switch row, text := c.table.Lookup(cmd.Args); {
		case row == nil || row.Run == nil:
			ctx.Error("ERR the leader does not know this command (" + text + "). Not applied.")
		case len(ctx.Out)-began > RepliesMax && !(g.Atomic && row.Flags&command.Write != 0):
			ctx.Error(TextReplies) // a transaction is not left half done
		case short.full && row.Flags&command.DenyOOM != 0:
			ctx.Error(TextNoSpace)
		case short.tight && row.Flags&command.Write != 0:
			ctx.Error(errTight)
		default:
			ctx.Run(row)
		}
		replies[i] = ctx.Out[at:len(ctx.Out):len(ctx.Out)]
	}
	return replies
}

// refused reports whether there is no room for some command of a transaction,
// which is all or nothing.
func (c *core) refused(g *Group, short shortage) bool {
	var flags command.Flags
	if short.full {
		flags = command.DenyOOM
	}
	if short.tight {
		flags |= command.Write
	}
	if flags == 0 {
		return false
	}
	for _, cmd := range g.Cmds {
		if row, _ := c.table.Lookup(cmd.Args); row != nil && row.Flags&flags != 0 {
			return true
		}
	}
	return false
}

// ended reports whether a newer incarnation of its entry node has taken the
// session of a group away while the group waited, in this batch even.
func (c *core) ended(b *batch, g *Group) bool {
	for _, id := range b.opened {
		if sessionNode(id) == sessionNode(g.Session) && sessionIncarnation(id) > sessionIncarnation(g.Session) {
			return true
		}
	}
	return !g.Open && c.sessions.byID[g.Session] == nil
}

// seal turns the effects of a batch into its write set, together with the
// shard-local rows: sessions, replies, counts, databases.
func (c *core) seal(b *batch, tx *keyspace.Tx, before *keyspace.Databases, wrote []bool) {
	w := store.NewWriteSet(b.time, tx.Size()+512)
	c.sealSessions(b, &w, wrote)
	counts := tx.KeyCounts()
	for _, pdb := range slices.Sorted(maps.Keys(counts)) { // in order: a replay gives the same bytes
		if n := counts[pdb]; n == 0 {
			w.Delete(store.CountRow(c.shard, pdb))
		} else {
			w.Put(store.CountRow(c.shard, pdb), be.AppendUint64(nil, uint64(n)))
		}
	}
	if tx.DatabasesChanged() {
		b.dbs = tx.Databases
		w.Put(store.DatabasesRow(c.shard), b.dbs.Encode())
		for _, pdb := range before.Trash() {
			if !slices.Contains(b.dbs.Trash(), pdb) {
				w.Delete(store.CountRow(c.shard, pdb))
			}
		}
	}
	tx.Effects(func(row, val []byte) {
		w.Put(row, val)
		if slot, t, ok := keyspace.Deadline(row); ok {
			b.deadlines = append(b.deadlines, deadline{slot, t})
		} else if slot, id, ok := keyspace.Trash(row); ok {
			b.trash = append(b.trash, trashed{slot, id})
		}
	}, w.Delete)
	b.data = w
}

// sealSessions records the replies of groups with effects, one row per session.
// Groups without effects need none: evaluated again, they find what they would
// have found if they had come later.
func (c *core) sealSessions(b *batch, w *store.WriteSet, wrote []bool) {
	for _, id := range b.opened {
		c.sealOpen(w, id)
	}
	rows := make(map[uint64][]byte)
	keep := b.keepable(wrote)
	b.recorded = make(map[uint64]replyRow)
	b.floors = make(map[uint64]uint64)
	for i, g := range b.groups {
		s := c.sessions.byID[g.Session]
		if s == nil || g.Open || b.replies[i].Status == NoSession {
			continue
		}
		if wrote[i] {
			rows[g.Session] = appendRecorded(rows[g.Session], g.Seq, b.replies[i].Replies, keep)
			row := b.recorded[g.Session]
			b.recorded[g.Session] = replyRow{index: b.index, maxSeq: max(row.maxSeq, g.Seq)}
		}
		if s.acked > s.floor {
			b.floors[g.Session] = s.acked
		}
	}
	for _, id := range slices.Sorted(maps.Keys(rows)) {
		w.Put(store.RepliesRow(c.shard, id, b.index), rows[id])
	}
	for _, id := range slices.Sorted(maps.Keys(b.floors)) {
		floor := b.floors[id]
		w.Put(store.SessionRow(c.shard, id), be.AppendUint64(nil, floor))
		for _, row := range c.sessions.byID[id].rows {
			if row.maxSeq <= floor {
				w.Delete(store.RepliesRow(c.shard, id, row.index))
			}
		}
	}
}

// sealOpen opens a session and ends those of older incarnations of its node.
func (c *core) sealOpen(w *store.WriteSet, id uint64) {
	node := sessionNode(id)
	w.Put(store.NodeRow(c.shard, node), be.AppendUint64(nil, sessionIncarnation(id)))
	if c.sessions.byID[id] == nil {
		w.Put(store.SessionRow(c.shard, id), make([]byte, 8))
	}
	for _, old := range slices.Sorted(maps.Keys(c.sessions.byID)) {
		if sessionNode(old) != node || sessionIncarnation(old) >= sessionIncarnation(id) {
			continue
		}
		w.Delete(store.SessionRow(c.shard, old))
		for _, row := range c.sessions.byID[old].rows {
			w.Delete(store.RepliesRow(c.shard, old, row.index))
		}
	}
}

// applied takes over into memory what the entry of b, now applied, did to the
// session rows.
func (c *core) applied(b *batch) {
	for _, id := range b.opened {
		for old := range c.sessions.byID {
			if sessionNode(old) == sessionNode(id) && sessionIncarnation(old) < sessionIncarnation(id) {
				delete(c.sessions.byID, old)
			}
		}
		c.sessions.nodes[sessionNode(id)] = sessionIncarnation(id)
		c.sessions.session(id)
	}
	for id, floor := range b.floors {
		s := c.sessions.byID[id]
		if s == nil {
			continue
		}
		s.setFloor(floor)
		keep := s.rows[:0]
		for _, row := range s.rows {
			if row.maxSeq > floor {
				keep = append(keep, row)
			}
		}
		s.rows = keep
	}
	for id, row := range b.recorded {
		if s := c.sessions.byID[id]; s != nil {
			s.rows = append(s.rows, row)
		}
	}
	// The effects are still those of b: nothing is evaluated while it is in
	// flight.
	if c.known != nil {
		b.tx.Effects(c.known.Put, c.known.Delete)
	}
	c.remember(b)
}

// remember notes the outcome of every group of b for repetitions in this term.
func (c *core) remember(b *batch) {
	for i, g := range b.groups {
		s := c.sessions.byID[g.Session]
		if s == nil || g.Open || g.Seq <= s.acked {
			continue
		}
		s.open[g.Seq] = outcome{index: b.index, reply: &b.replies[i]}
	}
}
