package shard

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"

	pb "go.etcd.io/raft/v3/raftpb"

	"tutti/internal/cluster"
	"tutti/internal/store"
)

// TestChanged follows a descriptor through changes of the configuration.
func TestChanged(t *testing.T) {
	d := testDescriptor(1, 2, 3)
	add := []cluster.Replica{{ID: 4, Node: 3, Data: 1}}
	d = changed(d, &pb.ConfState{Voters: []uint64{1, 2, 3}, Learners: []uint64{4}}, add)
	if x, ok := d.Replica(4); !ok || x.Part != cluster.Learner || x.Data != 1 || d.Next != 5 || d.Generation != 2 {
		t.Errorf("a learner added: %+v", d)
	}
	d = changed(d, &pb.ConfState{Voters: []uint64{1, 2, 4}, VotersOutgoing: []uint64{1, 2, 3}}, nil)
	if x, _ := d.Replica(3); x.Part != cluster.Leaving || !slices.Equal(d.Voters(), []cluster.NodeID{1, 2, 3}) || d.Gone(3) {
		t.Errorf("joint: %+v", d)
	}
	d = changed(d, &pb.ConfState{Voters: []uint64{1, 2, 4}}, nil)
	if !d.Gone(3) || d.Gone(4) || d.Gone(5) || d.Next != 5 || d.Generation != 4 {
		t.Errorf("left: %+v", d)
	}
	d = changed(d, &pb.ConfState{Voters: []uint64{1, 2}, VotersOutgoing: []uint64{1, 2, 4}, LearnersNext: []uint64{4}}, nil)
	if x, _ := d.Replica(4); x.Part != cluster.Learner {
		t.Errorf("a voter that is to learn: %+v", d)
	}
}

// TestAddedContext reads back what a change of the configuration adds, and
// refuses what it does not know.
func TestAddedContext(t *testing.T) {
	add := []cluster.Replica{{ID: 7, Node: 2, Data: 3}, {ID: 8, Node: 1}}
	got, err := decodeAdded(encodeAdded(add))
	if err != nil || !slices.Equal(got, add) {
		t.Errorf("%+v becomes %+v, %v", add, got, err)
	}
	if got, err := decodeAdded(nil); err != nil || got != nil {
		t.Errorf("nothing becomes %+v, %v", got, err)
	}
	later := encodeAdded(add)
	later[0]++
	for _, b := range [][]byte{later, encodeAdded(add)[:20], {addedVersion, 0}} {
		if _, err := decodeAdded(b); !errors.Is(err, store.ErrFormat) {
			t.Errorf("%x: %v", b, err)
		}
	}
	d := testDescriptor(1, 2)
	for _, c := range []struct {
		ids  []cluster.ReplicaID
		want bool
	}{{nil, true}, {[]cluster.ReplicaID{3}, true}, {[]cluster.ReplicaID{3, 4}, true}, {[]cluster.ReplicaID{2}, false}, {[]cluster.ReplicaID{4}, false}, {[]cluster.ReplicaID{3, 3}, false}} {
		var add []cluster.Replica
		for _, id := range c.ids {
			add = append(add, cluster.Replica{ID: id, Node: 9})
		}
		if handedOut(d, add) != c.want {
			t.Errorf("ids %v behind %d", c.ids, d.Next)
		}
	}
}

// TestConfChangesAmongBatches changes the configuration while groups are
// evaluated. raft appends entries of its own then; every batch must still become
// the entry whose index its rows carry, see checkProposed.
func TestConfChangesAmongBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newTestNode(t, 1)
		n.lead()
		learner := func(t pb.ConfChangeType, id uint64) *pb.ConfChangeSingle {
			return &pb.ConfChangeSingle{Type: t.Enum(), NodeId: &id}
		}
		next := uint64(2) // the id that the log hands out next
		for i := range 40 {
			typ, a, b := pb.ConfChangeAddLearnerNode, next, next+1
			change := &pb.ConfChangeV2{} // joint, left by raft
			if i%2 == 1 {
				typ, a, b = pb.ConfChangeRemoveNode, next-2, next-1
			} else {
				change.Context = encodeAdded([]cluster.Replica{{ID: cluster.ReplicaID(a), Node: 2}, {ID: cluster.ReplicaID(b), Node: 3}})
				next += 2
			}
			change.Changes = []*pb.ConfChangeSingle{learner(typ, a), learner(typ, b)}
			// The change stands behind a batch, and more waits: once both are applied
			// raft appends the entry that leaves the joint configuration.
			replies := make(chan Reply, 2)
			n.call(func(r *Replica) {
				for range 2 {
					n.seq++
					g := group(n.session, n.seq, "INCR a", "SETNX b 1")
					g.Shard, g.Session, g.Term, g.Done = testShard, n.session, n.term, func(r Reply) { replies <- r }
					r.admit(g)
					if r.inflight == nil {
						n.must(r.propose())
						n.must(r.raft.ProposeConfChange(change))
					}
				}
			})
			for range 2 {
				n.want(text(<-replies)[:1], ":")
			}
			n.wait("end of the joint configuration", func() (ok bool) {
				n.call(func(r *Replica) { ok = !joint(r.conf) && len(r.conf.GetLearners()) == 2*((i+1)%2) })
				return ok
			})
		}
		n.want(n.run("GET a"), "$2 80 ")
		n.stop()
	})
}
