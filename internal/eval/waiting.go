package eval

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"

	"tutti/internal/cluster"
	"tutti/internal/command"
	"tutti/internal/group"
	"tutti/internal/keyspace"
	"tutti/internal/store"
	"tutti/internal/waiter"
)

// Commands that wait. One that finds nothing is answered "parked", which ends its
// sequence, and waits in the leader's registry. What comes later is given to it in
// the batch that brings it, so in the same entry, and its answer is kept until its
// entry node says that it has got it:
//
//	row 'w' session waiter   version:1 replies
//
// So a later leader finds it, when the entry node registers there what it thinks
// is waiting still, and nobody is served twice.

const (
	waiterVersion = 1
	// serveMax bounds how many are served in one batch; the others follow in the next.
	serveMax = 1024
)

// waiting is the commands that wait, as far as a leader knows of them.
type waiting struct {
	registry *waiter.Registry
	late     map[waiter.ID]late
	got      []waiter.ID // whose rows are to be removed
	due      []dueLine   // lines to be looked at
	kept     []dueLine   // due, after the last batch that counts
	ctx      command.Ctx
}

// dueLine is the line of a topic for which there may be something, from behind those on
// who have been looked at: who finds nothing for himself may stand there for ever.
type dueLine struct {
	topic string
	after uint64
}

func dueLines(topics []string) []dueLine {
	list := make([]dueLine, len(topics))
	for i, t := range topics {
		list[i].topic = t
	}
	return list
}

// late is the answer to a waiter, until its entry node has it.
type late struct {
	reply    group.Reply
	recorded bool // in a row
}

func newWaiting() waiting {
	return waiting{registry: waiter.New(), late: make(map[waiter.ID]late)}
}

// load takes over a row of an earlier term.
func (w *waiting) load(key, val []byte) error {
	if len(key) != 16 || len(val) == 0 {
		return fmt.Errorf("row of a waiter of %d and %d bytes: %w", len(key), len(val), store.ErrFormat)
	}
	if val[0] != waiterVersion {
		return fmt.Errorf("row of a waiter of version %d, this tutti knows version %d: %w", val[0], waiterVersion, store.ErrFormat)
	}
	replies, err := group.DecodeReplies(slices.Clone(val[1:]))
	if err != nil {
		return fmt.Errorf("row of a waiter: %w", err)
	}
	id := waiter.ID{Session: be.Uint64(key), Seq: be.Uint64(key[8:])}
	w.late[id] = late{group.Reply{Session: id.Session, Seq: id.Seq, Late: true, Replies: replies}, true}
	return nil
}

// heard takes what a group says of the waiters of its session. With false it comes
// from before its entry node has begun to register anew.
func (w *waiting) heard(g *group.Group) bool {
	for _, seq := range g.Got {
		id := waiter.ID{Session: g.Session, Seq: seq}
		l, ok := w.late[id]
		if !ok {
			continue
		}
		if delete(w.late, id); l.recorded {
			w.got = append(w.got, id)
		}
	}
	return g.Wait == nil || w.registry.Enter(g.Session, g.Wait.Round)
}

// begin undoes what an evaluation that came to nothing has done.
func (w *waiting) begin() {
	w.registry.Undo()
	w.due = slices.Clone(w.kept)
}

// keep makes what the last evaluation did count.
func (w *waiting) keep() {
	w.registry.Keep()
	w.kept = slices.Clone(w.due)
}

// answered answers a group about a waiter without evaluating it, if it can.
func (w *waiting) answered(b *Batch, g *group.Group, r *group.Reply) bool {
	id := waiter.ID{Session: g.Session, Seq: g.Waiter()}
	for i := range b.Late {
		if l := &b.Late[i]; l.Session == id.Session && l.Seq == id.Seq {
			r.Status, r.Owned, r.Users, r.Replies, r.Unfit = l.Status, l.Owned, l.Users, l.Replies, l.Unfit
			return true
		}
	}
	if l, ok := w.late[id]; ok {
		r.Status, r.Owned, r.Users, r.Replies, r.Unfit = l.reply.Status, l.reply.Owned, l.reply.Users, l.reply.Replies, l.reply.Unfit
		return true
	}
	found := w.registry.Find(id)
	switch {
	case w.registry.Stale(g.Session, g.Wait.Round):
		r.Status = group.Lost
	case g.Wait.Cancel:
		if found != nil {
			w.registry.Remove(found)
		}
	case found == nil && w.registry.Full(g.Session):
		r.Status = group.Busy
	default:
		return false
	}
	return true
}

// kindOf tells apart the commands that wait: what is not there for one is not there for
// the next of its kind.
func kindOf(table *command.Table, args [][]byte) string {
	row, _ := table.Lookup(args)
	if row == nil || row.Waits == nil || row.Waits.Line == nil {
		return string(args[0])
	}
	return row.Name + " " + row.Waits.Line(args)
}

// park lets the command of a group wait.
func (w *waiting) park(g *group.Group, kind string, term uint64, topics [][]byte) *waiter.Waiter {
	x := &waiter.Waiter{ID: waiter.ID{Session: g.Session, Seq: g.Waiter()}, Kind: kind, Order: g.Wait.Order, Round: g.Wait.Round, Group: g}
	w.registry.Add(x, term, topics)
	return x
}

// left takes the waiter of a group out: the group has its answer.
func (w *waiting) left(g *group.Group) {
	if x := w.registry.Find(waiter.ID{Session: g.Session, Seq: g.Waiter()}); x != nil {
		w.registry.Remove(x)
	}
}

// serve gives what was signalled to those who wait for it. Afterwards the
// transaction may take allow steps, see keyspace.Tx.Allow.
func (c *Core) serve(b *Batch, in Input, allow int) {
	w, tx := &c.waiting, b.tx
	if len(w.due) == 0 && !tx.Signalled() || tx.Err() != nil {
		return
	}
	tx.Allow(0) // what others get is not counted against who brought it
	defer tx.Allow(allow)
	defer keyspace.Sign(tx, keyspace.Sign(tx, 0)) // nor is it whose who brought it
	for {
		topics, all := tx.TakeSignals()
		for _, t := range topics {
			w.due = append(w.due, dueLine{topic: string(t)})
		}
		if all {
			w.due = append(w.due, dueLines(w.registry.Topics(keyspace.IsKeyTopic))...)
		}
		if len(w.due) == 0 || !c.serveLine(b, in, &w.due[0]) {
			return
		}
		w.due = w.due[1:]
	}
}

// serveLine goes along the line of a topic as long as there is something for those
// who wait. It reports false if the batch has no room for more.
func (c *Core) serveLine(b *Batch, in Input, line *dueLine) bool {
	var walk *waiter.Walk
	for {
		if len(b.Late) >= serveMax || b.tx.Steps() > batchStepsMax || b.tx.Size() > batchBytesMax {
			return false
		}
		if walk == nil {
			walk = c.waiting.registry.Walk(line.topic, line.after)
		}
		x := walk.Next()
		if x == nil {
			return true
		}
		reply, waits := c.serveOne(b, in, x)
		if waits {
			line.after = x.Order
			if row, _ := c.cfg.Table.Lookup(x.Group.Cmds[0].Args); row == nil || row.Waits == nil || !row.Waits.Each {
				walk.Over(x.Kind)
			}
			continue
		}
		c.waiting.registry.Remove(x)
		b.Late = append(b.Late, reply)
	}
}

// Late is the answer to a waiter.
type Late struct {
	group.Reply
	recorded bool // it had effects, so it is to be found again
	author   keyspace.Author
}

// serveOne evaluates the command of a waiter. waits says that there is nothing for
// it.
func (c *Core) serveOne(b *Batch, in Input, x *waiter.Waiter) (r Late, waits bool) {
	g, tx := x.Group, b.tx
	r.Reply = group.Reply{Session: x.Session, Seq: x.Seq, Term: b.Term, Index: b.Index, Time: b.Time, Late: true}
	switch {
	case g.Claim.Users != 0 && g.Claim.Users < in.Users:
		r.Status, r.Users = group.UsersChanged, in.Users
		return r, false
	case !in.Owned.Slots.Covers(g.Claim.Slots):
		owned := in.Owned
		r.Status, r.Owned = group.Moved, &owned
		return r, false
	}
	ctx := &c.waiting.ctx
	*ctx = command.Ctx{Tx: tx, Users: c.userRules(), Office: command.Office{Tasks: c.tasks}}
	ctx.Waited = true
	before := tx.Writes()
	r.author = b.waiterAuthor(g)
	keyspace.Sign(tx, r.author)
	replies, unfit, strayed := c.commands(ctx, g, &in.Owned, in.Shortage, manner{wait: func([][]byte) { waits = true }})
	keyspace.Sign(tx, 0)
	if strayed { // to a key of another shard, which its sender could not know
		owned := in.Owned
		r.Status, r.Owned = group.Moved, &owned
		return r, false
	}
	r.Replies, r.Unfit, r.recorded = replies, unfit, tx.Writes() != before
	return r, waits
}

// sealWaiters records the answers to waiters, and removes those that have been got.
func (c *Core) sealWaiters(b *Batch, w *store.WriteSet) {
	for _, l := range b.Late {
		if !l.recorded {
			continue
		}
		row := []byte{waiterVersion}
		if l.Size() > ReplyKeepMax {
			row = append(binary.AppendUvarint(row, 1), 0) // applied, and the reply dropped
		} else {
			row = group.AppendReplies(row, l.Replies)
		}
		w.Put(store.WaiterRow(c.cfg.Shard, l.Session, l.Seq), row)
	}
	for _, id := range c.waiting.got {
		w.Delete(store.WaiterRow(c.cfg.Shard, id.Session, id.Seq))
	}
	b.got = len(c.waiting.got)
}

// sealEnded removes the answers to waiters of a session that ends.
func (c *Core) sealEnded(w *store.WriteSet, session uint64) {
	for _, id := range slices.SortedFunc(maps.Keys(c.waiting.late), bySeq) {
		if id.Session == session && c.waiting.late[id].recorded {
			w.Delete(store.WaiterRow(c.cfg.Shard, id.Session, id.Seq))
		}
	}
}

func bySeq(a, b waiter.ID) int { return strings.Compare(key(a), key(b)) }

func key(id waiter.ID) string {
	return string(be.AppendUint64(be.AppendUint64(nil, id.Session), id.Seq))
}

// served takes over what the answers of b, which is applied or confirmed, are.
func (w *waiting) served(b *Batch) {
	for i := range b.Late {
		l := &b.Late[i]
		w.late[waiter.ID{Session: l.Session, Seq: l.Seq}] = late{l.Reply, l.recorded}
	}
	if b.Data != nil {
		w.got = slices.Delete(w.got, 0, b.got)
	}
}

// endBefore forgets what older incarnations of the node of a session waited for.
func (w *waiting) endBefore(session uint64) {
	w.registry.EndBefore(session)
	maps.DeleteFunc(w.late, func(id waiter.ID, _ late) bool {
		return group.SessionNode(id.Session) == group.SessionNode(session) && group.SessionIncarnation(id.Session) < group.SessionIncarnation(session)
	})
}

// Confirmed takes note that the answers of a batch without an entry count.
func (w *waiting) Confirmed(b *Batch) {
	if b.Data == nil {
		w.served(b)
	}
}

// Again takes note of a later attempt of a group that is on its way. Its waiter, if
// there is one already, is of the round of the later one.
func (w *waiting) Again(was, now *group.Group) {
	if was.Wait == nil || now.Wait == nil {
		return
	}
	was.Wait = now.Wait
	if x := w.registry.Find(waiter.ID{Session: was.Session, Seq: was.Waiter()}); x != nil {
		x.Round = max(x.Round, now.Wait.Round)
	}
	w.heard(now)
}

// owes reports whether there may be something for those who wait that no batch has
// had room to give them.
func (w *waiting) owes() bool { return len(w.kept) > 0 }

// Silence says whether an entry node can be told anything, see waiter.Registry, and
// reports whether there may be something to be given again.
func (w *waiting) Silence(node cluster.NodeID, silent bool) bool {
	back := w.registry.Silence(node, silent)
	w.kept = append(w.kept, dueLines(back)...)
	return len(back) > 0
}

// EachLate calls f with the answers to waiters that have not been got, as far as
// leaders know, which may have been lost on the way.
func (w *waiting) EachLate(f func(r group.Reply)) {
	for _, id := range slices.SortedFunc(maps.Keys(w.late), bySeq) {
		f(w.late[id].reply)
	}
}

// EachWaiter calls f with the names of the commands that wait.
func (w *waiting) EachWaiter(f func(session, seq uint64)) {
	for _, id := range w.registry.IDs() {
		f(id.Session, id.Seq)
	}
}

// Waiters is how many commands wait.
func (w *waiting) Waiters() int { return w.registry.Len() }
