package store

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	pb "go.etcd.io/raft/v3/raftpb"

	"tutti/internal/cluster"
	"tutti/internal/durable"
	"tutti/internal/keyspace"
)

// twoShards are the stores of a node with shard 1 (the lower half of the slots,
// replica 5) and shard 2 (the upper half, replica 6), each with rows.
type twoShards struct {
	t     *testing.T
	log   *Log
	state *State
}

var halves = map[cluster.ShardID]cluster.SlotRange{1: {First: 0, End: 8192}, 2: {First: 8192, End: cluster.Slots}}

func openTwoShards(t *testing.T, fs vfs.FS) *twoShards {
	t.Helper()
	cfg := testConfig(fs)
	log, err := OpenLog(cfg)
	if err != nil {
		t.Fatal(err)
	}
	state, err := OpenState(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return &twoShards{t, log, state}
}

func (s *twoShards) ok(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *twoShards) create(shard cluster.ShardID, replica cluster.ReplicaID) {
	s.t.Helper()
	at := Applied{Index: 10, Term: 1}
	s.ok(s.state.Create(cluster.Descriptor{ID: shard, Slots: halves[shard], Next: replica + 1}, at, &pb.ConfState{}))
	s.ok(s.log.Create(shard, replica, at.Index, at.Term))
	b := s.state.NewBatch()
	for i := uint64(11); i < 30; i++ {
		w := NewWriteSet(1, 100)
		w.Put(keyspace.TrashRow(uint16(halves[shard].First)+uint16(i), i), make([]byte, 1000))
		var err error
		at, err = b.Apply(shard, at, i, 1, w)
		s.ok(err)
		term, typ := uint64(1), pb.EntryNormal
		s.log.do(&Append{Shard: shard, Entries: []*pb.Entry{{Index: &i, Term: &term, Type: &typ, Data: w}}})
	}
	s.ok(b.Commit())
}

func (s *twoShards) close() {
	s.t.Helper()
	s.ok(s.log.Close())
	s.ok(s.state.Close())
}

// rows counts what is left of a shard in either store.
func (s *twoShards) rows(shard cluster.ShardID) (state, log int) {
	s.t.Helper()
	v := s.state.View(shard, Applied{Index: math.MaxUint64}, nil, func() {})
	defer v.Release()
	s.ok(v.Rows(halves[shard], func(_, _ []byte) error { state++; return nil }))
	it, err := s.log.db.NewIter(nil)
	s.ok(err)
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		if be.Uint64(it.Key()) == uint64(shard) && it.Key()[8] != rowGone {
			log++
		}
	}
	return state, log
}

func TestReplicasComeAndGo(t *testing.T) {
	fs := vfs.NewCrashableMem()
	s := openTwoShards(t, fs)
	s.create(1, 5)
	s.create(2, 6)
	for round := range 100 { // more shards over time than a vow has room for at once
		id := cluster.ShardID(100 + round)
		s.ok(s.state.Create(cluster.Descriptor{ID: id}, Applied{}, &pb.ConfState{}))
		s.ok(s.log.Create(id, 1, 0, 0))
		s.ok(Drop(s.log, s.state, id, 1, cluster.SlotRange{}))
	}
	s.log.vow.mu.Lock()
	if n := len(s.log.vow.state); n != 2 {
		t.Errorf("the vow is for %d shards", n)
	}
	s.log.vow.mu.Unlock()
	s.ok(Drop(s.log, s.state, 1, 5, halves[1]))
	if state, log := s.rows(1); state+log > 0 {
		t.Errorf("%d and %d rows are left", state, log)
	}
	if state, _ := s.rows(2); state < 19 {
		t.Errorf("the other shard has %d rows", state)
	}
	for _, id := range []cluster.ReplicaID{1, 5} {
		if err := s.log.Create(1, id, 0, 0); err == nil {
			t.Errorf("replica %d was made again", id)
		}
	}
	s.close()
	s = openTwoShards(t, fs)
	here, dropping, err := s.log.Replicas()
	if want := map[cluster.ShardID]cluster.ReplicaID{2: 6}; err != nil || !maps.Equal(here, want) || len(dropping) > 0 {
		t.Errorf("here %v, dropping %v, %v", here, dropping, err)
	}
	s.create(1, 7)
	if here, _, err := s.log.Replicas(); err != nil || here[1] != 7 {
		t.Errorf("here %v, %v", here, err)
	}
	if gone, err := s.log.Gone(1); err != nil || gone != 5 {
		t.Errorf("gone %d, %v", gone, err)
	}
	s.close()
}

// TestDropCrash cuts the power before each operation on the disk of a removal:
// the replica is whole, about to go, or gone, and never comes back by halves.
func TestDropCrash(t *testing.T) {
	outcomes := make(map[string]int)
	for at := 1; ; at++ {
		mem := vfs.NewCrashableMem()
		if err := errors.Join(mem.MkdirAll(testDir, 0o755), durable.SyncDir(mem, "/")); err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex // guards what follows: several goroutines write
		var after *vfs.MemFS
		armed, op := false, 0
		arm := func(on bool) {
			mu.Lock()
			defer mu.Unlock()
			armed, op = on, 0
		}
		rng := rand.New(rand.NewPCG(uint64(at), 1))
		fs := &hookFS{MemFS: mem, drop: func(string, string) bool { return false }, before: func(string, string) {
			mu.Lock()
			defer mu.Unlock()
			if op++; armed && op == at {
				after = mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: rng})
			}
		}}
		s := openTwoShards(t, fs)
		s.create(1, 5)
		s.create(2, 6)
		s.ok(settleAll(s.state))
		s.ok(s.state.db.Flush())
		arm(true)
		s.ok(Drop(s.log, s.state, 1, 5, halves[1]))
		arm(false)
		last := after == nil
		if last { // the removal takes fewer operations; a cut behind it
			after = mem.CrashClone(vfs.CrashCloneCfg{})
		}
		s.close()
		s = openTwoShards(t, after)
		here, dropping, err := s.log.Replicas()
		s.ok(err)
		state, _ := s.rows(1)
		switch {
		case here[1] == 5 && len(dropping) == 0 && state >= 19:
			outcomes["whole"]++
		case dropping[1] == 5 && here[1] == 0:
			outcomes["dropping"]++
			s.ok(Drop(s.log, s.state, 1, 5, halves[1]))
		case here[1] == 0 && len(dropping) == 0:
			outcomes["gone"]++
		default:
			t.Fatalf("after %d operations: here %v, dropping %v, %d rows", at, here, dropping, state)
		}
		if outcomes["whole"] == 0 || here[1] == 0 {
			if state, log := s.rows(1); state+log > 0 {
				t.Fatalf("after %d operations %d and %d rows are left", at, state, log)
			}
		}
		if state, _ := s.rows(2); state < 19 {
			t.Fatalf("after %d operations the other shard has %d rows", at, state)
		}
		s.close()
		if last {
			break
		}
	}
	if len(outcomes) != 3 {
		t.Error(fmt.Sprint("outcomes: ", outcomes))
	}
}
