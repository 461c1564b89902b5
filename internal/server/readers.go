package server

import (
	"errors"

	"tutti/internal/cluster"
	"tutti/internal/command"
	"tutti/internal/eval"
	"tutti/internal/group"
	"tutti/internal/router"
	"tutti/internal/shard"
	"tutti/internal/store"
)

// readers are the clients whose reads are evaluated over one view. A client that
// has had writes before its reads sees a view that has applied them.
type readers struct {
	shard   cluster.ShardID
	clients []*conn
}

// lookTogether is of how many clients reads are evaluated before their replies are
// written, and lookBytes about how large those may be: the first ones need not wait
// for hundreds of others, and what is larger is for a goroutine.
const (
	lookTogether = 64
	lookBytes    = 256 << 10
	lookFree     = 2 * lookBytes // what they all may be while they are made, and one value
)

func addReader(all []*readers, id cluster.ShardID, c *conn) []*readers {
	for _, r := range all {
		if r.shard == id {
			r.clients = append(r.clients, c)
			return all
		}
	}
	return append(all, &readers{id, []*conn{c}})
}

// read asks for a view.
func (l *loop) read(q *shard.Read, r *readers) {
	q.Done = func(v *store.View, now int64, err error) {
		if got := (viewed{v, now, err}); !l.post(looked{r, got}) {
			got.release()
		}
	}
	l.s.cfg.Router.Read(q)
}

// look evaluates reads over the view that has come.
func (l *loop) look(r *readers, got viewed) {
	defer got.release()
	var again []*conn
	for rest := r.clients; len(rest) > 0; {
		some := rest[:min(len(rest), lookTogether)]
		if got.err != nil {
			rest = rest[len(some):]
			l.lookFailed(r.shard, some)
			continue
		}
		n, bad := got.evaluate(l, some)
		some, rest = some[:n], rest[n:]
		for i, c := range some {
			if bad != nil { // it may be due to another of them
				_, bad := got.evaluate(l, some[i:i+1])
				if errors.Is(bad, errAgain) {
					again = append(again, c)
					continue
				}
			}
			l.deliver(c)
		}
		reply(l)
	}
	if len(again) > 0 {
		l.read(&shard.Read{Shard: r.shard, MinIndex: got.v.Index, Now: got.now, MinTime: got.now}, &readers{r.shard, again})
	}
}

// errAgain says that what was read depends on a time that the shard has not
// recorded yet, see lane.read.
var errAgain = errors.New("to be read again over a later view")

// evaluate answers the reads of clients, of the first ones, until their replies are
// large, and returns of how many. With an error nothing is answered.
func (v viewed) evaluate(l *loop, clients []*conn) (n int, bad error) {
	claim := claimOfReads(clients[0])
	for _, c := range clients[1:] {
		claim = joined(claim, claimOfReads(c))
	}
	w := v.world(l.s.cfg.Rand, l.s.cfg.Router, command.Scripting{})
	w.Room, w.Memory = &l.room.Room, &l.room.memory
	again, err := eval.Over(v.v, claim, w, func(tx eval.Reads) {
		told := 0 // of clients whose reads the view has been told of
		for most := lookBytes; n < len(clients) && most > 0; n++ {
			if n >= told {
				told = n + expect(tx, clients[n:])
			}
			most -= evaluateSome(tx, clients[n].session.proto, clients[n].seat.reads(), most, l.room)
		}
	})
	switch {
	case err != nil:
		bad = err
	case again:
		bad = errAgain
	default:
		return n, nil
	}
	for _, c := range clients {
		forgetAll(c.seat.reads())
	}
	return len(clients), bad
}

// expect tells the view of the reads of clients, and returns of how many.
func expect(tx eval.Reads, clients []*conn) (n int) {
	for full := false; n < len(clients) && !full; n++ {
		full = expectSome(tx, clients[n].seat.reads())
	}
	tx.Ready()
	return n
}

func claimOfReads(c *conn) group.Claim {
	claim := claimOf(c.seat.reads())
	claim.Users = c.session.users.Epoch
	return claim
}

// deliver goes on with a client whose reads have been evaluated, if they could be.
// If some are left it is because the replies are large, or something is wrong.
func (l *loop) deliver(c *conn) {
	list := c.pipeline.pending
	switch {
	case !c.seat.here:
	case list[len(list)-1].done:
		l.finish(c)
	default:
		l.giveUp(c)
	}
}

// lookFailed answers reads for which there is no view, unless they can be answered
// elsewhere.
func (l *loop) lookFailed(id cluster.ShardID, clients []*conn) {
	for _, c := range clients {
		if !l.s.cfg.Router.Away(id) { // else the replica has left this node meanwhile
			answerAll(c.pipeline.pending, router.ErrRead(id))
		}
		l.deliver(c)
	}
}
