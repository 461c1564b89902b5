package shard

import (
	"testing"
	"testing/synctest"

	"github.com/cockroachdb/pebble/v2/vfs"
	pb "go.etcd.io/raft/v3/raftpb"

	"tutti/internal/cluster"
	"tutti/internal/store"
)

// TestSnapshotWithEntries lets a snapshot and the entries behind it arrive in
// one cycle: both must be there, also after a crash.
func TestSnapshotWithEntries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newTestNode(t, 1, 2)
		src := newTestCore(t)
		for range 30 {
			src.run(src.write("INCR a"))
		}
		at := src.at
		in, err := n.state.Receive(testShard, 1, cluster.AllSlots)
		n.must(err)
		view := src.state.View(testShard, at, src.dbs, func() {})
		n.must(view.Rows(cluster.AllSlots, in.Add))
		view.Release()
		n.must(in.Finish())
		next := src.evaluate(src.input(), src.write("INCR a"))
		empty := &pb.Entry{Index: new(at.Index + 2), Term: new(at.Term), Type: pb.EntryNormal.Enum()}
		head := func(typ pb.MessageType) *pb.Message {
			return &pb.Message{Type: typ.Enum(), From: new(uint64(2)), To: new(uint64(1)), Term: new(at.Term)}
		}
		snap, app := head(pb.MsgSnap), head(pb.MsgApp)
		snap.Snapshot = &pb.Snapshot{Data: []byte{}, Metadata: &pb.SnapshotMetadata{Index: new(at.Index), Term: new(at.Term),
			ConfState: &pb.ConfState{Voters: []uint64{1, 2}}}}
		app.Index, app.LogTerm, app.Commit = new(at.Index), new(at.Term), new(at.Index+2)
		app.Entries = []*pb.Entry{{Index: new(at.Index + 1), Term: new(at.Term), Type: pb.EntryNormal.Enum(), Data: next.data}, empty}
		n.call(func(r *Replica) {
			r.receiving.Store(true)
			r.offer(snapshotReceived{r, 2, snap, in})
			r.step(app)
		})
		n.wait("entries", func() bool { return n.info().Applied == at.Index+2 })
		clone := n.fs.CrashClone(vfs.CrashCloneCfg{})
		n.stop()
		n.fs = clone
		n.open()
		n.start(2)
		n.wait("entries after a crash", func() bool { return n.info().Applied == at.Index+2 })
		v := n.state.View(testShard, store.Applied{}, nil, func() {})
		if got, err := v.Keys(0); got != 1 || err != nil {
			t.Errorf("%d keys, %v", got, err)
		}
		v.Release()
		if i := n.info(); i.FirstIndex != at.Index+1 || i.LastIndex != at.Index+2 {
			t.Errorf("log is [%d, %d]", i.FirstIndex, i.LastIndex)
		}
		n.stop()
	})
}
