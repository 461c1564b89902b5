package store

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync/atomic"
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

// As soon as an order is wanted, rows that come are put between those that are there.
func TestLayerStaysInOrder(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	l := &layer{total: new(atomic.Int64)}
	l.refs.Store(1)
	want := make(map[string]bool)
	for round := range 60 {
		l.begin(0)
		for range random.IntN(1 + round*round%40) {
			row := fmt.Appendf(nil, "row%d", random.IntN(5000)) // more than eight bytes or less
			want[string(row)] = true
			l.write(version{index: uint64(round), row: row, put: true})
		}
		l.end()
		var got []string
		for _, v := range l.between(uint64(round), nil, []byte{0xff}) {
			got = append(got, string(v.row))
		}
		if !slices.Equal(got, slices.Sorted(maps.Keys(want))) {
			t.Fatalf("round %d: rows %q", round, got)
		}
	}
	if len(want) < 300 {
		t.Errorf("%d rows", len(want))
	}
}
