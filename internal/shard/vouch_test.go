package shard

import (
	"testing"
	"testing/synctest"

	pb "go.etcd.io/raft/v3/raftpb"

	"tutti/internal/cluster"
)

// TestWhoVouches asks replica 1, which leads, for whom it answers at once: where voters of
// its own term are a majority with it, and the last of them has brought the question.
func TestWhoVouches(t *testing.T) {
	three, five := []uint64{1, 2, 3}, []uint64{1, 2, 3, 4, 5}
	type ids = [2]cluster.ReplicaID
	for _, x := range []struct {
		what     string
		conf     *pb.ConfState
		from     cluster.NodeID
		term     int // beside the leader's
		vouchers ids
		want     bool
	}{
		{"a voter", &pb.ConfState{Voters: three}, 2, 0, ids{2}, true},
		{"nobody", &pb.ConfState{Voters: three}, 2, 0, ids{}, false},
		{"one of an earlier term", &pb.ConfState{Voters: three}, 2, -1, ids{2}, false},
		{"one of a later term", &pb.ConfState{Voters: three}, 2, 1, ids{2}, false},
		{"a learner", &pb.ConfState{Voters: three, Learners: []uint64{4}}, 4, 0, ids{4}, false},
		{"a stranger", &pb.ConfState{Voters: three}, 9, 0, ids{9}, false},
		{"another one's voice", &pb.ConfState{Voters: three}, 3, 0, ids{2}, false},
		{"the leader's own voice", &pb.ConfState{Voters: three}, 1, 0, ids{1}, false},
		{"two of three", &pb.ConfState{Voters: three}, 3, 0, ids{2, 3}, true},
		{"one of four others", &pb.ConfState{Voters: five}, 2, 0, ids{2}, false},
		{"two of four others", &pb.ConfState{Voters: five}, 3, 0, ids{2, 3}, true},
		{"one twice", &pb.ConfState{Voters: five}, 2, 0, ids{2, 2}, false},
		{"a voter and the leader", &pb.ConfState{Voters: five}, 1, 0, ids{2, 1}, false},
		{"a voter and a learner", &pb.ConfState{Voters: []uint64{1, 2, 3, 4}, Learners: []uint64{5}}, 5, 0, ids{2, 5}, false},
		{"of two configurations", &pb.ConfState{Voters: three, VotersOutgoing: []uint64{1, 4, 5}}, 2, 0, ids{2}, false},
		{"where the leader has no voice", &pb.ConfState{Voters: []uint64{2, 3, 4}}, 2, 0, ids{2}, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			n := newTestNode(t, 1)
			n.lead()
			n.call(func(r *Replica) {
				r.members.conf, r.members.desc = x.conf, testDescriptor(five...)
				q := question{node: x.from, id: 7, term: r.term + uint64(x.term), vouchers: x.vouchers}
				if got := decodeQuestion(q.append(nil)); got != q {
					t.Fatalf("%+v is read as %+v", q, got)
				}
				if got := r.members.vouched(q, x.from); got != x.want {
					t.Errorf("%s: answered at once %v, want %v", x.what, got, x.want)
				}
			})
			n.stop()
		})
	}
}

// TestVoices has replica 1 add its voice to questions.
func TestVoices(t *testing.T) {
	three := &pb.ConfState{Voters: []uint64{1, 2, 3}, Learners: []uint64{4}}
	type ids = [2]cluster.ReplicaID
	for _, x := range []struct {
		what         string
		conf         *pb.ConfState
		before, want ids
		term         int // of those before, beside its own
	}{
		{"the first", three, ids{}, ids{1}, 5},
		{"the second", three, ids{2}, ids{2, 1}, 0},
		{"the second, of another term", three, ids{2}, ids{2}, -1},
		{"again", three, ids{1}, ids{1}, 0},
		{"no room", three, ids{2, 3}, ids{2, 3}, 0},
		{"a learner's", &pb.ConfState{Voters: []uint64{2, 3}, Learners: []uint64{1}}, ids{}, ids{}, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			n := newTestNode(t, 1)
			n.lead()
			n.call(func(r *Replica) {
				r.members.conf = x.conf
				q := question{node: 4, id: 7, term: r.term + uint64(x.term), vouchers: x.before}
				r.members.vouches(&q)
				if q.vouchers != x.want || x.before == (ids{}) && x.want != x.before && q.term != r.term {
					t.Errorf("%s: %+v in term %d, want %v", x.what, q, r.term, x.want)
				}
			})
			n.stop()
		})
	}
}
