package store

import (
	"errors"
	"fmt"
	"math"

	"github.com/cockroachdb/pebble/v2"
	pb "go.etcd.io/raft/v3/raftpb"

	"tutti/internal/cluster"
)

// Replicas come to a node and leave it while it runs. The log store says which
// are here: creation ends with a row there, and removal begins with one, so a
// crash in the middle of either is finished, or undone, at the next opening.

// Create writes the first log of a replica: empty, starting behind a position
// that all replicas of the shard agree on; zero for one that is to learn
// everything from the others. It refuses to overwrite, and to make a replica
// that was dropped here: it may have promised what nobody remembers.
func (l *Log) Create(shard cluster.ShardID, replica cluster.ReplicaID, index, term uint64) error {
	if _, here, err := l.readReplica(shard, rowReplica); here || err != nil {
		return errors.Join(err, fmt.Errorf("shard %d has a log here", shard))
	}
	gone, err := l.Gone(shard)
	if err != nil {
		return err
	}
	if replica <= gone {
		return fmt.Errorf("replica %d of shard %d was dropped here before", replica, shard)
	}
	l.do(&Append{Shard: shard, create: true, replica: replica, reset: &position{index, term},
		Hard: &pb.HardState{Term: new(term), Vote: new(uint64(0)), Commit: new(index)}})
	return nil
}

// Here returns the replica of a shard whose log is here, 0 if none.
func (l *Log) Here(shard cluster.ShardID) (cluster.ReplicaID, error) {
	id, _, err := l.readReplica(shard, rowReplica)
	return id, err
}

// Gone returns the newest replica of a shard that was dropped here, 0 if none.
func (l *Log) Gone(shard cluster.ShardID) (cluster.ReplicaID, error) {
	id, _, err := l.readReplica(shard, rowGone)
	return id, err
}

// Replicas returns the replicas that are here. Those that were being dropped
// when the node ended are in dropping: Drop is to be called for them again.
func (l *Log) Replicas() (here, dropping map[cluster.ShardID]cluster.ReplicaID, err error) {
	here, dropping = make(map[cluster.ShardID]cluster.ReplicaID), make(map[cluster.ShardID]cluster.ReplicaID)
	db, done := l.use()
	defer done()
	it, err := db.NewIter(nil)
	if err != nil {
		return nil, nil, err
	}
	defer it.Close()
	for ok := it.First(); ok; {
		if len(it.Key()) < 9 {
			return nil, nil, fmt.Errorf("%w: row %x of the log", ErrDamaged, it.Key())
		}
		shard := cluster.ShardID(be.Uint64(it.Key()))
		id, ok1, err1 := l.readReplica(shard, rowReplica)
		gone, ok2, err2 := l.readReplica(shard, rowDropping)
		if err := errors.Join(err1, err2); err != nil {
			return nil, nil, err
		}
		switch {
		case ok2:
			dropping[shard] = gone
		case ok1:
			here[shard] = id
		}
		if shard == math.MaxUint64 {
			break
		}
		ok = it.SeekGE(logRow(nil, shard+1, 0)[:8])
	}
	if err := it.Error(); err != nil {
		return nil, nil, damage(err)
	}
	// What was vowed for has a row: it came before the vow, and goes after it.
	for _, shard := range l.vow.shards() {
		if here[shard] == 0 && dropping[shard] == 0 {
			return nil, nil, fmt.Errorf("%w: there was a replica of shard %d, and its log is gone", ErrDamaged, shard)
		}
	}
	return here, dropping, nil
}

// Drop removes a replica: its rows in both stores, its log, what was vowed for
// it. It is durable on return, and may be called again after a crash. slots are
// those it owned. Nobody may use the shard's log or a view of it.
func Drop(l *Log, s *State, shard cluster.ShardID, replica cluster.ReplicaID, slots cluster.SlotRange) error {
	l.do(&Append{Shard: shard, dropping: true, replica: replica})
	if err := s.Drop(shard, slots); err != nil {
		return err
	}
	if err := l.vow.forget(shard); err != nil {
		return err
	}
	l.do(&Append{Shard: shard, dropped: true, replica: replica})
	return nil
}

// addDropped puts the removal of a shard's log into the batch. What is left is
// who must not come back.
func (l *Log) addDropped(b *pebble.Batch, a *Append) error {
	delete(l.last, a.Shard)
	delete(l.hard, a.Shard)
	gone, err := l.Gone(a.Shard)
	if err != nil {
		return err
	}
	for _, kind := range []byte{rowHard, rowFront, rowInstall, rowReplica, rowDropping} {
		if err := b.Delete(logRow(nil, a.Shard, kind), nil); err != nil {
			return err
		}
	}
	return errors.Join(
		b.DeleteRange(entryRow(nil, a.Shard, 0), entryRow(nil, a.Shard, math.MaxUint64), nil),
		b.Set(logRow(nil, a.Shard, rowGone), encodeReplica(max(gone, a.replica)), nil))
}

func encodeReplica(id cluster.ReplicaID) []byte { return sealed(be.AppendUint64(nil, uint64(id))) }

func (l *Log) readReplica(shard cluster.ShardID, kind byte) (cluster.ReplicaID, bool, error) {
	b, err := l.read(logRow(nil, shard, kind), 8)
	if b == nil || err != nil {
		return 0, false, err
	}
	return cluster.ReplicaID(be.Uint64(b)), true, nil
}
