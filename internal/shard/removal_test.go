package shard

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"

	"tutti/internal/cluster"
)

// A replica that is removed looks at a candidate's log only as far as it knows its
// own to be committed; one that is not looks at all of it.
func TestRemovedReplicaVotesWithoutItsTail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newTestNode(t, 1)
		n.lead()
		n.want(n.run("SET a b"), "+OK ")
		n.call(func(r *Replica) {
			desc, last := r.members.desc, r.appends.lastIndex
			defer func() { r.members.desc, r.appends.lastIndex = desc, last }()
			r.appends.lastIndex = last + 5 // what only this one has
			commit := r.appends.commit
			index := func(term, index uint64) uint64 {
				m := &pb.Message{Type: pb.MsgVote.Enum(), LogTerm: &term, Index: &index}
				r.members.forgetTail(m)
				return m.GetIndex()
			}
			if got := index(r.term, commit); got != commit {
				t.Errorf("of a member the log counts as one to %d, want %d", got, commit)
			}
			r.members.desc.Replicas = slices.DeleteFunc(slices.Clone(desc.Replicas), func(x cluster.Replica) bool { return x.ID == r.self })
			for _, c := range []struct{ term, index, want uint64 }{
				{r.term, commit, last + 5}, {r.term, commit - 1, commit - 1}, {r.term - 1, commit + 9, commit + 9}, {r.term + 1, 1, last + 5}, {r.term, last + 9, last + 9},
			} {
				if got := index(c.term, c.index); got != c.want {
					t.Errorf("a log to %d of term %d counts as one to %d, want %d", c.index, c.term, got, c.want)
				}
			}
		})
		n.stop()
	})
}

// An entry follows a removal although the one that was proposed for it is lost, and nobody
// writes: without it who is removed would stay, and the map would never hear. Found by the
// swarm, seed 20016, in one of a hundred runs.
func TestRemovalIsSettledWithoutWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newTestNode(t, 1)
		n.lead()
		n.want(n.run("SET a b"), "+OK ")
		n.call(func(r *Replica) {
			if r.members.removedBy = r.appends.lastIndex; r.members.removalKnown() {
				t.Error("it is known before an entry follows")
			}
		})
		time.Sleep(2 * changeTicks * TickDefault)
		n.call(func(r *Replica) {
			if !r.members.removalKnown() {
				t.Error("no entry has followed")
			}
		})
		n.stop()
	})
}
