package shard

import (
	"context"
	"errors"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	pb "go.etcd.io/raft/v3/raftpb"

	"tutti/internal/cluster"
	"tutti/internal/store"
)

// receivedSnapshot is a snapshot of another leader's state that has been received and
// not been offered to raft yet.
func (n *testNode) receivedSnapshot(src *source) (*pb.Message, *store.Incoming) {
	n.t.Helper()
	in, err := n.state.Receive(testShard, 1, cluster.AllSlots)
	n.must(err)
	view := src.view()
	n.must(view.Rows(cluster.AllSlots, in.Add))
	view.Release()
	n.must(in.Finish())
	snap := n.message(pb.MsgSnap, src.at.Term)
	snap.Snapshot = &pb.Snapshot{Data: []byte{}, Metadata: &pb.SnapshotMetadata{Index: new(src.at.Index), Term: new(src.at.Term),
		ConfState: &pb.ConfState{Voters: []uint64{1, 2}}}}
	return snap, in
}

// offer tells raft of a received snapshot, on the loop.
func offer(r *Replica, snap *pb.Message, in *store.Incoming) {
	r.snapshots.receiving.Store(true)
	r.snapshots.offer(snapshotReceived{r, 2, snap, in})
}

// TestSnapshotWithEntries lets a snapshot and the entries behind it arrive in
// one cycle: both must be there, also after a crash.
func TestSnapshotWithEntries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newTestNode(t, 1, 2)
		src := newSource(t)
		for range 30 {
			src.apply(src.write("INCR a"))
		}
		at := src.at
		snap, in := n.receivedSnapshot(src)
		next := src.write("INCR a")
		empty := &pb.Entry{Index: new(at.Index + 2), Term: new(at.Term), Type: pb.EntryNormal.Enum()}
		app := n.message(pb.MsgApp, at.Term)
		app.Index, app.LogTerm, app.Commit = new(at.Index), new(at.Term), new(at.Index+2)
		app.Entries = []*pb.Entry{{Index: new(at.Index + 1), Term: new(at.Term), Type: pb.EntryNormal.Enum(), Data: next.Data}, empty}
		n.call(func(r *Replica) {
			offer(r, snap, in)
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

// TestSnapshotWaitsForReaders lets a reader keep its view while a snapshot is to
// be installed: the reader sees what it saw, the loop goes on, what comes behind
// the snapshot waits with it, and all is there once the view is released.
func TestSnapshotWaitsForReaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newTestNode(t, 1, 2)
		src := newSource(t)
		for range 30 {
			src.apply(src.write("INCR a"))
		}
		at := src.at
		snap, in := n.receivedSnapshot(src)
		next := src.write("INCR a")
		app := n.message(pb.MsgApp, at.Term)
		app.Index, app.LogTerm, app.Commit = new(at.Index), new(at.Term), new(at.Index+1)
		app.Entries = []*pb.Entry{{Index: new(at.Index + 1), Term: new(at.Term), Type: pb.EntryNormal.Enum(), Data: next.Data}}
		before, _, err := n.view(&Read{MinIndex: 1})
		n.must(err)
		n.call(func(r *Replica) { offer(r, snap, in) })
		synctest.Wait() // a read before the loop makes way is served as before
		late := make(chan *store.View, 1)
		n.host.Read(&Read{Shard: testShard, MinIndex: 1, Done: func(v *store.View, _ int64, _ error) { late <- v }})
		n.call(func(r *Replica) { r.step(app) }) // the loop is there
		synctest.Wait()
		if got := n.info().Applied; got != before.Index || len(late) != 0 {
			t.Errorf("%d is applied under a view at %d, and %d views were handed out", got, before.Index, len(late))
		}
		if got, err := before.Keys(0); got != 0 || err != nil {
			t.Errorf("the old view shows %d keys", got)
		}
		before.Release()
		n.wait("entries", func() bool { return n.info().Applied == at.Index+1 })
		v := <-late
		if got, err := v.Keys(0); err != nil || got != 1 || v.Index < at.Index {
			t.Errorf("%d keys at %d", got, v.Index)
		}
		v.Release()
		n.stop()
	})
}

// TestSnapshotGivenUp stops the node while a reader keeps a snapshot waiting.
func TestSnapshotGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newTestNode(t, 1, 2)
		src := newSource(t)
		src.apply(src.write("INCR a"))
		snap, in := n.receivedSnapshot(src)
		before, _, err := n.view(&Read{MinIndex: 1})
		n.must(err)
		n.call(func(r *Replica) { offer(r, snap, in) })
		n.links.Close()
		n.host.Close()
		before.Release()
		n.must(errors.Join(n.log.Close(), n.state.Close()))
		n.open()
		n.start(2)
		if got := n.info().Applied; got != 10 {
			t.Errorf("applied %d", got)
		}
		n.stop()
	})
}

// TestSnapshotLeavesTheBatchAlone begins to install a snapshot while the cycle has
// entries in its batch that is not committed yet, and others wait behind it, as
// behind a scrub: they must not be taken for applied, their rows can't be seen.
func TestSnapshotLeavesTheBatchAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newTestNode(t, 1, 2)
		src := newSource(t)
		src.apply(src.write("INCR a"))
		snap, in := n.receivedSnapshot(src)
		n.call(func(r *Replica) {
			at := r.machine.applied
			entry := &pb.Entry{Index: new(at.Index + 1), Term: new(at.Term), Type: pb.EntryNormal.Enum()}
			n.must(r.machine.apply(n.state.NewBatch(), &pb.Message{Entries: []*pb.Entry{entry}}))
			r.loop.waiting = append(r.loop.waiting, applying{r: r, m: &pb.Message{}})
			r.snapshots.incoming = in
			n.must(r.snapshots.install(snap))
			if r.machine.applied != at {
				t.Errorf("applied is %d; the batch with what follows %d is not committed", r.machine.applied.Index, at.Index)
			}
			// Nothing comes of it: raft knows nothing of the entry.
			r.loop.applying, r.loop.waiting, r.machine.next = nil, nil, at
			r.gone = true
		})
		n.stop()
	})
}

// TestDeposedLeaderHoldsNoView has a leader connect to a follower that does not answer, to
// send it a snapshot. When another leads it gives up at once: what it holds keeps the
// snapshot of that leader from being installed here.
func TestDeposedLeaderHoldsNoView(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newTestNode(t, 1)
		n.stop()
		dials := make(chan struct{}, 100)
		n.dial = func(ctx context.Context, _ cluster.NodeID) (net.Conn, error) {
			dials <- struct{}{}
			<-ctx.Done() // as over a way that is cut
			return nil, ctx.Err()
		}
		n.open()
		n.start(2)
		n.lead()
		n.run("SET a 1")
		n.links.Connect(2)
		synctest.Wait()
		lanes := len(dials)
		var r *Replica
		open := func() int {
			r.snapshots.views.mu.Lock()
			defer r.snapshots.views.mu.Unlock()
			return r.snapshots.views.open
		}
		before := 0
		n.call(func(x *Replica) {
			r = x
			before = open()
			r.members.desc.Replicas = append(slices.Clone(r.members.desc.Replicas), cluster.Replica{ID: 2, Node: 2})
			snap, err := r.snapshots.describe()
			n.must(err)
			r.snapshots.send(&pb.Message{Type: pb.MsgSnap.Enum(), From: new(uint64(1)), To: new(uint64(2)), Term: new(r.term), Snapshot: snap})
		})
		n.run("SET a 2") // from here on it has another view itself
		synctest.Wait()
		if got := open(); got != before+1 || len(dials) != lanes+1 {
			t.Fatalf("%d views are open, %d before; it has connected %d times", got, before, len(dials)-lanes)
		}
		began := time.Now()
		n.call(func(r *Replica) { r.step(n.message(pb.MsgHeartbeat, r.term+1)) })
		n.wait("release of the view", func() bool { return open() <= before })
		if took := time.Since(began); took > 100*time.Millisecond {
			t.Errorf("the view was held for %v", took)
		}
		n.stop()
	})
}
