package shard

import (
	"go.etcd.io/raft/v3"
)

type groupID struct{ session, seq uint64 }

// dropGroups answers everything that waits: this node does not lead any more,
// or leads in another term.
func (r *Replica) dropGroups() {
	lead := r.lead.Load()
	for _, g := range r.early {
		g.refuse(NotLeader, lead)
	}
	r.early = nil
	for _, g := range r.queue {
		r.answer(g, Reply{Status: NotLeader, Leader: lead.Node, Term: lead.Term})
	}
	clear(r.queue)
	r.queue, r.bytes = r.queue[:0], 0
	r.inflight = nil
	r.dropHeavy()
	for _, g := range r.pending {
		r.answer(g, Reply{Status: Lost, Leader: lead.Node, Term: lead.Term})
	}
	clear(r.pending)
}

// answer sends a reply to the attempt that is now waiting for it.
func (r *Replica) answer(g *Group, reply Reply) {
	id := groupID{g.Session, g.Seq}
	if latest := r.pending[id]; latest != nil {
		g = latest
		delete(r.pending, id)
	}
	reply.Shard, reply.Session, reply.Seq, reply.Attempt = r.id, g.Session, g.Seq, g.Attempt
	g.Done(reply)
}

// admit takes a group into the queue, or answers it at once.
func (r *Replica) admit(g *Group) {
	lead := r.lead.Load()
	if r.state == raft.StateLeader && g.Term == r.term && !r.leading() && len(r.early) < queueGroupsMax {
		r.early = append(r.early, g)
		return
	}
	if !r.leading() || g.Term != r.term {
		g.refuse(NotLeader, lead)
		return
	}
	id := groupID{g.Session, g.Seq}
	if waiting := r.pending[id]; waiting != nil {
		// A later attempt takes the reply. Its outcome may be known already, but
		// not yet confirmed: it must wait like the first.
		r.pending[id] = g
		return
	}
	if reply, done := r.known(g); done {
		reply.Shard, reply.Session, reply.Seq, reply.Attempt, reply.Term = r.id, g.Session, g.Seq, g.Attempt, r.term
		g.Done(reply)
		return
	}
	if len(r.queue)+len(r.heavy.next) >= queueGroupsMax || r.bytes > queueBytesMax {
		g.refuse(Busy, lead)
		return
	}
	r.pending[id] = g
	r.queue = append(r.queue, g)
	r.bytes += g.size
	r.loop.touch(r)
}

// known answers a group whose outcome needs no evaluation.
func (r *Replica) known(g *Group) (Reply, bool) {
	t := r.core.sessions
	s := t.byID[g.Session]
	switch {
	case g.Open && sessionIncarnation(g.Session) < t.nodes[sessionNode(g.Session)]:
		return Reply{Status: NoSession}, true
	case g.Open:
		return Reply{Index: r.applied.Index}, s != nil
	case s == nil:
		return Reply{Status: NoSession}, true
	case g.Seq <= s.acked:
		return Reply{Status: Pruned}, true
	}
	s.ack(g.Floor)
	o, done := s.open[g.Seq]
	if !done {
		return Reply{}, false
	}
	if o.reply != nil {
		return *o.reply, true
	}
	reply, err := recorded(r.view, r.id, g.Session, o.index, g.Seq)
	if err != nil {
		r.host.fatal(err)
	}
	return reply, true
}

// took removes the first n groups from the queue.
func (r *Replica) took(n int) {
	for _, g := range r.queue[:n] {
		r.bytes -= g.size
	}
	m := copy(r.queue, r.queue[n:])
	clear(r.queue[m:])
	r.queue = r.queue[:m]
	if m > 0 {
		r.loop.touch(r)
	}
}

func (r *Replica) answerBatch(b *batch) {
	for i, g := range b.groups {
		r.answer(g, b.replies[i])
	}
}
