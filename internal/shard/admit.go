package shard

import (
	"go.etcd.io/raft/v3"

	"tutti/internal/eval"
	"tutti/internal/group"
)

type groupID struct{ session, seq uint64 }

// dropGroups answers everything that waits: this node does not lead any more,
// or leads in another term.
func (r *Replica) dropGroups() {
	lead := r.lead.Load()
	for _, g := range r.early {
		g.Refuse(group.NotLeader, lead.Node, lead.Term)
	}
	r.early = nil
	for _, g := range r.queue {
		r.answer(g.Group, group.Reply{Status: group.NotLeader, Leader: lead.Node, Term: lead.Term})
	}
	clear(r.queue)
	r.queue, r.bytes = r.queue[:0], 0
	r.inflight = inflight{}
	r.dropHeavy()
	for _, g := range r.pending {
		r.answer(g, group.Reply{Status: group.Lost, Leader: lead.Node, Term: lead.Term})
	}
	clear(r.pending)
}

// answer sends a reply to the attempt that is now waiting for it.
func (r *Replica) answer(g *group.Group, reply group.Reply) {
	id := groupID{g.Session, g.Seq}
	if latest := r.pending[id]; latest != nil {
		g = latest
		delete(r.pending, id)
	}
	reply.Shard, reply.Session, reply.Seq, reply.Attempt = r.id, g.Session, g.Seq, g.Attempt
	g.Done(reply)
}

// admit takes a group into the queue, or answers it at once.
func (r *Replica) admit(g *group.Group) {
	lead := r.lead.Load()
	if r.state == raft.StateLeader && g.Term == r.term && !r.leading() && len(r.early) < queueGroupsMax {
		r.early = append(r.early, g)
		return
	}
	if !r.leading() || g.Term != r.term {
		g.Refuse(group.NotLeader, lead.Node, lead.Term)
		return
	}
	id := groupID{g.Session, g.Seq}
	if waiting := r.pending[id]; waiting != nil {
		// A later attempt takes the reply. Its outcome may be known already, but
		// not yet confirmed: it must wait like the first.
		r.pending[id] = g
		return
	}
	reply, done, err := r.core.Outcome(g, r.view)
	if err != nil { // the node stops; another leader may know the answer
		r.host.fatal(err)
		return
	}
	if done {
		reply.Shard, reply.Session, reply.Seq, reply.Attempt, reply.Term = r.id, g.Session, g.Seq, g.Attempt, r.term
		g.Done(reply)
		return
	}
	if len(r.queue)+len(r.heavy.next) >= queueGroupsMax || r.bytes > queueBytesMax {
		g.Refuse(group.Busy, lead.Node, lead.Term)
		return
	}
	r.pending[id] = g
	r.queue = append(r.queue, eval.Waiting{Group: g})
	r.bytes += g.Size()
	r.loop.touch(r)
}

// took removes the first n groups from the queue.
func (r *Replica) took(n int) {
	for _, g := range r.queue[:n] {
		r.bytes -= g.Size()
	}
	m := copy(r.queue, r.queue[n:])
	clear(r.queue[m:])
	r.queue = r.queue[:m]
	if m > 0 {
		r.loop.touch(r)
	}
}

func (r *Replica) answerBatch(b *eval.Batch) {
	for i, g := range b.Groups {
		r.answer(g, b.Replies[i])
	}
}
