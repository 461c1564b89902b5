package shard

import (
	pb "go.etcd.io/raft/v3/raftpb"

	"tutti/internal/cluster"
	"tutti/internal/peer"
)

// How a replica goes that the log has removed. It may know before the others
// that it is removed, as the leader that told it, or as that leader itself. Those
// who don't are still in the joint configuration, where they need a majority of
// the old voters to elect anybody, its vote perhaps, and who knows already may
// have the shorter log. So it stays: it votes, and takes what it is sent, but
// neither leads nor counts for anything in its own eyes.
//
// It goes when a leader says so that has had an entry committed which it proposed
// after applying the removal. All messages that carried that entry told of the
// commit of the removal too, so a majority of the voters that are left holds both
// durably: whoever of them is elected needs those only who are left.
//
// The map is not told of the removal before that either: an operator may switch a
// node off that has nothing in the map.

// removed reports whether this replica has applied its own removal.
func (m *members) removed() bool { return m.desc.Gone(m.r.self) }

// noteRemovals notes whom the change that was just applied has removed; before is
// the descriptor before it. A leader makes sure that an entry follows.
func (m *members) noteRemovals(before cluster.Descriptor) {
	for _, x := range before.Replicas {
		if m.desc.Gone(x.ID) {
			m.removedBy = m.r.appends.lastIndex
			m.seal()
			return
		}
	}
}

// seal makes a leader propose something.
func (m *members) seal() {
	if l := m.r.leader; l != nil {
		l.tickTime(m.r.machine.next.Time + 1)
	}
}

// removalKnown reports whether this is a leader and those that it knows to be
// removed may go: it has applied an entry that it proposed after the removal. All
// of a leader's entries behind the end that its log had when it applied it are
// such ones, and all of its term if it was elected later.
func (m *members) removalKnown() bool {
	return m.r.leading() && m.r.machine.applied.Index > m.removedBy
}

// heardWho answers whether a replica is gone. Ids are never handed out twice and
// what was applied stays, so a leader that has applied the removal knows it for
// sure.
func (m *members) heardWho(from cluster.NodeID, id cluster.ReplicaID) {
	switch {
	case !m.desc.Gone(id):
	case m.removalKnown():
		m.r.host.cfg.Links.Queue(from, peer.Control, kindGone, func(dst []byte) []byte {
			return be.AppendUint64(be.AppendUint64(dst, uint64(m.r.id)), uint64(id))
		})
	default:
		m.seal()
	}
}

// forgetTail changes a request for the vote of a replica that is removed: what
// its log has behind what it knows to be committed does not speak against a
// candidate. It may have been the leader, and what it appended last is in no
// other log: it would refuse its vote for ever, and can't be elected itself.
//
// No entry is lost by that. Whoever counts this vote has the entry that ended the
// joint configuration in its log, and has not applied it. So it is in the joint
// configuration, and needs a majority of the voters that are left too, and one of
// those has every entry that was committed since, and looks at all of its log.
func (m *members) forgetTail(vote *pb.Message) {
	if !m.removed() {
		return
	}
	term, err := m.r.appends.log.Term(m.r.appends.commit)
	if err != nil || vote.GetLogTerm() < term || vote.GetLogTerm() == term && vote.GetIndex() < m.r.appends.commit {
		return
	}
	vote.LogTerm, vote.Index = new(max(vote.GetLogTerm(), m.r.term)), new(max(vote.GetIndex(), m.r.appends.lastIndex))
}
