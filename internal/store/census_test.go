package store

import (
	"bytes"
	"errors"
	"testing"

	pb "go.etcd.io/raft/v3/raftpb"

	"tutti/internal/cluster"
	"tutti/internal/keyspace"
)

// A census is paced by all that it reads: the values lie between the keys.
func TestCensusIsPacedByWhatItReads(t *testing.T) {
	const rows, value = 20, 32 << 10
	_, fs := newTestState(t)
	cfg := testConfig(fs)
	cfg.Dir, cfg.RowBytes = "/census", 1<<20 // a filter takes up to a quarter
	s, err := OpenState(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Create(cluster.Descriptor{ID: testShard, Slots: cluster.AllSlots}, Applied{Index: 10, Term: 1}, &pb.ConfState{Voters: []uint64{1}}); err != nil {
		t.Fatal(err)
	}
	w := NewWriteSet(1, rows*value)
	for i := range rows {
		w.Put(append(keyspace.SlotPrefix(nil, 3), 'm', 'x', byte(i)), bytes.Repeat([]byte{byte(i)}, value))
	}
	b := s.NewBatch()
	at, err := b.Apply(testShard, Applied{Index: 10, Term: 1}, 11, 1, w)
	if err := errors.Join(err, b.Commit(), s.Settle(testShard)); err != nil {
		t.Fatal(err)
	}
	v := s.View(testShard, at, keyspace.NewDatabases(), func() {})
	defer v.Release()
	v.Owned.Slots = cluster.AllSlots
	c := v.Census()
	if c == nil {
		t.Fatal("no census is due")
	}
	read, pieces := 0, 0
	for end := false; !end; pieces++ {
		if end, err = c.Piece(v, 4*value, func(n int) bool { read += n; return true }); err != nil {
			t.Fatal(err)
		}
	}
	if read < rows*value || pieces < rows/5 {
		t.Errorf("%d bytes of rows of %d were paced, in %d pieces", read, rows*value, pieces)
	}
}
