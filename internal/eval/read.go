package eval

import (
	"tutti/internal/cluster"
	"tutti/internal/command"
	"tutti/internal/group"
	"tutti/internal/keyspace"
	"tutti/internal/store"
)

// owner returns what tells a transaction which slots there are; nil: all.
func owner(owned cluster.SlotRange) func(slot uint16) bool {
	if owned == cluster.AllSlots {
		return nil
	}
	return owned.Has
}

func owns(owned cluster.SlotRange, key []byte) bool { return owned.Has(keyspace.Slot(key)) }

// Reads evaluates commands that only read, over one view.
type Reads struct {
	*keyspace.Tx
	owned cluster.SlotRange
	*reading
}

// reading is what the commands over one view share, so that each costs no more
// garbage than its reply.
type reading struct {
	ctx     command.Ctx
	tx      keyspace.Tx
	roomy   roomy
	foreign bool // a command came to a key of another shard
	view    *store.View
	keys    keyspace.Expected
	at      []int // memory for where keys are
}

// Memory is what reads over one view and then over another use again. Replies are in it:
// they are valid until it is used next.
type Memory struct{ reading reading }

// RepliesKept bounds what of the replies' memory is kept.
const RepliesKept = 4 << 20

// Replies returns the replies of the reads that were evaluated last, one behind the other.
func (m *Memory) Replies() []byte { return m.reading.ctx.Out }

// again returns a reading of which nothing has been read.
func (m *Memory) again() *reading {
	if m == nil {
		return &reading{}
	}
	out := m.reading.ctx.Out
	if cap(out) > RepliesKept {
		out = nil
	}
	m.reading.ctx.Out, m.reading.foreign = out[:0], false
	return &m.reading
}

// Room is the memory that reads over a view may take. What they have no room for is
// answered with an error.
type Room struct {
	Free int // is there without asking, for one value, and for all replies
	// Value is asked for more, for one value that is looked up.
	Value func(n int) bool
	// Replies is asked for n bytes of replies, and returns how many there may be.
	Replies func(n int) int
}

// roomy is a view of which large values are read only where there is room for them.
type roomy struct {
	*store.View
	room *Room
}

func (r *roomy) Get(row, dst []byte) ([]byte, bool, error) {
	return r.GetIf(row, dst, r.Fits)
}

// Hold implements keyspace.Holder.
func (r *roomy) Hold(row, dst []byte) ([]byte, keyspace.Held, bool, error) {
	return r.HoldIf(row, dst, r.Fits)
}

// Fits reports whether there is room for a value that does not lie in one row.
func (r *roomy) Fits(n int) bool { return n <= r.room.Free || r.room.Value(n) }

// begin begins to read from a view, with replies and values that fit the room.
func (r *reading) begin(v *store.View, env keyspace.Env, room *Room) {
	ctx, tx := &r.ctx, &r.tx
	if ctx.Tx = tx; room == nil {
		keyspace.Reread(tx, v, env)
		return
	}
	r.roomy = roomy{v, room}
	keyspace.Reread(tx, &r.roomy, env)
	ctx.Until, ctx.More = room.Free, func(n int) int {
		until := room.Replies(n)
		if until < n {
			tx.Crowd()
		}
		return until
	}
}

// end is called when all has been read. Memory that nobody uses must not keep the view, which
// has layers of its own, nor the commands; only the replies are still wanted.
func (r *reading) end() {
	keyspace.End(&r.tx)
	out := r.ctx.Out
	r.ctx = command.Ctx{}
	r.ctx.Out = out
	r.view, r.roomy = nil, roomy{}
}

// World is what reads depend on beside a view.
type World struct {
	Now  int64 // shard time
	Rand func(n uint64) uint64
	// Scripts are what scripts depend on; the rows are those of the view.
	Scripts command.Scripting
	// Unreadable takes note of rows that can't be read.
	Unreadable func(*keyspace.RowError)
	// Found takes note of what commands found. Nil: nobody does.
	Found func(keyspace.Finds)
	// Room bounds values and replies. Nil: nothing does.
	Room *Room
	// Memory is used again. Nil: the reads get their own.
	Memory *Memory
}

// Over lets f read from a view what the claim is about. again says that what f
// found depends on a time that the shard has not recorded yet: it does not count,
// and f is to be called over a view in which it has. An error that is a Refusal
// says that it does not count because the claim does not hold in this view: f may
// not even have been called.
func Over(v *store.View, claim group.Claim, w World, f func(r Reads)) (again bool, err error) {
	if claim.Users != 0 && claim.Users < v.Users {
		return false, &group.Refusal{Status: group.UsersChanged, Users: v.Users}
	}
	if !v.Owned.Slots.Covers(claim.Slots) {
		return false, moved(v)
	}
	r := w.Memory.again()
	r.view = v
	defer r.end()
	r.begin(v, keyspace.Env{Now: w.Now, Applied: v.Time, Index: v.Index, Databases: v.Databases, Keys: v.Keys, Rand: w.Rand,
		Unreadable: w.Unreadable, Owns: owner(v.Owned.Slots)}, w.Room)
	tx := &r.tx
	w.Scripts.Row, w.Scripts.Libraries = store.ScriptRows(v.Owned.ID), store.LibraryRows(v.Owned.ID)
	r.ctx.Scripts = w.Scripts
	f(Reads{Tx: tx, owned: v.Owned.Slots, reading: r})
	foreign := tx.TakeForeign() || r.foreign
	if foreign && claim.Generation < v.Owned.Generation {
		return false, moved(v)
	}
	if w.Found != nil && !tx.UsedNow() {
		w.Found(tx.Finds())
	}
	return tx.UsedNow(), tx.Err()
}

func moved(v *store.View) *group.Refusal {
	owned := v.Owned // it outlives the view
	return &group.Refusal{Status: group.Moved, Owned: &owned}
}

// Run evaluates one command and returns its reply.
func (r Reads) Run(cmd *command.Command, db uint8, proto int, args [][]byte) []byte {
	ctx, at := &r.ctx, len(r.ctx.Out)
	ctx.Proto, ctx.DB, ctx.Args = proto, db, args
	ctx.Run(cmd)
	r.foreign = r.foreign || ctx.Foreign()
	return ctx.Out[at:len(ctx.Out):len(ctx.Out)]
}

// Unchanged reports whether a key is as it was when its version was taken.
func (r Reads) Unchanged(w *group.Watch) bool { return unchanged(r.owned, r.Tx, w) }

// unchanged is Unchanged. A key of another shard has no version here.
func unchanged(owned cluster.SlotRange, tx *keyspace.Tx, w *group.Watch) bool {
	if !owns(owned, w.Key) {
		return false
	}
	v, exists := tx.KeyVersion(w.DB, w.Key)
	return v == w.Version && exists == w.Exists
}

// allUnchanged is unchanged for several keys.
func allUnchanged(owned cluster.SlotRange, tx *keyspace.Tx, keys []group.Watch) bool {
	for i := range keys {
		if !unchanged(owned, tx, &keys[i]) {
			return false
		}
	}
	return true
}
