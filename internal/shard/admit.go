package shard

import (
	"slices"

	"tutti/internal/eval"
	"tutti/internal/group"
)

type groupID struct{ session, seq uint64 }

// queue is the groups that wait at a leader, from their arrival to their answer.
type queue struct {
	l       *leadership
	early   []*group.Group           // for this term, but the leader can't evaluate yet
	groups  []eval.Waiting           // admitted, to be evaluated
	bytes   int                      // of groups, and of those that are held
	large   largeGroups              // admitted, and not among groups yet
	pending map[groupID]*group.Group // queued, in flight or waiting for confirmation
}

const (
	queueBytesMax  = 64 << 20 // of groups, and of large ones again
	queueGroupsMax = 1 << 16
)

// admit takes a group to the queue of the leader it is meant for, or refuses it.
func (r *Replica) admit(g *group.Group) {
	if l := r.leader; l != nil && g.Term == r.term {
		l.queue.admit(g)
		return
	}
	r.refuse(g, group.NotLeader)
}

func (r *Replica) refuse(g *group.Group, status group.Status) {
	lead := r.lead.Load()
	g.Refuse(status, lead.Node, lead.Term)
}

// admit takes a group into the queue, or answers it at once.
func (q *queue) admit(g *group.Group) {
	r := q.l.r
	if !r.leading() {
		if len(q.early) < queueGroupsMax {
			q.early = append(q.early, g)
		} else {
			r.refuse(g, group.NotLeader)
		}
		return
	}
	id := groupID{g.Session, g.Seq}
	if waiting := q.pending[id]; waiting != nil {
		// A later attempt takes the reply. Its outcome may be known already, but
		// not yet confirmed: it must wait like the first.
		q.pending[id] = g
		q.l.core.Again(waiting, g)
		return
	}
	reply, done, err := q.l.core.Outcome(g, r.machine.view)
	if err != nil { // the node stops; another leader may know the answer
		r.host.fatal(err)
		return
	}
	if done {
		reply.Shard, reply.Session, reply.Seq, reply.Attempt, reply.Term = r.id, g.Session, g.Seq, g.Attempt, r.term
		g.Done(reply)
		return
	}
	if !q.add(g) {
		r.refuse(g, group.Busy)
		return
	}
	q.pending[id] = g
	r.loop.touch(r)
}

// add puts a group where it waits, unless too much waits there.
func (q *queue) add(g *group.Group) bool {
	if len(q.groups)+len(q.l.heavy.next)+len(q.l.heavy.held) >= queueGroupsMax {
		return false
	}
	large := takesTurns(g)
	switch {
	case large && q.large.bytes+q.l.heavy.bytes > queueBytesMax, !large && q.bytes > queueBytesMax:
		return false
	case large:
		q.large.add(g)
	default:
		q.groups = append(q.groups, eval.Waiting{Group: g})
		q.bytes += g.Size()
	}
	return true
}

// took removes the first n groups from the queue, whose batch may have had a piece of
// effects as well.
func (q *queue) took(n int, piece bool) {
	large := 0
	for _, g := range q.groups[:n] {
		if q.bytes -= g.Size(); takesTurns(g.Group) {
			large++
		}
	}
	q.large.took(large, n-large, piece)
	m := copy(q.groups, q.groups[n:])
	clear(q.groups[m:])
	q.groups = q.groups[:m]
	if m > 0 || len(q.large.groups) > 0 {
		q.l.r.loop.touch(q.l.r)
	}
}

func (q *queue) answerBatch(b *eval.Batch) {
	q.l.waiters.answer(b)
	for i, g := range b.Groups {
		q.answer(g, b.Replies[i])
	}
}

// answer sends a reply to the attempt that is now waiting for it.
func (q *queue) answer(g *group.Group, reply group.Reply) {
	id := groupID{g.Session, g.Seq}
	if latest := q.pending[id]; latest != nil {
		g = latest
		delete(q.pending, id)
	}
	reply.Shard, reply.Session, reply.Seq, reply.Attempt = q.l.r.id, g.Session, g.Seq, g.Attempt
	g.Done(reply)
}

// drop answers all groups: the term is over.
func (q *queue) drop() {
	lead := q.l.r.lead.Load()
	for _, g := range q.early {
		q.l.r.refuse(g, group.NotLeader)
	}
	for _, g := range slices.Concat(q.groups, q.large.groups) {
		q.answer(g.Group, group.Reply{Status: group.NotLeader, Leader: lead.Node, Term: lead.Term})
	}
	for _, g := range q.pending {
		q.answer(g, group.Reply{Status: group.Lost, Leader: lead.Node, Term: lead.Term})
	}
	q.early, q.groups, q.bytes, q.large = nil, nil, 0, largeGroups{}
}
