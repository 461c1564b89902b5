package shard

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"

	"go.etcd.io/raft/v3/confchange"
	pb "go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"

	"tutti/internal/cluster"
	"tutti/internal/group"
)

func TestReplicaID(t *testing.T) {
	for _, c := range []struct {
		node       cluster.NodeID
		generation uint64
		id         cluster.ReplicaID
	}{
		{1, 0, 1}, {3, 1, 1<<16 | 3}, {cluster.NodeMax, 0, 65535}, {cluster.NodeMax, 1 << 40, 1<<56 | 65535},
	} {
		id := replicaID(c.node, c.generation)
		if id != c.id || replicaNode(id) != c.node || replicaGeneration(id) != c.generation {
			t.Errorf("node %d generation %d: %x is node %d generation %d", c.node, c.generation, id, replicaNode(id), replicaGeneration(id))
		}
	}
	if got := replicaNodes([]uint64{uint64(replicaID(3, 1)), 2, 3, 1}); !slices.Equal(got, []cluster.NodeID{1, 2, 3}) {
		t.Errorf("nodes %v", got)
	}
}

func TestPlanRejoin(t *testing.T) {
	g := replicaID
	for _, c := range []struct {
		name                       string
		voters, outgoing, learners []uint64
		id                         uint64
		caughtUp                   bool
		want                       string // node.generation
	}{
		{"first asks", []uint64{1, 2, 3}, nil, nil, uint64(g(3, 1)), false, "+learner 3.1"},
		{"learner lags", []uint64{1, 2, 3}, nil, []uint64{uint64(g(3, 1))}, uint64(g(3, 1)), false, ""},
		{"learner caught up", []uint64{1, 2, 3}, nil, []uint64{uint64(g(3, 1))}, uint64(g(3, 1)), true, "-3.0 +voter 3.1"},
		{"joint", []uint64{1, 2, uint64(g(3, 1))}, []uint64{1, 2, 3}, nil, uint64(g(2, 1)), true, ""},
		{"is a voter", []uint64{1, 2, uint64(g(3, 1))}, nil, nil, uint64(g(3, 1)), true, ""},
		{"lost again as a learner", []uint64{1, 2, 3}, nil, []uint64{uint64(g(3, 1))}, uint64(g(3, 2)), false, "-3.1 +learner 3.2"},
		{"lost again as a voter", []uint64{1, 2, uint64(g(3, 1))}, nil, nil, uint64(g(3, 2)), false, "+learner 3.2"},
		{"beside another learner", []uint64{1, 2, 3, 4, 5}, nil, []uint64{uint64(g(3, 1))}, uint64(g(2, 1)), false, "+learner 2.1"},
		{"of the past, a newer learner", []uint64{1, 2, 3}, nil, []uint64{uint64(g(3, 2))}, uint64(g(3, 1)), true, ""},
		{"of the past, a newer voter", []uint64{1, 2, uint64(g(3, 2))}, nil, nil, uint64(g(3, 1)), true, ""},
		{"unknown node", []uint64{1, 2, 3}, nil, nil, uint64(g(4, 1)), true, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			conf := &pb.ConfState{Voters: c.voters, VotersOutgoing: c.outgoing, Learners: c.learners}
			if got := changeText(planRejoin(conf, c.id, c.caughtUp)); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

func changeText(c *pb.ConfChangeV2) (text string) {
	sign := map[pb.ConfChangeType]string{pb.ConfChangeAddNode: "+voter ", pb.ConfChangeAddLearnerNode: "+learner ", pb.ConfChangeRemoveNode: "-"}
	for _, s := range c.GetChanges() {
		if text != "" {
			text += " "
		}
		text += fmt.Sprintf("%s%d.%d", sign[s.GetType()], replicaNode(cluster.ReplicaID(s.GetNodeId())), replicaGeneration(cluster.ReplicaID(s.GetNodeId())))
	}
	return text
}

// TestPlanRejoinEnds lets nodes lose their data at random and applies what is
// planned, as raft does: nobody but the newest replica of each node remains, and
// no step removes a node for good.
func TestPlanRejoinEnds(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 9))
	for range 300 {
		nodes := []cluster.NodeID{1, 2, 3, 4, 5}[:3+2*r.IntN(2)]
		conf := &pb.ConfState{}
		newest := make(map[cluster.NodeID]cluster.ReplicaID)
		for _, n := range nodes {
			newest[n] = replicaID(n, 0)
			conf.Voters = append(conf.Voters, uint64(newest[n]))
		}
		for step := range 200 {
			if step < 100 && r.IntN(4) == 0 {
				n := nodes[r.IntN(len(nodes))]
				newest[n] = replicaID(n, replicaGeneration(newest[n])+1)
			}
			n := nodes[r.IntN(len(nodes))]
			id := uint64(newest[n])
			change := planRejoin(conf, id, slices.Contains(conf.GetLearners(), id) && r.IntN(2) == 0)
			if change == nil && joint(conf) {
				change = &pb.ConfChangeV2{} // raft's own
			}
			if change != nil {
				conf = applyChange(t, conf, change)
			}
			if got := replicaNodes(slices.Concat(conf.GetVoters(), conf.GetVotersOutgoing())); !slices.Equal(got, nodes) {
				t.Fatalf("voters of the nodes %v after %s", got, changeText(change))
			}
		}
		var want []uint64
		for id := range maps.Values(newest) {
			want = append(want, uint64(id))
		}
		slices.Sort(want)
		if got := slices.Sorted(slices.Values(conf.GetVoters())); !slices.Equal(got, want) || len(conf.GetLearners()) > 0 || joint(conf) {
			t.Fatalf("at the end %v, want voters %x", conf, want)
		}
	}
}

func applyChange(t *testing.T, conf *pb.ConfState, c *pb.ConfChangeV2) *pb.ConfState {
	t.Helper()
	p := tracker.MakeProgressTracker(1, 0)
	cfg, progress, err := confchange.Restore(confchange.Changer{Tracker: p, LastIndex: 10}, conf)
	if err != nil {
		t.Fatal(err)
	}
	p.Config, p.Progress = cfg, progress
	changer := confchange.Changer{Tracker: p, LastIndex: 10}
	switch auto, enter := c.EnterJoint(); {
	case c.LeaveJoint():
		cfg, progress, err = changer.LeaveJoint()
	case enter:
		cfg, progress, err = changer.EnterJoint(auto, c.GetChanges()...)
	default:
		cfg, progress, err = changer.Simple(c.GetChanges()...)
	}
	if err != nil {
		t.Fatalf("%s to %v: %v", changeText(c), conf, err)
	}
	p.Config, p.Progress = cfg, progress
	return p.ConfState()
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
		for i := range 40 {
			typ := pb.ConfChangeAddLearnerNode
			if i%2 == 1 {
				typ = pb.ConfChangeRemoveNode
			}
			change := &pb.ConfChangeV2{Changes: []*pb.ConfChangeSingle{learner(typ, 2), learner(typ, 3)}} // joint, left by raft
			// The change stands behind a batch, and more waits: once both are applied
			// raft appends the entry that leaves the joint configuration.
			replies := make(chan group.Reply, 2)
			n.call(func(r *Replica) {
				for range 2 {
					n.seq++
					g := newGroup(n.session, n.seq, "INCR a", "SETNX b 1")
					g.Shard, g.Session, g.Term, g.Done = testShard, n.session, n.term, func(r group.Reply) { replies <- r }
					r.admit(g)
					if r.inflight.batch == nil {
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

func TestComparison(t *testing.T) {
	for _, c := range []struct {
		name   string
		told   map[cluster.NodeID]uint64
		voters int
		odd    []cluster.NodeID
		tie    bool
	}{
		{"nobody yet", map[cluster.NodeID]uint64{1: 7}, 3, nil, false},
		{"all equal", map[cluster.NodeID]uint64{1: 7, 2: 7, 3: 7}, 3, nil, false},
		{"two differ, the third has not told", map[cluster.NodeID]uint64{1: 7, 2: 8}, 3, nil, false},
		{"one is odd", map[cluster.NodeID]uint64{1: 7, 2: 8, 3: 8}, 3, []cluster.NodeID{1}, false},
		{"two are odd", map[cluster.NodeID]uint64{1: 7, 2: 8, 3: 8, 4: 9, 5: 8}, 5, []cluster.NodeID{1, 4}, false},
		{"all differ", map[cluster.NodeID]uint64{1: 7, 2: 8, 3: 9}, 3, nil, true},
		{"half and half", map[cluster.NodeID]uint64{1: 7, 2: 8}, 2, nil, true},
		{"alone", map[cluster.NodeID]uint64{1: 7}, 1, nil, false},
		{"a plurality is no majority", map[cluster.NodeID]uint64{1: 7, 2: 7, 3: 8, 4: 9, 5: 10}, 5, nil, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			q := comparison{index: 1, told: c.told}
			odd, _, tie := q.odd(c.voters)
			if !slices.Equal(odd, c.odd) || tie != c.tie {
				t.Errorf("odd %v, tie %v", odd, tie)
			}
		})
	}
}
