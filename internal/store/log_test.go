package store

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"

	"tutti/internal/cluster"
	"tutti/internal/durable"
)

// testLog is a log store with one shard open, on a disk that can crash.
type testLog struct {
	t     *testing.T
	fs    *vfs.MemFS
	log   *Log
	shard *ShardLog
	fatal func(err error) // nil: panic
}

// newTestLog creates a log that starts behind entry 10 of term 1.
func newTestLog(t *testing.T) *testLog {
	l := &testLog{t: t, fs: vfs.NewCrashableMem()}
	if err := errors.Join(l.fs.MkdirAll(testDir, 0o755), durable.SyncDir(l.fs, "/")); err != nil {
		t.Fatal(err)
	}
	log, err := OpenLog(testConfig(l.fs))
	if err != nil {
		t.Fatal(err)
	}
	if err := log.Create(testShard, 1, 10, 1); err != nil {
		t.Fatal(err)
	}
	if err := log.Create(testShard, 1, 10, 1); err == nil {
		t.Error("a log was created twice")
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	l.mustOpen()
	t.Cleanup(func() { l.log.Close() })
	return l
}

func (l *testLog) open() (err error) {
	cfg := testConfig(l.fs)
	cfg.Fatal = l.fatal
	if l.log, err = OpenLog(cfg); err != nil {
		return err
	}
	front, _, err := l.log.readPosition(testShard, rowFront) // as far as the state is durable
	if err != nil {
		return err
	}
	l.shard, err = l.log.Shard(testShard, max(front.index, 10), max(front.term, 1), &pb.ConfState{})
	return err
}

func (l *testLog) mustOpen() {
	l.t.Helper()
	if err := l.open(); err != nil {
		l.t.Fatal(err)
	}
}

// reopen closes the store cleanly, lets change meddle with the closed one, and
// opens it.
func (l *testLog) reopen(change func(db *pebble.DB)) error {
	l.t.Helper()
	if err := l.log.Close(); err != nil {
		l.t.Fatal(err)
	}
	if change != nil {
		db, err := pebble.Open(l.fs.PathJoin(testDir, "log"), &pebble.Options{FS: l.fs, FormatMajorVersion: pebble.FormatNewest, Logger: pebbleLogger{testConfig(l.fs).Logger, nil}})
		if err != nil {
			l.t.Fatal(err)
		}
		change(db)
		if err := db.Close(); err != nil {
			l.t.Fatal(err)
		}
	}
	return l.open()
}

// crash goes on with what a power cut leaves.
func (l *testLog) crash() error {
	clone := l.fs.CrashClone(vfs.CrashCloneCfg{})
	if err := l.log.Close(); err != nil {
		l.t.Fatal(err)
	}
	l.fs = clone
	return l.open()
}

func (l *testLog) append(first, last, term uint64) {
	list := entriesFrom(first, last, term)
	l.log.do(&Append{Shard: testShard, Entries: list, Hard: &pb.HardState{Term: new(term), Vote: new(uint64(2)), Commit: new(uint64(10))}})
	l.shard.Appended(list)
}

// terms returns the terms of all entries, as text.
func (l *testLog) terms() string {
	var out []uint64
	for i := l.shard.front.index + 1; i <= l.shard.last; i++ {
		t, err := l.shard.Term(i)
		if err != nil {
			l.t.Fatal(err)
		}
		out = append(out, t)
	}
	return fmt.Sprint(l.shard.front.index, out)
}

func TestLog(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(l *testLog)
		want string
	}{
		{"empty", func(*testLog) {}, "10 []"},
		{"append", func(l *testLog) { l.append(11, 13, 2) }, "10 [2 2 2]"},
		{"append twice", func(l *testLog) { l.append(11, 12, 2); l.append(13, 13, 3) }, "10 [2 2 3]"},
		{"replace the end", func(l *testLog) { l.append(11, 14, 2); l.append(13, 14, 3) }, "10 [2 2 3 3]"},
		{"replace by fewer", func(l *testLog) { l.append(11, 19, 2); l.append(12, 12, 3) }, "10 [2 3]"},
		{"replace all", func(l *testLog) { l.append(11, 19, 2); l.append(11, 11, 3) }, "10 [3]"},
		{"replace after a start", func(l *testLog) {
			l.append(11, 19, 2)
			if err := l.reopen(nil); err != nil {
				l.t.Fatal(err)
			}
			l.append(12, 12, 3)
		}, "10 [2 3]"},
		{"truncate", func(l *testLog) {
			l.append(11, 14, 2)
			if err := errors.Join(l.shard.Truncate(12), l.shard.Truncate(11)); err != nil {
				l.t.Fatal(err)
			}
		}, "12 [2 2]"},
		{"truncate all and append", func(l *testLog) {
			l.append(11, 14, 2)
			if err := l.shard.Truncate(14); err != nil {
				l.t.Fatal(err)
			}
			l.append(15, 15, 4)
		}, "14 [4]"},
		{"snapshot", func(l *testLog) {
			l.append(11, 14, 2)
			l.shard.StartInstall(30, 5)
			l.shard.Installed(30, 5, &pb.HardState{Term: new(uint64(5)), Commit: new(uint64(30))})
			l.append(31, 32, 6)
		}, "30 [6 6]"},
		{"snapshot below the end", func(l *testLog) {
			l.append(11, 40, 2)
			l.shard.StartInstall(30, 5)
			l.shard.Installed(30, 5, &pb.HardState{Term: new(uint64(5)), Commit: new(uint64(30))})
		}, "30 []"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newTestLog(t)
			c.do(l)
			if got := l.terms(); got != c.want {
				t.Errorf("log is %s, want %s", got, c.want)
			}
			if err := l.reopen(nil); err != nil {
				t.Fatal(err)
			}
			if got := l.terms(); got != c.want {
				t.Errorf("after a start the log is %s, want %s", got, c.want)
			}
		})
	}
}

// TestLogManyWaiters checks that appends of many shards share writes, keep
// their order, and are all reported done.
func TestLogManyWaiters(t *testing.T) {
	l := newTestLog(t)
	const shards, each = 9, 50
	done := make(chan cluster.ShardID, shards*each)
	for i := range uint64(each) {
		for shard := cluster.ShardID(100); shard < 100+shards; shard++ {
			l.log.Append(&Append{Shard: shard, Entries: entriesFrom(i+1, i+1, 1), Done: func() { done <- shard }})
		}
	}
	for range shards * each {
		<-done
	}
	for shard := cluster.ShardID(100); shard < 100+shards; shard++ {
		s, err := l.log.Shard(shard, 0, 0, nil)
		if err != nil || s.last != each {
			t.Errorf("shard %d ends at %d, %v", shard, s.last, err)
		}
	}
}

// TestCommitAlone checks that a commit index without anything else costs no
// write of its own and is not lost at a clean stop.
func TestCommitAlone(t *testing.T) {
	l := newTestLog(t)
	l.append(11, 20, 2)
	l.log.Append(&Append{Shard: testShard, Hard: &pb.HardState{Term: new(uint64(2)), Vote: new(uint64(2)), Commit: new(uint64(15))}})
	if err := l.reopen(nil); err != nil {
		t.Fatal(err)
	}
	if got := l.shard.hard.GetCommit(); got != 15 {
		t.Errorf("commit is %d", got)
	}
}

// TestSyncCommit checks that a commit index is durable on return.
func TestSyncCommit(t *testing.T) {
	l := newTestLog(t)
	l.append(11, 20, 2)
	l.log.SyncCommit(testShard, &pb.HardState{Term: new(uint64(2)), Vote: new(uint64(2)), Commit: new(uint64(15))})
	if err := l.crash(); err != nil {
		t.Fatal(err)
	}
	if got := l.shard.hard.GetCommit(); got != 15 {
		t.Errorf("commit is %d", got)
	}
}

// What Beyond returns is followed by more than so many bytes, and by not much more,
// also behind entries that were replaced, a cut, a snapshot and a restart.
func TestBeyond(t *testing.T) {
	l := newTestLog(t)
	size := make(map[uint64]int)
	add := func(from, to uint64, bytes int) {
		list := entriesFrom(from, to, 1)
		for _, e := range list {
			e.Data = make([]byte, bytes)
			size[e.GetIndex()] = bytes
		}
		l.log.do(&Append{Shard: testShard, Entries: list})
		l.shard.Appended(list)
	}
	check := func(what string) {
		t.Helper()
		first, last := l.shard.front.index+1, l.shard.last
		for _, limit := range []uint64{0, 1 << 20, 10 << 20, 40 << 20} {
			got, after := l.shard.Beyond(limit), uint64(0)
			for i := max(first, got+1); i <= last; i++ {
				after += uint64(size[i])
			}
			if got == 0 && after > limit+3*markEvery || got >= first && (after <= limit-min(limit, 1<<16) || after > limit+3*markEvery) {
				t.Errorf("%s: %d bytes follow %d, of %d..%d, asked for %d", what, after, got, first, last, limit)
			}
		}
	}
	check("empty")
	last := l.shard.last
	add(last+1, last+30, 1<<20)
	check("30 of 1 MiB")
	add(last+20, last+21, 2<<20)
	check("the last ten replaced")
	add(last+22, last+400, 40<<10)
	check("small ones")
	if err := l.shard.Truncate(l.shard.Beyond(10 << 20)); err != nil {
		t.Fatal(err)
	}
	check("cut")
	if first := l.shard.front.index; first < last+21 {
		t.Errorf("the cut left all behind %d", first)
	}
	front := l.shard.front
	if err := l.log.Close(); err != nil {
		t.Fatal(err)
	}
	var err error
	if l.log, err = OpenLog(testConfig(l.fs)); err == nil {
		l.shard, err = l.log.Shard(testShard, front.index, front.term, &pb.ConfState{})
	}
	if err != nil {
		t.Fatal(err)
	}
	check("restarted")
	l.shard.StartInstall(2000, 2)
	l.shard.Installed(2000, 2, &pb.HardState{Term: new(uint64(2)), Vote: new(uint64(0)), Commit: new(uint64(2000))})
	check("a snapshot")
	add(2001, 2040, 1<<20)
	check("behind a snapshot")
}

// TestStorageContract does the same to a ShardLog and to raft's own storage in
// memory, and compares what they answer.
func TestStorageContract(t *testing.T) {
	seeds := uint64(6)
	if testing.Short() {
		seeds = 1 // entries of megabytes, which is slow under the race detector
	}
	for seed := range seeds {
		r := rand.New(rand.NewPCG(seed, 2))
		l := newTestLog(t)
		m := raft.NewMemoryStorage()
		snap := func(index, term uint64) *pb.Snapshot {
			return &pb.Snapshot{Metadata: &pb.SnapshotMetadata{Index: &index, Term: &term, ConfState: &pb.ConfState{}}}
		}
		if err := m.ApplySnapshot(snap(10, 1)); err != nil {
			t.Fatal(err)
		}
		term := uint64(1)
		for step := range 150 {
			first, _ := m.FirstIndex()
			last, _ := m.LastIndex()
			switch op := r.IntN(20); {
			case op < 12:
				from := first + r.Uint64N(last-first+2)
				if r.IntN(3) > 0 {
					from = last + 1
				}
				term += r.Uint64N(2)
				list := entriesFrom(from, from+r.Uint64N(6), term)
				if r.IntN(8) == 0 { // beyond what is cached
					list[0].Data = make([]byte, cacheBytesMax/2)
				}
				if err := m.Append(list); err != nil {
					t.Fatal(err)
				}
				l.log.do(&Append{Shard: testShard, Entries: list})
				l.shard.Appended(list)
			case op < 15 && last >= first:
				at := first + r.Uint64N(last-first+1)
				if err := errors.Join(m.Compact(at), l.shard.Truncate(at)); err != nil {
					t.Fatal(err)
				}
			case op == 15:
				at := last + 1 + r.Uint64N(5)
				if last > first && r.IntN(2) == 0 {
					at = first + (last-first)/2 + 1
				}
				term++
				if err := m.ApplySnapshot(snap(at, term)); err != nil {
					t.Fatal(err)
				}
				l.shard.StartInstall(at, term)
				l.shard.Installed(at, term, &pb.HardState{Term: new(term), Vote: new(uint64(0)), Commit: new(at)})
			case op == 17:
				if err := l.log.Rest(t.Context()); err != nil {
					t.Fatal(err)
				}
			case op == 16:
				if err := l.log.Close(); err != nil {
					t.Fatal(err)
				}
				var err error
				if l.log, err = OpenLog(testConfig(l.fs)); err == nil {
					l.shard, err = l.log.Shard(testShard, first-1, 0, &pb.ConfState{})
				}
				if err != nil {
					t.Fatalf("seed %d step %d: %v", seed, step, err)
				}
			}
			compareStorage(t, fmt.Sprintf("seed %d step %d", seed, step), r, l.shard, m)
		}
	}
}

func compareStorage(t *testing.T, at string, r *rand.Rand, s *ShardLog, m *raft.MemoryStorage) {
	t.Helper()
	first, _ := m.FirstIndex()
	last, _ := m.LastIndex()
	if f, _ := s.FirstIndex(); f != first {
		t.Fatalf("%s: first index %d, want %d", at, f, first)
	}
	if l, _ := s.LastIndex(); l != last {
		t.Fatalf("%s: last index %d, want %d", at, l, last)
	}
	for i := first - 2; i <= last+1; i++ {
		got, gotErr := s.Term(i)
		want, wantErr := m.Term(i)
		if got != want || !errors.Is(gotErr, wantErr) {
			t.Fatalf("%s: term of %d is %d, %v; want %d, %v", at, i, got, gotErr, want, wantErr)
		}
	}
	if last < first {
		return
	}
	lo := first + r.Uint64N(last-first+1)
	hi := lo + 1 + r.Uint64N(last-lo+1)
	got, err := s.Entries(lo, hi, 1<<40)
	want, wantErr := m.Entries(lo, hi, 1<<40)
	if err != nil || wantErr != nil || !slices.EqualFunc(got, want, sameEntry) {
		t.Fatalf("%s: entries [%d, %d) are %d, %v; want %d, %v", at, lo, hi, len(got), err, len(want), wantErr)
	}
	if got, err := s.Entries(lo, hi, 0); err != nil || len(got) != 1 {
		t.Fatalf("%s: %d entries, %v, where one is due", at, len(got), err)
	}
	if _, err := s.Entries(first-1, hi, 1); !errors.Is(err, raft.ErrCompacted) {
		t.Fatalf("%s: entries before the first: %v", at, err)
	}
	if _, err := s.Entries(lo, last+2, 1); !errors.Is(err, raft.ErrUnavailable) {
		t.Fatalf("%s: entries behind the last: %v", at, err)
	}
}

func sameEntry(a, b *pb.Entry) bool {
	return a.GetIndex() == b.GetIndex() && a.GetTerm() == b.GetTerm() && a.GetType() == b.GetType() && bytes.Equal(a.GetData(), b.GetData())
}

// TestEntriesOverlap checks what raft's asynchronous storage does: a second
// append replaces entries while the first is not reported done yet.
func TestEntriesOverlap(t *testing.T) {
	l := newTestLog(t)
	one, two := entriesFrom(11, 18, 2), entriesFrom(14, 15, 3)
	l.log.do(&Append{Shard: testShard, Entries: one})
	l.log.do(&Append{Shard: testShard, Entries: two})
	l.shard.Appended(one)
	if got := l.terms(); got != "10 [2 2 2 2 2 2 2 2]" {
		t.Error(got)
	}
	l.shard.Appended(two)
	if got := l.terms(); got != "10 [2 2 2 3 3]" {
		t.Error(got)
	}
}

func flip(b []byte, bit int) []byte {
	b = bytes.Clone(b)
	b[bit/8] ^= 1 << (bit % 8)
	return b
}

// TestDamage flips bits in rows and removes some. Below the vow that is damage;
// past it, a torn write, which is cut off.
func TestDamage(t *testing.T) {
	set := func(t *testing.T, db *pebble.DB, row []byte, change func(val []byte) []byte) {
		val, closer, err := db.Get(row)
		if err != nil {
			t.Fatal(err)
		}
		val = change(val)
		closer.Close()
		if val == nil {
			err = db.Delete(row, pebble.Sync)
		} else {
			err = db.Set(row, val, pebble.Sync)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	gone := func([]byte) []byte { return nil }
	flipped := func(bit int) func([]byte) []byte {
		return func(val []byte) []byte { return flip(val, bit%(8*len(val))) }
	}
	type damage struct {
		name   string
		row    []byte
		change func([]byte) []byte
		vow    uint64 // lowered to it, 0: as it is
		want   string // the terms then; empty: damaged
	}
	list := []damage{
		{"entry gone below the vow", entryRow(nil, testShard, 13), gone, 0, ""},
		{"last entry gone below the vow", entryRow(nil, testShard, 15), gone, 0, ""},
		{"entry gone past the vow", entryRow(nil, testShard, 13), gone, 12, "10 [2 2]"},
		{"last entry gone past the vow", entryRow(nil, testShard, 15), gone, 14, "10 [2 2 2 2]"},
		{"hard state", logRow(nil, testShard, rowHard), flipped(77), 0, ""},
		{"front", logRow(nil, testShard, rowFront), flipped(77), 0, ""},
		{"entry cut short", entryRow(nil, testShard, 12), func(val []byte) []byte { return val[:5] }, 0, ""},
		{"entry of another index", entryRow(nil, testShard, 12), func([]byte) []byte { return encodeEntry(nil, entriesFrom(13, 13, 2)[0]) }, 0, ""},
		{"other term than vowed", entryRow(nil, testShard, 15), func([]byte) []byte { return encodeEntry(nil, entriesFrom(15, 15, 3)[0]) }, 0, ""},
	}
	for bit := range 40 {
		list = append(list, damage{fmt.Sprintf("bit %d below the vow", bit), entryRow(nil, testShard, 13), flipped(bit * 17), 0, ""},
			damage{fmt.Sprintf("bit %d past the vow", bit), entryRow(nil, testShard, 14), flipped(bit * 17), 13, "10 [2 2 2]"})
	}
	for _, c := range list {
		t.Run(c.name, func(t *testing.T) {
			l := newTestLog(t)
			l.append(11, 15, 2)
			if c.vow != 0 {
				if err := l.log.vow.lower(testShard, c.vow); err != nil {
					t.Fatal(err)
				}
			}
			err := l.reopen(func(db *pebble.DB) { set(t, db, c.row, c.change) })
			if c.want == "" {
				if !errors.Is(err, ErrDamaged) {
					t.Errorf("opening says %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := l.terms(); got != c.want {
				t.Errorf("log is %s, want %s", got, c.want)
			}
			// What was cut must not come back.
			if err := l.reopen(nil); err != nil || l.terms() != c.want {
				t.Errorf("after another start the log is %s, %v", l.terms(), err)
			}
		})
	}
}

// TestRotInFiles flips bits in the files of the log store. Whatever Pebble
// makes of that: no entry below the vow may be missing or different without an
// error, and what opens is the log as it was.
func TestRotInFiles(t *testing.T) {
	l := newTestLog(t)
	l.append(11, 40, 2)
	if err := l.log.Close(); err != nil {
		t.Fatal(err)
	}
	base := l.fs
	names, err := base.List("node/log")
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(3, 3))
	flips, noticed := 0, 0
	l.fatal = func(error) {} // Pebble looks at tables in the background too
	for _, name := range names {
		name = "node/log/" + name
		data, err := readFile(base, name)
		if err != nil || len(data) == 0 {
			continue
		}
		for range 12 {
			l.fs = base.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: r})
			if err := durable.Replace(l.fs, name, flip(data, r.IntN(8*len(data))), 0); err != nil {
				t.Fatal(err)
			}
			flips++
			err := l.open()
			switch {
			case err != nil:
				noticed++
			case l.shard.last != 40:
				t.Errorf("%s: the log ends at %d", name, l.shard.last)
			default:
				list, err := l.shard.Entries(11, 41, 1<<40)
				if err != nil || !slices.EqualFunc(list, entriesFrom(11, 40, 2), sameEntry) {
					t.Errorf("%s: other entries, %v", name, err)
				}
			}
			if l.log != nil {
				l.log.Close()
			}
		}
	}
	l.fs, l.fatal = base, nil
	l.mustOpen()
	t.Logf("%d flips, %d noticed, the others harmless", flips, noticed)
}

// TestAppliedPastLog checks that a log which ends before what is applied is
// damaged, vow or not.
func TestAppliedPastLog(t *testing.T) {
	l := newTestLog(t)
	l.append(11, 12, 2)
	if _, err := l.log.Shard(testShard, 13, 2, nil); !errors.Is(err, ErrDamaged) {
		t.Errorf("opening says %v", err)
	}
	if s, err := l.log.Shard(testShard, 12, 2, nil); err != nil || s.hard.GetCommit() != 12 {
		t.Errorf("commit is %d, %v; what is applied was committed", s.hard.GetCommit(), err)
	}
}
