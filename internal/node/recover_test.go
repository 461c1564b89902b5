package node

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	pb "go.etcd.io/raft/v3/raftpb"

	"tutti/internal/cluster"
	"tutti/internal/store"
)

// A change of the replicas that a copy has in its log, and does not know to be
// decided, is not carried out by a recovery; but elsewhere it may have been, so the
// ids that it gave out are not given again.
func TestRecoveryReusesNoReplicaIDs(t *testing.T) {
	mem := vfs.NewMem()
	dirs := []string{"/1", "/2", "/3"}
	f := Formation{Cluster: "c", Small: true, Members: []Member{{ID: 1}, {ID: 2}, {ID: 3}}}
	if err := Form(mem, dirs, f); err != nil {
		t.Fatal(err)
	}
	log, err := store.OpenLog(store.Config{FS: mem, Dir: dirs[0], Small: true})
	if err != nil {
		t.Fatal(err)
	}
	durable := make(chan struct{})
	log.Append(&store.Append{Shard: 1, Done: func() { close(durable) },
		Entries: []*pb.Entry{{Type: pb.EntryConfChangeV2.Enum(), Index: new(uint64(firstIndex + 1)), Term: new(uint64(firstTerm))}}})
	<-durable
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := PlanRecovery(mem, dirs[0])
	if err == nil {
		err = r.Recover()
	}
	if err != nil {
		t.Fatal(err)
	}
	m, err := ReadMap(mem, dirs[0])
	if err != nil {
		t.Fatal(err)
	}
	s, _ := m.Shard(1)
	if len(s.Replicas) != 1 || s.Replicas[0].Part != cluster.Voter || s.Next < 5 {
		t.Errorf("recovered %+v: the change could have handed out replica 4", s.Descriptor)
	}
	if s, _ := m.Shard(cluster.Meta); s.Next != 4 {
		t.Errorf("meta hands out %d next, and its log changes nothing", s.Next)
	}
}
