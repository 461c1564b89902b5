package eval

import (
	"tutti/internal/cluster"
	"tutti/internal/command"
	"tutti/internal/group"
	"tutti/internal/keyspace"
	"tutti/internal/resp"
	"tutti/internal/store"
)

// TextForeign answers a command whose keys are not the shard's. Who sends it has
// another picture of who owns what.
const TextForeign = "ERR the keys of this command do not belong to the shard that was asked. Not applied."

// run evaluates a command on a shard that owns these slots, unless its keys are
// others'. Every command that is evaluated comes through here, whether it
// writes or reads.
func run(owned cluster.SlotRange, ctx *command.Ctx, row *command.Command) {
	if foreign(owned, row, ctx.Args) {
		ctx.Error(TextForeign)
		return
	}
	ctx.Run(row)
}

// foreign reports whether a key of a command lies outside of a range of slots.
func foreign(owned cluster.SlotRange, row *command.Command, args [][]byte) bool {
	if owned == cluster.AllSlots {
		return false
	}
	var buf [8]int
	for _, at := range row.KeyArgs(buf[:0], args) {
		if !owns(owned, args[at]) {
			return true
		}
	}
	return false
}

func owns(owned cluster.SlotRange, key []byte) bool {
	slot := int(keyspace.Slot(key))
	return owned.First <= slot && slot < owned.End
}

// Reads evaluates commands that only read, over one view.
type Reads struct {
	*keyspace.Tx
	owned cluster.SlotRange
}

// Over lets f read from a view at shard time now. again says that what f found
// depends on a time that the shard has not recorded yet: it does not count, and
// f is to be called over a view in which it has.
// unreadable takes note of rows that can't be read.
func Over(v *store.View, now int64, rand func(n uint64) uint64, unreadable func(*keyspace.RowError), f func(r Reads)) (again bool, err error) {
	tx := keyspace.NewReadTx(v, keyspace.Env{Now: now, Applied: v.Time, Index: v.Index, Databases: v.Databases, Keys: v.Keys, Rand: rand, Unreadable: unreadable})
	f(Reads{Tx: tx, owned: v.Slots})
	return tx.UsedNow(), tx.Err()
}

// Run evaluates one command and returns its reply.
func (r Reads) Run(cmd *command.Command, db uint8, proto int, args [][]byte) []byte {
	ctx := command.Ctx{Writer: resp.Writer{Proto: proto}, Tx: r.Tx, DB: db, Args: args}
	run(r.owned, &ctx, cmd)
	return ctx.Out
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
