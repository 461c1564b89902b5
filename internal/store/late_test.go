package store

import (
	"bytes"
	"fmt"
	"testing"

	"tutti/internal/cluster"
	"tutti/internal/keyspace"
)

// lateBatch applies entries of one row of size bytes each to a shard.
func lateBatch(t *testing.T, s *State, shard cluster.ShardID, at Applied, n, size int) (*Batch, Applied) {
	t.Helper()
	b := s.NewBatch()
	for range n {
		w := NewWriteSet(at.Time, size)
		w.Put(append(keyspace.SlotPrefix(nil, int(shard)), fmt.Sprintf("m%09d", at.Index)...), bytes.Repeat([]byte("x"), size))
		var err error
		if at, err = b.Apply(shard, at, at.Index+1, 1, w); err != nil {
			t.Fatal(err)
		}
	}
	return b, at
}

// What comes late of one shard, and of all, is bounded: however much one batch brings, as
// when a follower catches up, a layer holds one entry more than it may, and the rest is in
// the batch of Pebble, which is then large enough to be committed beside the loop.
func TestLayersAreBounded(t *testing.T) {
	s, _ := newTestState(t)
	s.late.max = lateBytes
	const entries, size = 2000, 4 << 10
	for shard := range cluster.ShardID(100) {
		n := entries
		if shard > 0 {
			n = lateBytes / size / 2 // half full
		}
		b, _ := lateBatch(t, s, shard, Applied{}, n, size)
		if most := lateBytes + 2*size; s.late.of(shard).top.Load() != nil && s.late.of(shard).top.Load().bytes > most {
			t.Errorf("the layer of shard %d has %d bytes, at most %d are due", shard, s.late.of(shard).top.Load().bytes, most)
		}
		if shard == 0 && b.Bytes() < entries*size-lateBytes {
			t.Errorf("%d bytes in the batch, of %d", b.Bytes(), entries*size)
		}
		if err := b.Commit(); err != nil {
			t.Fatal(err)
		}
		if total := s.late.total.Load(); total > lateTotal+lateBytes {
			t.Fatalf("%d bytes are late", total)
		}
	}
	if total := s.late.total.Load(); total < lateTotal/2 {
		t.Errorf("%d bytes are late: nothing was", total)
	}
	mustSettle(t, s)
	if total := s.late.total.Load(); total != 0 {
		t.Errorf("%d bytes are late after all was settled", total)
	}
}

// Rows of replies that are removed before their layer is committed never reach Pebble, and
// one that is written again is put once.
func TestWhatPassesIsNotWritten(t *testing.T) {
	s, _ := newTestState(t)
	s.late.max = lateBytes
	at, counter := Applied{Index: 10, Term: 1}, append(keyspace.SlotPrefix(nil, 1), "mcounter"...)
	for i := uint64(11); i <= 110; i++ {
		b, w := s.NewBatch(), NewWriteSet(at.Time, 0)
		w.Put(counter, fmt.Append(nil, i))
		w.Put(RepliesRow(testShard, 1, i), []byte("reply"))
		if i > 11 {
			w.Delete(RepliesRow(testShard, 1, i-1))
		}
		var err error
		if at, err = b.Apply(testShard, at, i, 1, w); err == nil {
			err = b.Commit()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	late := s.late.of(testShard)
	b := s.NewBatch()
	b.shards = append(b.shards, target{id: testShard, late: late, top: late.top.Load()})
	if err := b.shards[0].settle(b.b); err != nil {
		t.Fatal(err)
	}
	if n := b.b.Count(); n != 3 { // the counter, the last reply, the applied row
		t.Errorf("%d rows are written", n)
	}
	if err := b.Commit(); err != nil {
		t.Fatal(err)
	}
	if val, ok, err := s.Get(counter, nil); string(val) != "110" || !ok || err != nil {
		t.Errorf("the counter is %q, %v, %v", val, ok, err)
	}
}

// After a walk entries go to Pebble at once for a while, then late again.
func TestWalkedRowsAreNotLate(t *testing.T) {
	s, _ := newTestState(t)
	s.late.max = lateBytes
	at := Applied{Index: 10, Term: 1}
	late := func() bool {
		var b *Batch
		if b, at = lateBatch(t, s, testShard, at, 1, 10); b.Commit() != nil {
			t.Fatal("commit")
		}
		top := s.late.of(testShard).top.Load()
		return top != nil && !top.empty()
	}
	if !late() {
		t.Error("nothing is late before the walk")
	}
	for _, walk := range []func() (keyspace.Iterator, error){
		func() (keyspace.Iterator, error) {
			v := s.View(testShard, at, nil, func() {})
			t.Cleanup(v.Release)
			return v.Iter([]byte{1}, []byte{2})
		},
		func() (keyspace.Iterator, error) {
			return s.Newest(testShard, at.Index).Iter([]byte{1}, []byte{2})
		},
	} {
		it, err := walk()
		if err != nil || !it.First() {
			t.Fatalf("the walk finds nothing, %v", err)
		}
		if err := it.Close(); err != nil {
			t.Fatal(err)
		}
		for i := range walkedFor {
			if late() {
				t.Errorf("batch %d behind a walk is late", i)
			}
		}
		if !late() {
			t.Error("nothing is late long after a walk")
		}
	}
}
