package shard

import (
	"testing"
	"testing/synctest"

	pb "go.etcd.io/raft/v3/raftpb"
)

// TestMajorityIsAsked has rounds of reads with five voters: until it is known who is quick
// all are asked, then the two quickest, and in the first round of a tick all again; whom a
// new configuration does not know is not among them.
func TestMajorityIsAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newTestNode(t, 1)
		n.lead()
		n.call(func(r *Replica) {
			round := make([]byte, 8)
			asked := func() (who int) { // 2 and 4 make 24
				round = be.AppendUint64(nil, be.Uint64(round)+1)
				for _, to := range []uint64{2, 3, 4, 5} {
					if !r.outbox.spares(&pb.Message{Type: pb.MsgHeartbeat.Enum(), To: &to, Context: round}) {
						who = 10*who + int(to)
					}
				}
				return who
			}
			answered := func(from ...uint64) {
				for _, id := range from {
					r.outbox.quickest.heard(id, round)
				}
			}
			want := func(what string, want int) {
				t.Helper()
				if got := asked(); got != want {
					t.Errorf("%s: %d are asked, want %d", what, got, want)
				}
			}
			r.members.conf = &pb.ConfState{Voters: []uint64{1, 2, 3, 4, 5}}
			want("nobody is known", 2345)
			answered(4)
			want("one has answered", 2345)
			answered(4, 4, 2, 3)
			want("the first one of this tick", 2345)
			want("two have answered before", 24)
			r.ticks++
			want("a tick later", 2345)
			answered(5, 3, 2, 4)
			want("those who were asked alone before have their first one of this tick", 2345)
			want("others were quicker", 35)
			answered(3)
			want("they stay until all are asked", 35)
			r.ticks++
			want("a tick later", 2345)
			answered(2)
			want("only one has answered", 35)
			r.members.conf = &pb.ConfState{Voters: []uint64{1, 2, 3, 4}, VotersOutgoing: []uint64{1, 2, 3, 4, 5}}
			want("between two configurations", 2345)
			answered(5, 4, 3, 2)
			want("between two configurations", 2345)
			r.members.conf = &pb.ConfState{Voters: []uint64{1, 2}, Learners: []uint64{3, 4, 5}}
			r.ticks++
			want("learners once a tick", 2345)
			answered(3, 2)
			for range 2 {
				want("learners are not among the quickest", 2)
			}
		})
		n.stop()
	})
}
