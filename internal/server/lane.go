package server

import (
	"time"

	"tutti/internal/cluster"
	"tutti/internal/eval"
	"tutti/internal/group"
	"tutti/internal/router"
	"tutti/internal/shard"
	"tutti/internal/store"
)

// From groups to replies.

// lane executes commands of one shard, one group or one read at a time. It knows
// no connection: one that has commands for several shards has several lanes.
type lane struct {
	router *router.Router
	server *Server
	who    *identity // by whose rights commands were let in
	rand   func(n uint64) uint64
	wait   *patience

	// What a group and a read are told to call when they are answered. They are
	// made once, and hold on to nothing but the channels: they may be kept for long
	// after the client has gone.
	onResult func(router.Result)
	onView   func(v *store.View, now int64, err error)
	results  chan router.Result // has room for one, so that who answers never waits: see left
	views    *views

	until  time.Time // when groups are given up that a detour sends again; zero: in a while
	unsure bool      // the outcome of a group is unknown: its arguments may still be referred to
	room   *room     // what its reads take; nil: there were none
	tracks *tracks   // is told what was seen and written; nil: nobody is
	lent
}

func newLane(s *Server, w *patience, who *identity) *lane {
	results, views := make(chan router.Result, 1), &views{arrived: make(chan viewed, 1)}
	return &lane{router: s.cfg.Router, server: s, who: who, rand: s.cfg.Rand, wait: w, results: results, views: views,
		onResult: func(r router.Result) { results <- r }, onView: views.arrive}
}

// left reports whether there is nobody to answer any more. Then no more is sent: the answer
// to what was sent last may still be on its way, and who brings a second one would wait for
// ever. It is who takes the answers of a shard for all clients.
func (l *lane) left() bool {
	select {
	case <-l.wait.gone:
		return true
	default:
		return false
	}
}

// textGone stands for the reply that nobody is there to take.
const textGone = "ERR the client has gone"

func errorReply(text string) []byte { return []byte("-" + text + "\r\n") }

// run executes commands of one shard: up to the last write in the shard's loop,
// reads behind it over a view that has seen that write. A node that can't
// follow has no such view: there all go to the loop. Of the reads it leaves those
// undone that come behind outMax of replies, and all that the shard refused.
func (l *lane) run(id cluster.ShardID, proto int, list []pending) *group.Refusal {
	away := l.router.Away(id)
	if list[0].need > 0 && !l.keepRoom(list, away) {
		return nil
	}
	writes := writesOf(list, away)
	if list[0].need > 0 && !away && !list[0].cmd.Changes() && list[0].block == nil {
		list, writes = list[:1], 0 // its reply is large: it is made here
	}
	var minIndex uint64
	var now int64
	if writes > 0 {
		result, ref := l.answer(id, proto, list[:writes])
		if ref != nil {
			return ref
		}
		if result.Err != "" {
			answerAll(list[writes:], result.Err)
			return nil
		}
		if result.Reply.Unfit.Need > 0 {
			return nil // what is behind it waits for it
		}
		minIndex, now = result.Reply.Index, result.Reply.Time
	}
	if reads := list[writes:]; len(reads) > 0 {
		q := &shard.Read{Shard: id, MinIndex: minIndex, Now: now}
		text, ref := l.read(q, claimOf(reads), func(tx eval.Reads) {
			expectSome(tx, reads)
			tx.Ready()
			evaluateSome(tx, proto, reads, outMax, nil)
		})
		switch {
		case ref != nil:
			forgetAll(reads) // an attempt may have answered them
			return ref
		case l.vanished(id, text):
			forgetAll(reads)
			_, ref = l.answer(id, proto, reads)
			return ref
		case text != "":
			forgetAll(reads)
			answerAll(reads, text)
		default:
			l.whole = writes == 0
		}
	}
	return nil
}

// claimOf returns the claim of commands that go to one shard together.
func claimOf(list []pending) group.Claim {
	claim := list[0].claim
	for i := range list[1:] {
		claim = claim.Join(list[i+1].claim)
	}
	return claim
}

func forgetAll(list []pending) {
	for i := range list {
		list[i].reply, list[i].done = nil, false
	}
}

// vanished reports whether a read failed because the replica that was to be read
// has left this node meanwhile. The leader can still be asked.
func (l *lane) vanished(id cluster.ShardID, text string) bool {
	return text == router.ErrRead(id) && l.router.Away(id)
}

// answer has commands evaluated in the shard's loop, and answers them unless the
// shard refuses them.
func (l *lane) answer(id cluster.ShardID, proto int, list []pending) (router.Result, *group.Refusal) {
	l.upload(id, list)
	result := l.group(id, &group.Group{Proto: uint8(proto), Claim: claimOf(list)}, list)
	if b := list[0].block; b != nil && b.asleep {
		return result, nil
	}
	if result.Err != "" {
		answerAll(list, result.Err)
		return result, nil
	}
	ref := result.Reply.Refusal()
	if b := list[0].block; b != nil && (result.Cancelled || ref != nil && b.given) {
		b.ended = true // also where it was refused meanwhile: nobody is to send it again
		return result, nil
	}
	if ref != nil {
		return result, ref
	}
	unfit := result.Reply.Unfit
	if b := list[0].block; b != nil && b.given && unfit.Need > 0 {
		b.ended = true
		return result, nil
	}
	for i := range list {
		if unfit.Has(i) {
			list[i].need = unfit.Need
			break
		}
		list[i].answer(result.Reply.Replies[i])
	}
	return result, nil
}

// group sends a group of commands that has its other fields set, and waits.
func (l *lane) group(id cluster.ShardID, g *group.Group, list []pending) router.Result {
	g.Until = l.until
	if n := list[0].need; n > 0 {
		g.Room = n + group.Free(len(list)-1)
	}
	g.Claim.Users = l.who.users.Epoch
	if runsScripts(list) {
		g.User = l.who.rights()
	}
	return l.send(id, g, list)
}

// send is group for what the node sends on nobody's behalf, too.
func (l *lane) send(id cluster.ShardID, g *group.Group, list []pending) router.Result {
	g.Cmds = make([]group.Command, len(list))
	for i := range list {
		g.Cmds[i] = group.Command{DB: list[i].db, Args: list[i].sent()}
	}
	if b := list[0].block; b != nil {
		return l.await(id, g, b)
	}
	g.Own = l.tracks.asks()
	result := l.deliver(id, g)
	if result.Err == "" {
		l.tracks.evaluated(list, &result.Reply)
	}
	return result
}

// forget tells whether something may still refer to arguments of commands that
// have been answered, and begins anew.
func (l *lane) forget() bool {
	unsure := l.unsure
	l.unsure = false
	return unsure
}
