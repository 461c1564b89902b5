package shard

import (
	"slices"

	"go.etcd.io/raft/v3"

	"tutti/internal/cluster"
	"tutti/internal/peer"
)

// Rounds of followers that voters vouch for. A leader confirms a round once a majority has
// told it, since the readers came, that it has not left the leader's term: raft has it ask
// them. But a voter that brings it the round says so by that. Its question carries the term
// in which it was when it sent it, and
//
//   - the readers came before that,
//   - so whoever led a later term then was elected without this voter's voice, as it sends
//     none before its term is the later one, and without the leader's, who is in the earlier
//     term still,
//   - so where those two and whoever else has vouched are a majority, nobody had been
//     elected, and all that was acknowledged before the readers came was committed by the
//     leader or is in the log with which it began.
//
// Then the leader answers at once, with its commit index: one way there and back, no
// heartbeats, and no round in flight that ends first. Where one voice more is needed, the
// question goes by way of another voter, who adds its own: from a learner where there are
// three voters, from a voter where there are five. Where that is not enough either, and
// between two configurations, it is a question like any other, for the leader's next round.
//
// That a leader has heartbeats answered before it reads is of Ongaro's thesis, 6.4. A question
// that carries its sender's term says what such an answer says, and says it after the readers
// came, which is all that counts.

// question is the round of a follower on its way to the leader.
type question struct {
	node     cluster.NodeID // that asks
	id       uint64         // of the attempt there
	term     uint64         // of those who vouch
	vouchers [2]cluster.ReplicaID
}

// questionLen is the length of a question behind the shard.
const questionLen = 5 * 8

func (q question) append(dst []byte) []byte {
	dst = be.AppendUint64(be.AppendUint64(be.AppendUint64(dst, uint64(q.node)), q.id), q.term)
	return be.AppendUint64(be.AppendUint64(dst, uint64(q.vouchers[0])), uint64(q.vouchers[1]))
}

func decodeQuestion(b []byte) question {
	return question{node: cluster.NodeID(be.Uint64(b)), id: be.Uint64(b[8:]), term: be.Uint64(b[16:]),
		vouchers: [2]cluster.ReplicaID{cluster.ReplicaID(be.Uint64(b[24:])), cluster.ReplicaID(be.Uint64(b[32:]))}}
}

// count returns how many have vouched.
func (q question) count() int {
	n := 0
	for _, v := range q.vouchers {
		if v != 0 {
			n++
		}
	}
	return n
}

// lacks returns how many voices beside the leader's and those of a question are missing for
// a majority.
func (m *members) lacks(q question) int { return len(m.conf.GetVoters())/2 - q.count() }

// vouches adds this replica's voice, if it has one, to a question of the same term.
func (m *members) vouches(q *question) {
	r := m.r
	if n := q.count(); n < len(q.vouchers) && (n == 0 || q.term == r.term) && slices.Contains(m.conf.GetVoters(), uint64(r.self)) && !slices.Contains(q.vouchers[:], r.self) {
		q.term, q.vouchers[n] = r.term, r.self
	}
}

// vouched reports whether those who vouch for a question that came from a node are, with
// this leader, a majority.
func (m *members) vouched(q question, from cluster.NodeID) bool {
	n := q.count()
	voters := m.conf.GetVoters()
	if n == 0 || q.term != m.r.term || joint(m.conf) || m.lacks(q) > 0 || !slices.Contains(voters, uint64(m.r.self)) || m.nodeOf(uint64(q.vouchers[n-1])) != from {
		return false
	}
	for i, v := range q.vouchers[:n] {
		if v == m.r.self || !slices.Contains(voters, uint64(v)) || slices.Contains(q.vouchers[:i], v) {
			return false
		}
	}
	return true
}

// passing is by way of whom a replica asks that needs one voice more.
type passing struct {
	turn  int    // of the voters
	until uint64 // tick before which the leader is asked
	used  bool   // the latest question went by way of one
}

// passRestTicks is how long nobody else is asked after one has not passed a question on.
const passRestTicks = electionTicks

// by returns the voter by way of whom a question goes, 0: none.
func (p *passing) by(m *members, lead cluster.NodeID) cluster.NodeID {
	r := m.r
	if r.ticks < p.until || joint(m.conf) {
		return 0
	}
	for i := range m.voters {
		// Neighbours begin with different ones.
		node := m.voters[(int(r.self)+p.turn+i)%len(m.voters)]
		if node != lead && node != r.host.cfg.Node && r.host.cfg.Links.Up(node) {
			return node
		}
	}
	return 0
}

// question asks the leader, for an attempt, in the shortest way that there is.
func (rd *reads) question(lead cluster.NodeID) {
	r := rd.r
	rd.passing.used = false
	if r.host.cfg.Map.Map().Version < cluster.V5 {
		r.host.cfg.Links.Queue(lead, peer.Control, kindReadAsk, func(dst []byte) []byte {
			return be.AppendUint64(be.AppendUint64(dst, uint64(r.id)), rd.count)
		})
		return
	}
	q, to := question{node: r.host.cfg.Node, id: rd.count}, lead
	r.members.vouches(&q)
	if r.members.lacks(q) == 1 {
		if by := rd.passing.by(&r.members, lead); by != 0 {
			to = by
			rd.passing.used = true
			rd.watch()
		}
	}
	rd.ship(to, q)
}

func (rd *reads) ship(to cluster.NodeID, q question) {
	rd.r.host.cfg.Links.Queue(to, peer.Control, kindReadPass, func(dst []byte) []byte {
		return q.append(be.AppendUint64(dst, uint64(rd.r.id)))
	})
}

// questioned takes a question: the leader's to answer, others pass it on, once.
func (rd *reads) questioned(from cluster.NodeID, q question) {
	r := rd.r
	lead := r.lead.Load()
	switch {
	case r.leading() && r.members.vouched(q, from):
		now, _ := r.leader.clock.now()
		rd.tell(q.node, q.id, r.appends.commit, max(now, r.machine.applied.Time))
	case r.leading():
		rd.ask(asker{node: q.node, id: q.id})
	case q.node == from && lead.Node != 0 && lead.Node != r.host.cfg.Node && r.state == raft.StateFollower:
		r.members.vouches(&q)
		rd.ship(lead.Node, q)
	}
}
