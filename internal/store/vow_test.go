package store

import (
	"errors"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	pb "go.etcd.io/raft/v3/raftpb"

	"tutti/internal/cluster"
	"tutti/internal/durable"
)

const vowName = "node/vow"

// newTestVow opens a vow on fs that nobody writes in the background.
func newTestVow(t *testing.T, fs vfs.FS) *vow {
	if err := fs.MkdirAll(testDir, 0o755); err != nil {
		t.Fatal(err)
	}
	v, err := openVow(fs, vowName, nil, func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func (v *vow) set(shard cluster.ShardID, p promise) {
	v.mu.Lock()
	v.state[shard] = p
	v.mu.Unlock()
}

// TestVowAlternates tears the newest record at every length, and finds the one
// before it.
func TestVowAlternates(t *testing.T) {
	fs := vfs.NewMem()
	v := newTestVow(t, fs)
	for i := range uint64(5) {
		v.set(1, promise{i, i, 100 + i, i})
		v.set(2, promise{i, 0, 200 + i, 1})
		if err := v.write(); err != nil {
			t.Fatal(err)
		}
	}
	before, err := readFile(fs, vowName)
	if err != nil {
		t.Fatal(err)
	}
	v.set(1, promise{9, 9, 300, 9})
	if err := v.write(); err != nil {
		t.Fatal(err)
	}
	after, err := readFile(fs, vowName)
	if err != nil {
		t.Fatal(err)
	}
	at := int(v.seq%2) * vowRecord
	if string(after[vowRecord-at:][:vowHead]) != string(before[vowRecord-at:][:vowHead]) {
		t.Error("the older record was touched")
	}
	for n := range vowHead + 2*vowShard + 1 {
		torn := append([]byte(nil), before...)
		copy(torn[at:], after[at:at+n])
		whole := string(torn) == string(after)
		if err := durable.Replace(fs, vowName, torn, 0); err != nil { // which may spoil torn
			t.Fatal(err)
		}
		w := &vow{state: make(map[cluster.ShardID]promise)}
		if w.file, err = fs.OpenReadWrite(vowName, vfs.WriteCategoryUnspecified); err != nil {
			t.Fatal(err)
		}
		if err := w.load(); err != nil {
			t.Fatal(err)
		}
		want := uint64(104)
		if whole {
			want = 300
		}
		if w.state[1].index != want || w.state[2].index != 204 {
			t.Errorf("with %d bytes of the new record the vow is %v", n, w.state)
		}
		w.file.Close()
	}
	if err := v.close(); err != nil {
		t.Fatal(err)
	}
}

func TestVowDamage(t *testing.T) {
	for _, c := range []struct {
		name    string
		written int   // records
		flip    []int // of these records, by age
		want    uint64
		damaged bool
	}{
		{"none", 0, nil, 0, false},
		{"first one torn", 1, []int{0}, 0, false},
		{"older of two", 2, []int{1}, 2, false},
		{"newer of two", 2, []int{0}, 1, false},
		{"both", 2, []int{0, 1}, 0, true},
		{"both of many", 7, []int{0, 1}, 0, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			fs := vfs.NewMem()
			v := newTestVow(t, fs)
			for i := range uint64(c.written) {
				v.set(1, promise{1, 1, i + 1, 1})
				if err := v.write(); err != nil {
					t.Fatal(err)
				}
			}
			data, err := readFile(fs, vowName)
			if err != nil {
				t.Fatal(err)
			}
			for _, age := range c.flip {
				data = flip(data, 8*(int(v.seq+uint64(age))%2*vowRecord+vowHead+3))
			}
			if err := errors.Join(v.close(), durable.Replace(fs, vowName, data, 0)); err != nil {
				t.Fatal(err)
			}
			w, err := openVow(fs, vowName, nil, nil)
			if c.damaged {
				if !errors.Is(err, ErrDamaged) {
					t.Errorf("opening says %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := w.index(1); got != c.want {
				t.Errorf("the vow is %d, want %d", got, c.want)
			}
			if err := w.close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func FuzzDecodeVow(f *testing.F) {
	fs := vfs.NewMem()
	_ = fs.MkdirAll(testDir, 0o755)
	v := &vow{state: map[cluster.ShardID]promise{1: {1, 2, 3, 4}}}
	v.file, _ = fs.OpenReadWrite(vowName, vfs.WriteCategoryUnspecified)
	_ = v.write()
	data, _ := readFile(fs, vowName)
	f.Add(data[vowRecord:])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, state, ok := decodeVow(b); ok && len(state) > len(b)/vowShard {
			t.Errorf("%d shards in %d bytes", len(state), len(b))
		}
	})
}

// TestVowKeepsVotes loses the hard state from the log store, with and without
// the term in it: a replica must not vote twice.
func TestVowKeepsVotes(t *testing.T) {
	for _, c := range []struct {
		name  string
		older []byte
	}{
		{"all of it", nil},
		{"the vote", encodeHard(&pb.HardState{Term: new(uint64(6)), Vote: new(uint64(0)), Commit: new(uint64(10))})},
		{"the term", encodeHard(&pb.HardState{Term: new(uint64(3)), Vote: new(uint64(1)), Commit: new(uint64(10))})},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newTestLog(t)
			l.append(11, 12, 2)
			l.log.do(&Append{Shard: testShard, Hard: &pb.HardState{Term: new(uint64(6)), Vote: new(uint64(3)), Commit: new(uint64(10))}})
			// The vow is durable before the vote leaves, not at the next clean stop.
			if err := l.crash(); err != nil {
				t.Fatal(err)
			}
			err := l.reopen(func(db *pebble.DB) {
				row := logRow(nil, testShard, rowHard)
				if c.older == nil {
					err := db.Delete(row, pebble.Sync)
					if err != nil {
						t.Fatal(err)
					}
				} else if err := db.Set(row, c.older, pebble.Sync); err != nil {
					t.Fatal(err)
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			if hs := l.shard.hard; hs.GetTerm() != 6 || hs.GetVote() != 3 {
				t.Errorf("term %d, vote %d", hs.GetTerm(), hs.GetVote())
			}
		})
	}
}

// TestVowIsFinal checks that a clean stop vows for all that was appended.
func TestVowIsFinal(t *testing.T) {
	l := newTestLog(t)
	for i := range uint64(40) {
		l.append(11+i, 11+i, 2)
	}
	if err := l.log.Close(); err != nil {
		t.Fatal(err)
	}
	v := newTestVow(t, l.fs)
	if p, _ := v.get(testShard); p != (promise{2, 2, 50, 2}) {
		t.Errorf("the vow is %v", p)
	}
	if err := v.close(); err != nil {
		t.Fatal(err)
	}
	l.mustOpen()
}
