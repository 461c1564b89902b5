package server

import (
	"errors"
	"sync/atomic"

	"tutti/internal/command"
	"tutti/internal/eval"
	"tutti/internal/group"
	"tutti/internal/keyspace"
	"tutti/internal/router"
	"tutti/internal/shard"
	"tutti/internal/store"
)

// The evaluation of reads, beside the shard's loop, over views of its state.

const errDisk = "ERR this node can't read its disk. Nothing was read; ask another node."

// viewed is the answer to a request for a view.
type viewed struct {
	v   *store.View
	now int64
	err error
}

// world is what reads over the view depend on beside it, and whom they tell.
func (v viewed) world(rand func(n uint64) uint64, r *router.Router, s command.Scripting) eval.World {
	return eval.World{Now: v.now, Rand: rand, Scripts: s, Unreadable: r.MetUnreadable, Found: r.MetKeys}
}

func (v viewed) release() {
	if v.v != nil {
		v.v.Release()
	}
}

// views takes the view that was asked for, one at a time.
type views struct {
	arrived chan viewed // has room for one, so that who answers never waits
	left    atomic.Bool // nobody receives any more
}

func (w *views) arrive(v *store.View, now int64, err error) {
	w.arrived <- viewed{v, now, err}
	if w.left.Load() {
		w.releaseLate()
	}
}

// leave gives up a view that is on its way.
func (w *views) leave() {
	w.left.Store(true)
	w.releaseLate()
}

// releaseLate releases a view that nobody receives. Both who leaves and who comes
// too late call it, so that one of them finds it.
func (w *views) releaseLate() {
	select {
	case late := <-w.arrived:
		if late.v != nil {
			late.v.Release()
		}
	default:
	}
}

// read evaluates f over one view that q asks for and that shows what the claim is
// about; else there is a refusal. If f's outcome depends on a time that the
// shard has not recorded yet, it is evaluated again once it has: else a later
// leader with a slower clock might show an expired key again. What it returns is
// the text of an error, or "".
func (l *lane) read(q *shard.Read, claim group.Claim, f func(tx eval.Reads)) (text string, refused *group.Refusal) {
	id := q.Shard
	claim.Users = l.who.users.Epoch
	for {
		q.Done = l.onView
		l.router.Read(q)
		got, how := receive(l.wait, l.views.arrived, nil)
		if how == abandoned {
			l.views.leave()
			return textGone, nil
		}
		if got.err != nil {
			return router.ErrRead(id), nil
		}
		index := got.v.Index
		w := got.world(l.rand, l.router, l.scripting())
		w.Room, w.Memory = l.roomForReads(), l.memory
		again, err := over(got, claim, w, f)
		l.room.end()
		if ref, ok := errors.AsType[*group.Refusal](err); ok {
			return "", ref
		}
		if bad := (*keyspace.RowError)(nil); errors.As(err, &bad) {
			return command.RowErrorText(bad), nil
		}
		if errors.Is(err, keyspace.ErrNoRoom) {
			return command.TextNoRoom, nil
		}
		if err != nil {
			return errDisk, nil
		}
		if !again {
			l.tracks.saw(id, index)
			return "", nil
		}
		q = &shard.Read{Shard: id, MinIndex: got.v.Index, Now: got.now, MinTime: got.now}
	}
}

// over evaluates f over a view and releases it.
func over(got viewed, claim group.Claim, w eval.World, f func(tx eval.Reads)) (again bool, err error) {
	defer got.v.Release()
	return eval.Over(got.v, claim, w, f)
}

// expectSome notes what reads look up, of the first ones; full says that there is enough.
func expectSome(tx eval.Reads, reads []pending) (full bool) {
	for i := 0; i < len(reads) && !full; i++ {
		full = tx.Expect(reads[i].cmd, reads[i].db, reads[i].args)
	}
	return full
}

// evaluateSome answers reads until their replies have more than most bytes, or one is
// too large for the room, and leaves the others undone. It returns how many bytes they
// have, more than most where one was too large.
func evaluateSome(tx eval.Reads, proto int, reads []pending, most int, room *lookRoom) (size int) {
	for i := range reads {
		reads[i].done = false // this may be another attempt
		if size > most {
			continue
		}
		reply := tx.Run(reads[i].cmd, reads[i].db, proto, reads[i].args)
		if room.takeLarge() {
			size = most + 1
			continue
		}
		reads[i].answer(reply)
		size += len(reply)
	}
	return size
}
