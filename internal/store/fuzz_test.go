package store

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	pb "go.etcd.io/raft/v3/raftpb"

	"tutti/internal/cluster"
	"tutti/internal/keyspace"
)

// FuzzDecodeEntry reads a row of the raft log: as the entry that would be
// written so, or not at all.
func FuzzDecodeEntry(f *testing.F) {
	e := &pb.Entry{Index: new(uint64(7)), Term: new(uint64(3)), Type: new(pb.EntryNormal), Data: []byte("data")}
	f.Add(uint64(7), encodeEntry(nil, e), false)
	f.Add(uint64(8), encodeEntry(nil, e), false)
	f.Add(uint64(0), []byte{byte(pb.EntryConfChangeV2), 0, 0, 0, 0, 0, 0, 0, 1}, true)
	f.Fuzz(func(t *testing.T, index uint64, val []byte, sum bool) {
		if sum { // a random checksum is never right
			val = append(be.AppendUint32(nil, entrySum(index, val)), val...)
		}
		e, err := decodeEntry(index, val)
		if err != nil {
			return
		}
		if e.GetIndex() != index || !bytes.Equal(encodeEntry(nil, e), val) {
			t.Errorf("%x is read as %v", val, e)
		}
		if _, err := decodeEntry(index+1, val); err == nil {
			t.Errorf("%x is read at another index", val)
		}
	})
}

// FuzzUnseal reads the small rows and files that are a checksum and fields.
func FuzzUnseal(f *testing.F) {
	f.Add(encodeHard(&pb.HardState{Term: new(uint64(1)), Vote: new(uint64(2)), Commit: new(uint64(3))}), uint16(24))
	f.Add(encodePosition(position{4, 5}), uint16(16))
	f.Add([]byte{}, uint16(0))
	f.Fuzz(func(t *testing.T, b []byte, size uint16) {
		body, err := unseal(b, int(size))
		if err == nil && (len(body) != int(size) || !bytes.Equal(sealed(body), b)) {
			t.Errorf("%x is read as %x", b, body)
		}
	})
}

func FuzzDecodeApplied(f *testing.F) {
	f.Add(Applied{1, 2, -3, 4}.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if a, err := decodeApplied(b); err == nil && !bytes.Equal(a.encode(), b) {
			t.Errorf("%x is read as %+v", b, a)
		}
	})
}

func FuzzDecodeStarts(f *testing.F) {
	f.Add(encodeStarts(map[cluster.NodeID]Start{1: {2, 3}, 4: {5, 6}})[4:])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, body []byte) {
		b := sealed(body)
		if known, err := decodeStarts(b); err == nil && !bytes.Equal(encodeStarts(known), b) {
			t.Errorf("%x is read as %v", b, known)
		}
	})
}

// FuzzCounters opens any counters file: a start counts one more than it says,
// and ids never come twice.
func FuzzCounters(f *testing.F) {
	f.Add(be.AppendUint64(be.AppendUint64(be.AppendUint64(nil, 41), 3*idBlock), 1))
	f.Add(make([]byte, 16))
	f.Add(make([]byte, 24))
	f.Fuzz(func(t *testing.T, b []byte) {
		cfg := Config{FS: vfs.NewMem(), Dir: "/"}
		if err := WriteTwice(cfg.FS, "/", CountersFile, countersVersion, b); err != nil {
			t.Fatal(err)
		}
		c, err := OpenCounters(cfg, 1, false)
		if err != nil {
			return
		}
		if len(b) != countersBytes || c.Incarnation != be.Uint64(b)+1 || c.next != be.Uint64(b[8:]) {
			t.Fatalf("%x is read as start %d, id %d", b, c.Incarnation, c.next)
		}
		id := c.NewID()
		c, err = OpenCounters(cfg, 1, false)
		if used := be.Uint64(b[8:]) + idFirst; errors.Is(err, ErrFormat) && (used >= 1<<idCounterBits-idBlock || be.Uint64(b)+1 >= incarnationMax) {
			return // the last block of ids, or the last start
		}
		if err != nil || c.NewID() == id {
			t.Errorf("after another start: id %d again, %v", id, err)
		}
	})
}

func fuzzState(t testing.TB) *State {
	s, err := OpenState(Config{FS: vfs.NewMem(), Dir: "/", Small: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// missing is an error if the batch, or what is late of it, has not what the rows of a
// write set are in the end.
func missing(s *State, b *Batch, w WriteSet) error {
	rows := make(map[string][]byte)
	if err := w.Each(func(row, val []byte) error {
		rows[string(row)] = val
		return nil
	}, func(row []byte) error {
		rows[string(row)] = nil
		return nil
	}); err != nil {
		return err
	}
	if err := errors.Join(b.shards[0].settle(b.b), s.db.Apply(b.b, pebble.NoSync)); err != nil {
		return err
	}
	delete(rows, string(AppliedRow(1)))
	for row, want := range rows {
		if got, ok, err := s.Get([]byte(row), nil); err != nil || ok != (want != nil) || !bytes.Equal(got, want) {
			return fmt.Errorf("row %q is %q, %v, %w", row, got, ok, err)
		}
	}
	return nil
}

// FuzzApply applies any bytes as a write set: all of its rows are then there,
// or it fails.
func FuzzApply(f *testing.F) {
	w := NewWriteSet(7, 0)
	w.Put(append(keyspace.SlotPrefix(nil, 3), 'm'), []byte("val"))
	w.Put(DatabasesRow(1), keyspace.NewDatabases().Encode())
	w.Delete([]byte("gone"))
	f.Add([]byte(w))
	f.Add([]byte(NewWriteSet(0, 0)))
	s := fuzzState(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		b := s.NewBatch()
		defer b.b.Close()
		defer s.late.forget(1)
		at := Applied{Index: 9, Term: 1, Time: math.MinInt64, Hash: 1}
		got, err := b.Apply(1, at, 10, 2, data)
		if err != nil || len(data) == 0 {
			return
		}
		want, err := rowsOf(WriteSet(data).Each)
		if err != nil {
			t.Fatal(err)
		}
		n := int(b.b.Count())
		if top := s.late.of(1).top.Load(); !b.shards[0].settled {
			n = len(top.list)
		}
		if n > len(want)+1 { // and the applied row
			t.Errorf("%d operations of %d rows", n, len(want))
		}
		if err := missing(s, b, data); err != nil {
			t.Error(err)
		}
		if got.Index != 10 || got.Term != 2 || got.Time != WriteSet(data).Time() || got.Hash == at.Hash {
			t.Errorf("applied %+v", got)
		}
	})
}

// FuzzReceive receives any rows as a snapshot. What is taken is installed
// exactly; rows of others, twice the same, or out of order are refused.
func FuzzReceive(f *testing.F) {
	row := append(keyspace.SlotPrefix(nil, 3), 'm')
	chunk := AppendRow(nil, localRow(1, localApplied), Applied{12, 2, 5, 9}.encode())
	chunk = AppendRow(chunk, DatabasesRow(1), keyspace.NewDatabases().Encode())
	f.Add(AppendRow(chunk, row, []byte("val")))
	f.Add(AppendRow(AppendRow(nil, row, nil), row, nil))
	f.Add(AppendRow(AppendRow(nil, []byte{1, 9, 9}, nil), row, nil))
	f.Add(AppendRow(nil, localRow(2, localApplied), nil))
	s := fuzzState(f)
	f.Fuzz(func(t *testing.T, chunk []byte) {
		in, err := s.Receive(1, 1, cluster.AllSlots)
		if err != nil {
			t.Fatal(err)
		}
		want := make(map[string]string)
		err = EachRow(chunk, func(row, val []byte) error {
			err := in.Add(row, val)
			if err == nil {
				want[string(row)] = string(val)
			}
			return err
		})
		if err != nil {
			if err := in.Discard(); err != nil {
				t.Fatal(err)
			}
			return
		}
		if err := in.Finish(); err != nil {
			t.Fatal(err)
		}
		at, err := in.Install()
		if err != nil {
			if len(want[string(localRow(1, localApplied))]) == 32 {
				t.Fatal(err)
			}
			return
		}
		v := s.View(1, at, nil, func() {})
		defer v.Release()
		got := 0
		if err := v.Rows(cluster.AllSlots, func(row, val []byte) error {
			got++
			if w, ok := want[string(row)]; !ok || w != string(val) {
				t.Errorf("row %x is %x, want %x", row, val, w)
			}
			return nil
		}); err != nil || got != len(want) {
			t.Errorf("%d rows of %d, %v", got, len(want), err)
		}
	})
}
