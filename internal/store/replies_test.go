package store

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	pb "go.etcd.io/raft/v3/raftpb"

	"tutti/internal/cluster"
)

// What a shard keeps of its sessions is found whatever was written, removed and flushed
// in between, and whether or not it was known before where it is.
func TestSessionRows(t *testing.T) {
	const shard = 7
	for _, known := range []bool{true, false} {
		t.Run(fmt.Sprintf("known %t", known), func(t *testing.T) {
			s := replyState(t, shard)
			if known {
				if err := errors.Join(s.Settle(shard), s.LookThrough(shard)); err != nil {
					t.Fatal(err)
				}
			}
			var at Applied
			var want []string
			for i := uint64(1); i <= 500; i++ {
				w := NewWriteSet(1, 64)
				session := i%3 + 1
				w.Put(RepliesRow(shard, session, i), []byte{byte(i)})
				w.Put(RepliesRow(shard+1, session, i), []byte("another shard's"))
				w.Put(SessionRow(shard, session), be.AppendUint64(nil, i))
				if i > 30 && (i-30)%100 != 0 { // some stay behind later ones
					w.Delete(RepliesRow(shard, (i-30)%3+1, i-30))
				} else if i > 30 {
					want = append(want, fmt.Sprintf("r %d %d", (i-30)%3+1, i-30))
				}
				if i > 470 {
					want = append(want, fmt.Sprintf("r %d %d", session, i))
				}
				if i > 497 {
					want = append(want, fmt.Sprintf("s %d", session))
				}
				b := s.NewBatch()
				var err error
				if at, err = b.Apply(shard, at, i, 1, w); err == nil {
					err = b.Commit()
				}
				if err == nil && i == 250 {
					err = s.db.Flush()
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			slices.Sort(want)
			if got := sessionRows(t, s, shard, at); !slices.Equal(got, want) {
				t.Errorf("%q, want %q", got, want)
			}
			// What is looked for again is the same.
			if err := errors.Join(s.Settle(shard), s.LookThrough(shard)); err != nil {
				t.Fatal(err)
			}
			if got := sessionRows(t, s, shard, at); !slices.Equal(got, want) {
				t.Errorf("looked for again: %q, want %q", got, want)
			}
		})
	}
}

// To begin to lead costs what is there, not what was: the rows that were removed, and the
// older forms of those that are written again, are not passed one by one.
func TestSessionRowsCostWhatIsThere(t *testing.T) {
	const shard, entries = 7, 5000
	s := replyState(t, shard)
	if err := s.LookThrough(shard); err != nil {
		t.Fatal(err)
	}
	var at Applied
	for i := uint64(1); i <= entries; i++ {
		w := NewWriteSet(1, 64)
		w.Put(RepliesRow(shard, 1, i), []byte("reply"))
		w.Put(SessionRow(shard, 1), be.AppendUint64(nil, i))
		w.Delete(RepliesRow(shard, 1, i-1))
		b := s.NewBatch()
		var err error
		if at, err = b.Apply(shard, at, i, 1, w); err == nil {
			err = b.Commit()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	v := s.View(shard, at, nil, func() {})
	defer v.Release()
	rows := 0
	passed, err := v.sessionRows(func(byte, []byte, []byte) error { rows++; return nil })
	if err != nil || rows != 2 {
		t.Fatalf("%d rows, %v", rows, err)
	}
	if passed > 100 {
		t.Errorf("%d entries of memtables and tables were passed for %d rows", passed, rows)
	}
}

func replyState(t *testing.T, shard cluster.ShardID) *State {
	s, err := OpenState(Config{FS: vfs.NewMem(), Dir: "node"})
	if err == nil {
		t.Cleanup(func() { _ = s.Close() })
		err = s.Create(cluster.Descriptor{ID: shard}, Applied{}, &pb.ConfState{})
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// sessionRows lists them, sorted.
func sessionRows(t *testing.T, s *State, shard cluster.ShardID, at Applied) (list []string) {
	v := s.View(shard, at, nil, func() {})
	defer v.Release()
	if err := v.SessionRows(func(kind byte, key, val []byte) error {
		text := fmt.Sprintf("%c", kind)
		for ; len(key) > 0; key = key[8:] {
			text += fmt.Sprintf(" %d", be.Uint64(key))
		}
		list = append(list, text)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	slices.Sort(list)
	return list
}
