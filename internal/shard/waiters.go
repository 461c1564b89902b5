package shard

import (
	"tutti/internal/cluster"
	"tutti/internal/eval"
	"tutti/internal/group"
	"tutti/internal/peer"
)

// waiters is how a leader tells the entry nodes what has come for their commands
// that wait, see eval and package waiter.
type waiters struct{ l *leadership }

// lateEveryTicks is how often answers are told again that may have been lost: a
// second or so.
const lateEveryTicks = 32

// begin finds out who can be told anything, and tells what earlier leaders may not
// have come to.
func (w *waiters) begin() {
	h := w.l.r.host
	for _, m := range h.cfg.Map.Map().Members {
		w.l.core.Silence(m.ID, m.ID != h.cfg.Node && !h.cfg.Links.Up(m.ID))
	}
	w.tell()
}

// answer tells the answers of a batch that counts.
func (w *waiters) answer(b *eval.Batch) {
	w.l.core.Confirmed(b)
	for i := range b.Late {
		w.send(b.Late[i].Reply)
	}
}

// tell tells all that have not been got.
func (w *waiters) tell() {
	if w.l.core != nil {
		w.l.core.EachLate(w.send)
	}
}

// drop tells entry nodes that nobody here knows any more of those who wait.
func (w *waiters) drop() {
	if w.l.core == nil {
		return
	}
	lead := w.l.r.lead.Load()
	w.l.core.EachWaiter(func(session, seq uint64) {
		w.send(group.Reply{Session: session, Seq: seq, Late: true, Status: group.Lost, Leader: lead.Node, Term: lead.Term})
	})
}

func (w *waiters) tick() {
	if w.l.r.ticks%lateEveryTicks == 0 {
		w.tell()
	}
}

// send brings an answer to its entry node.
func (w *waiters) send(r group.Reply) {
	h := w.l.r.host
	r.Shard = w.l.r.id
	node := group.SessionNode(r.Session)
	if node == h.cfg.Node {
		h.cfg.Reply(node, r)
		return
	}
	r.Shrink(peer.FrameMax / 2)
	h.cfg.Links.Queue(node, peer.Bulk, kindReply, r.Append)
}

// link takes that the link to an entry node went up or down.
func (w *waiters) link(node cluster.NodeID, up bool) {
	if w.l.core == nil {
		return // nobody is registered
	}
	if w.l.core.Silence(node, !up) {
		w.l.r.loop.touch(w.l.r)
	}
	if up {
		w.tell()
	}
}
