package eval

import (
	"maps"
	"slices"

	"tutti/internal/group"
	"tutti/internal/keyspace"
	"tutti/internal/store"
)

// seal turns the effects of a batch into its write set, together with the
// shard-local rows: sessions, replies, counts, databases.
func (c *Core) seal(b *Batch, tx *keyspace.Tx, before *keyspace.Databases, wrote []bool) {
	w := c.Pieces.newSet(b)
	c.sealSessions(b, &w, wrote)
	c.sealWaiters(b, &w)
	counts := tx.KeyCounts()
	for _, pdb := range slices.Sorted(maps.Keys(counts)) { // in order: a replay gives the same bytes
		if n := counts[pdb]; n == 0 {
			w.Delete(store.CountRow(c.cfg.Shard, pdb))
		} else {
			w.Put(store.CountRow(c.cfg.Shard, pdb), be.AppendUint64(nil, uint64(n)))
		}
	}
	if tx.DatabasesChanged() {
		b.dbs = tx.Databases
		w.Put(store.DatabasesRow(c.cfg.Shard), b.dbs.Encode())
		for _, pdb := range before.Trash() {
			if !slices.Contains(b.dbs.Trash(), pdb) {
				w.Delete(store.CountRow(c.cfg.Shard, pdb))
			}
		}
	}
	switch {
	case c.Pieces.joins(): // they are in the write set
	case b.rows != nil:
		w.Append(b.rows.set)
	default:
		b.rows = &rows{set: w}
		b.rows.add(tx)
		w = b.rows.set
	}
	b.Data = w
}

// rows is the effects of a transaction, as a write set has them, and what of them those do
// not look for again who learn from them once they are applied.
type rows struct {
	set       store.WriteSet
	deadlines []deadline // added to the expiry index
	trash     []trashed  // big collections deleted
	tasks     bool       // there are rows of tasks
	keys      *changed   // nil: not looked for
}

// changed is which keys rows are of, for Changes.
type changed struct {
	hashes []uint64 // of their object rows
	own    bool     // there are rows which are of no key, see isOwn
}

func (c *changed) note(row []byte, gone bool) {
	if hash, is := keyspace.ObjectHash(row); is {
		c.hashes = append(c.hashes, hash)
	} else if isOwn(row, gone) {
		c.own = true
	}
}

func (r *rows) add(tx *keyspace.Tx) {
	tx.Effects(func(row, val []byte) {
		r.set.Put(row, val)
		r.note(row, false)
		if slot, t, ok := keyspace.Deadline(row); ok {
			r.deadlines = append(r.deadlines, deadline{slot, t})
		} else if slot, id, ok := keyspace.Trash(row); ok {
			r.trash = append(r.trash, trashed{slot, id})
		}
	}, func(row []byte) {
		r.set.Delete(row)
		r.note(row, true)
	})
}

func (r *rows) note(row []byte, gone bool) {
	if _, _, is := keyspace.TaskRow(row); is {
		r.tasks = true
	}
	if r.keys != nil {
		r.keys.note(row, gone)
	}
}

// sealSessions records the replies of groups with effects, one row per session.
// Groups without effects need none: evaluated again, they find what they would
// have found if they had come later.
func (c *Core) sealSessions(b *Batch, w *store.WriteSet, wrote []bool) {
	for _, id := range b.opened {
		c.sealOpen(w, id)
	}
	rows := make(map[uint64][]byte)
	keep := b.keepable(wrote)
	b.recorded = make(map[uint64]replyRow)
	b.floors = make(map[uint64]uint64)
	for i, g := range b.Groups {
		s := c.sessions.byID[g.Session]
		if s == nil || g.Open || b.Replies[i].Status == group.NoSession {
			continue
		}
		if wrote[i] {
			rows[g.Session] = appendRecorded(rows[g.Session], g.Seq, b.Replies[i].Replies, keep)
			row := b.recorded[g.Session]
			b.recorded[g.Session] = replyRow{index: b.Index, maxSeq: max(row.maxSeq, g.Seq)}
		}
		if s.acked > s.floor {
			b.floors[g.Session] = s.acked
		}
	}
	for _, id := range slices.Sorted(maps.Keys(rows)) {
		w.Put(store.RepliesRow(c.cfg.Shard, id, b.Index), rows[id])
	}
	for _, id := range slices.Sorted(maps.Keys(b.floors)) {
		floor := b.floors[id]
		w.Put(store.SessionRow(c.cfg.Shard, id), be.AppendUint64(nil, floor))
		for _, row := range c.sessions.byID[id].rows {
			if row.maxSeq <= floor {
				w.Delete(store.RepliesRow(c.cfg.Shard, id, row.index))
			}
		}
	}
}

// sealOpen opens a session and ends those of older incarnations of its node.
func (c *Core) sealOpen(w *store.WriteSet, id uint64) {
	node := group.SessionNode(id)
	w.Put(store.NodeRow(c.cfg.Shard, node), be.AppendUint64(nil, group.SessionIncarnation(id)))
	if c.sessions.byID[id] == nil {
		w.Put(store.SessionRow(c.cfg.Shard, id), make([]byte, 8))
	}
	for _, old := range slices.Sorted(maps.Keys(c.sessions.byID)) {
		if group.SessionNode(old) != node || group.SessionIncarnation(old) >= group.SessionIncarnation(id) {
			continue
		}
		w.Delete(store.SessionRow(c.cfg.Shard, old))
		c.sealEnded(w, old)
		for _, row := range c.sessions.byID[old].rows {
			w.Delete(store.RepliesRow(c.cfg.Shard, old, row.index))
		}
	}
}

// Applied takes over into memory what the entry of b, now applied, did to the
// session rows.
func (c *Core) Applied(b *Batch) {
	for _, id := range b.opened {
		for old := range c.sessions.byID {
			if group.SessionNode(old) == group.SessionNode(id) && group.SessionIncarnation(old) < group.SessionIncarnation(id) {
				delete(c.sessions.byID, old)
			}
		}
		c.sessions.nodes[group.SessionNode(id)] = group.SessionIncarnation(id)
		c.sessions.session(id)
		c.waiting.endBefore(id)
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
	if c.cfg.Known != nil {
		c.cfg.Known.Learn(b.tx)
	}
	c.tasks.Applied(b.tx, b.rows.tasks)
	c.Changes.note(b.Index, b.tx, b.rows)
	c.Remember(b)
	c.waiting.served(b)
}

// SlotsChanged forgets what depends on which slots the shard owns: keys of those
// that were others' meanwhile may be other ones.
func (c *Core) SlotsChanged() {
	c.Changes.forget()
	if c.cfg.Known != nil {
		c.cfg.Known.Forget()
	}
	c.waiting.kept = append(c.waiting.kept, dueLines(c.waiting.registry.Topics(func(string) bool { return true }))...)
}

// Due reports whether a batch is to be evaluated though nobody has sent anything.
func (c *Core) Due() bool { return c.Pieces.left > 0 || c.waiting.owes() }

// Kept makes what the last evaluation did count: its batch was proposed, or has no entry.
func (c *Core) Kept() {
	c.Pieces.kept()
	c.waiting.keep()
}

// Dropped takes back what the last evaluation did: its batch was not even proposed.
func (c *Core) Dropped() {
	c.Pieces.dropped()
	c.waiting.begin()
}

// Remember notes the outcome of every group of b for repetitions in this term.
func (c *Core) Remember(b *Batch) {
	for i, g := range b.Groups {
		s := c.sessions.byID[g.Session]
		if s == nil || g.Open || g.Seq <= s.acked || b.Replies[i].Status == group.Parked || b.Replies[i].Status == group.Lost {
			continue
		}
		s.open[g.Seq] = outcome{index: b.Index, reply: &b.Replies[i]}
	}
}
