package store

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	pb "go.etcd.io/raft/v3/raftpb"

	"tutti/internal/cluster"
	"tutti/internal/durable"
	"tutti/internal/keyspace"
)

// newTestState creates a state store with one shard at entry 10.
func newTestState(t *testing.T) (*State, *vfs.MemFS) {
	fs := vfs.NewCrashableMem()
	if err := errors.Join(fs.MkdirAll(testDir, 0o755), durable.SyncDir(fs, "/")); err != nil {
		t.Fatal(err)
	}
	s := openTestState(t, fs)
	if err := s.Create(cluster.Descriptor{ID: testShard}, Applied{Index: 10, Term: 1}, &pb.ConfState{Voters: []uint64{1, 2}}); err != nil {
		t.Fatal(err)
	}
	return s, fs
}

func openTestState(t *testing.T, fs *vfs.MemFS) *State {
	s, err := OpenState(testConfig(fs))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func mustApply(t *testing.T, s *State, at Applied, last uint64) Applied {
	b := s.NewBatch()
	var err error
	for i := at.Index + 1; i <= last; i++ {
		if at, err = b.Apply(testShard, at, i, 2, dataOf(i, 2)); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Commit(); err != nil {
		t.Fatal(err)
	}
	return at
}

func mustSettle(t *testing.T, s *State) {
	t.Helper()
	if err := settleAll(s); err != nil {
		t.Fatal(err)
	}
}

// TestCreateIsDurable cuts the power right after Create.
func TestCreateIsDurable(t *testing.T) {
	_, fs := newTestState(t)
	s := openTestState(t, fs.CrashClone(vfs.CrashCloneCfg{}))
	at, err := s.Applied(testShard)
	if err != nil || at != (Applied{Index: 10, Term: 1}) {
		t.Errorf("applied is %v, %v", at, err)
	}
	conf, err := s.Conf(testShard)
	if err != nil || len(conf.GetVoters()) != 2 {
		t.Errorf("configuration is %v, %v", conf, err)
	}
	if _, ok, err := s.Get(DatabasesRow(testShard), nil); !ok || err != nil {
		t.Errorf("no databases, %v", err)
	}
}

// TestApply checks positions, hashes, and that what can't be is refused.
func TestApply(t *testing.T) {
	s, _ := newTestState(t)
	at := mustApply(t, s, Applied{Index: 10, Term: 1}, 20)
	if at.Index != 20 || at.Term != 2 || at.Time != 20 || at.Hash == 0 {
		t.Errorf("applied is %v", at)
	}
	mustSettle(t, s)
	b := s.NewBatch()
	idle, err := b.Apply(testShard, at, 21, 3, nil)
	if err != nil || idle.Hash != at.Hash || idle.Time != at.Time || idle.Index != 21 || idle.Term != 3 {
		t.Errorf("after an empty entry applied is %v, %v", idle, err)
	}
	if b.Databases {
		t.Error("a databases row was seen")
	}
	w := NewWriteSet(30, 0)
	w.Put(DatabasesRow(testShard), keyspace.NewDatabases().Flush(0).Encode())
	if _, err := b.Apply(testShard, idle, 22, 3, w); err != nil || !b.Databases {
		t.Errorf("databases row seen: %v, %v", b.Databases, err)
	}
	for name, f := range map[string]func() error{
		"a gap":           func() error { _, err := b.Apply(testShard, at, 23, 3, nil); return err },
		"a repetition":    func() error { _, err := b.Apply(testShard, at, 20, 3, nil); return err },
		"time going back": func() error { _, err := b.Apply(testShard, at, 21, 3, NewWriteSet(19, 0)); return err },
		"no write set":    func() error { _, err := b.Apply(testShard, at, 21, 3, []byte("?")); return err },
	} {
		if err := panics(f); err == nil {
			t.Errorf("%s was applied", name)
		}
	}
	if err := b.b.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Applied(testShard); err != nil || got != at {
		t.Errorf("applied is %v, %v, want %v", got, err, at)
	}
	if got, err := s.Applied(99); err != nil || got != (Applied{}) {
		t.Errorf("an unknown shard is applied to %v, %v", got, err)
	}
}

func panics(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = errors.New("panic")
		}
	}()
	return f()
}

// TestDurablyApplied checks that what it shows is there after a crash, at any
// moment: the log is truncated by it.
func TestDurablyApplied(t *testing.T) {
	s, fs := newTestState(t)
	at := Applied{Index: 10, Term: 1}
	for i := range uint64(12) {
		at = mustApply(t, s, at, at.Index+1+i%3)
		if i%4 == 3 {
			mustSettle(t, s)
			if err := s.db.Flush(); err != nil {
				t.Fatal(err)
			}
			if d, err := s.DurablyApplied(testShard); err != nil || d != at {
				t.Errorf("after a flush %v is durable, %v, not %v", d, err, at)
			}
		}
		durable, err := s.DurablyApplied(testShard)
		if err != nil || durable.Index > at.Index {
			t.Fatalf("%v is durable, %v", durable, err)
		}
		after := openTestState(t, fs.CrashClone(vfs.CrashCloneCfg{}))
		if got, err := after.Applied(testShard); err != nil || got.Index < durable.Index {
			t.Errorf("%d was durable, and after a crash %d is applied, %v", durable.Index, got.Index, err)
		}
	}
}

func TestFlushIfLarge(t *testing.T) {
	s, _ := newTestState(t)
	at := mustApply(t, s, Applied{Index: 10, Term: 1}, 30)
	mustSettle(t, s)
	s.FlushIfLarge(1 << 20)
	if d, _ := s.DurablyApplied(testShard); d.Index != 10 {
		t.Errorf("flushed at %d", d.Index)
	}
	s.FlushIfLarge(100)
	if s.unflushed.Load() != 0 {
		t.Error("no flush was started")
	}
	if err := s.db.Flush(); err != nil { // waits for the other
		t.Fatal(err)
	}
	if d, _ := s.DurablyApplied(testShard); d != at {
		t.Errorf("%v is durable", d)
	}
}

// TestView checks that a view does not change, and ends with its last reader.
func TestView(t *testing.T) {
	s, _ := newTestState(t)
	at := mustApply(t, s, Applied{Index: 10, Term: 1}, 20)
	closed := 0
	v := s.View(testShard, at, keyspace.NewDatabases(), func() { closed++ })
	before := make(map[string]string)
	add := func(row, val []byte) error { before[string(row)] = string(val); return nil }
	if err := v.Rows(cluster.AllSlots, add); err != nil {
		t.Fatal(err)
	}
	mustApply(t, s, at, 40)
	after := make(map[string]string)
	if err := v.Acquire().Rows(cluster.AllSlots, func(row, val []byte) error { after[string(row)] = string(val); return nil }); err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(before, after) || len(before) == 0 {
		t.Errorf("the view had %d rows and has %d", len(before), len(after))
	}
	for what, c := range map[string]struct {
		keys func() (int64, error)
		want int64
	}{
		"the view":         {func() (int64, error) { return v.Keys(2) }, 20},
		"the state":        {func() (int64, error) { return s.Newest(testShard, 40).Keys(2) }, 38},
		"another database": {func() (int64, error) { return v.Keys(77) }, 0},
	} {
		if n, err := c.keys(); n != c.want || err != nil {
			t.Errorf("%s has %d keys, %v; want %d", what, n, err, c.want)
		}
	}
	v.Release()
	if closed != 0 {
		t.Error("closed while it was read")
	}
	v.Release()
	if closed != 1 {
		t.Errorf("closed %d times", closed)
	}
	if panics(func() error { v.Release(); return nil }) == nil {
		t.Error("released too often")
	}
}

// TestSnapshotRows refuses rows that are not the shard's own.
func TestSnapshotRows(t *testing.T) {
	s, _ := newTestState(t)
	slots := cluster.SlotRange{First: 100, End: 200}
	for _, c := range []struct {
		row []byte
		ok  bool
	}{
		{CountRow(testShard, 1), true},
		{keyspace.SlotPrefix(nil, 100), true},
		{append(keyspace.SlotPrefix(nil, 199), 0xff), true},
		{keyspace.SlotPrefix(nil, 99), false},
		{keyspace.SlotPrefix(nil, 200), false},
		{CountRow(testShard+1, 1), false},
		{CountRow(testShard-1, 1), false},
		{[]byte{localPrefix}, false},
		{localRow(testShard, 'k')[:9], false},
		{nil, false},
		{[]byte{2}, false},
	} {
		in, err := s.Receive(testShard, 1, slots)
		if err != nil {
			t.Fatal(err)
		}
		if err := in.Add(c.row, nil); (err == nil) != c.ok {
			t.Errorf("row %x: %v", c.row, err)
		}
		if err := in.Discard(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestInstall replaces the rows of one shard and leaves those of others alone.
func TestInstall(t *testing.T) {
	s, fs := newTestState(t)
	mustApply(t, s, Applied{Index: 10, Term: 1}, 20)
	w := NewWriteSet(0, 0)
	other := append(keyspace.SlotPrefix(nil, 5000), 'm', 'x')
	w.Put(CountRow(testShard+1, 0), []byte("12345678"))
	w.Put(CountRow(testShard-1, 0), []byte("12345678"))
	b := s.NewBatch()
	if _, err := b.Apply(testShard+1, Applied{}, 1, 1, w); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(b.b.Set(other, []byte("old"), nil), b.Commit(), s.Settle(testShard+1)); err != nil {
		t.Fatal(err)
	}
	v := snapshotAt(t, 50, 6)
	want := make(map[string]string)
	if err := v.Rows(cluster.AllSlots, func(row, val []byte) error { want[string(row)] = string(val); return nil }); err != nil {
		t.Fatal(err)
	}
	in := receiveAll(t, s, v)
	at, err := in.Install()
	if err != nil || at.Index != 50 {
		t.Fatalf("installed %v, %v", at, err)
	}
	for name, s := range map[string]*State{"": s, " after a crash": openTestState(t, fs.CrashClone(vfs.CrashCloneCfg{}))} {
		got := make(map[string]string)
		v := s.View(testShard, at, nil, func() {})
		if err := v.Rows(cluster.AllSlots, func(row, val []byte) error { got[string(row)] = string(val); return nil }); err != nil {
			t.Fatal(err)
		}
		v.Release()
		if !maps.Equal(got, want) {
			t.Errorf("%d rows%s, want %d", len(got), name, len(want))
		}
		for _, other := range []cluster.ShardID{testShard - 1, testShard + 1} {
			if n, err := s.Newest(other, 50).Keys(0); name == "" && (n == 0 || err != nil) {
				t.Errorf("shard %d has %d keys, %v", other, n, err)
			}
		}
	}
	names, err := fs.List(testDir)
	if err != nil || strings.Contains(strings.Join(names, " "), "incoming") {
		t.Errorf("the folder holds %v, %v", names, err)
	}
}

// TestInstallEmpty installs a snapshot without any key.
func TestInstallEmpty(t *testing.T) {
	s, _ := newTestState(t)
	mustApply(t, s, Applied{Index: 10, Term: 1}, 20)
	at, err := receiveAll(t, s, snapshotAt(t, 10, 1)).Install()
	if err != nil || at.Index != 10 {
		t.Fatalf("installed %v, %v", at, err)
	}
	if rows, err := allRows(s); err != nil || len(rows) != 0 {
		t.Errorf("%d rows are left, %v", len(rows), err)
	}
}

// TestReaderErrors flips bits in a table of the state: a reader gets an error
// or the right value, never another one.
func TestReaderErrors(t *testing.T) {
	s, fs := newTestState(t)
	mustApply(t, s, Applied{Index: 10, Term: 1}, 200)
	mustSettle(t, s)
	written(t, s, 3, 1, 20_000) // and flushes
	want, err := allRows(s)
	if err != nil {
		t.Fatal(err)
	}
	fs = fs.CrashClone(vfs.CrashCloneCfg{}) // where nothing removes files meanwhile
	names, err := fs.List("node/state")
	if err != nil {
		t.Fatal(err)
	}
	errs, beside := 0, 0
	for _, name := range names {
		switch {
		case strings.HasSuffix(name, ".blob"):
			beside++
		case !strings.HasSuffix(name, ".sst"):
			continue
		}
		name = "node/state/" + name
		data, err := readFile(fs, name)
		if err != nil {
			t.Fatal(err)
		}
		var bits []int
		for bit := 0; bit < 8*len(data); bit += 8*len(data)/40 + 1 {
			bits = append(bits, bit)
		}
		for byte := max(len(data)-endOfBlob, 0); byte < len(data); byte++ {
			bits = append(bits, 8*byte+byte%8)
		}
		for _, bit := range bits {
			bad := fs.CrashClone(vfs.CrashCloneCfg{})
			if err := durable.Replace(bad, name, flip(data, bit), 0); err != nil {
				t.Fatal(err)
			}
			cfg := testConfig(bad)
			var told atomic.Int32
			cfg.Fatal = func(err error) {
				if errors.Is(err, ErrDamaged) {
					told.Add(1)
				}
			}
			s, err := OpenState(cfg)
			if err != nil {
				errs++
				continue
			}
			got, err := allRows(s)
			_, _, missed := s.Get([]byte{'k', 0}, nil)
			if err != nil || missed != nil {
				if errs++; told.Load() == 0 {
					t.Errorf("%s, bit %d: the node is not told of %v, %v", name, bit, err, missed)
				}
			} else if !maps.Equal(got, want) {
				t.Errorf("%s, bit %d: %d other rows without an error", name, bit, len(got))
			}
			_ = s.db.Close()
			s.cache.Unref()
		}
	}
	if errs == 0 || beside == 0 {
		t.Errorf("%d flips were noticed, %d files of values", errs, beside)
	}
}

// endOfBlob is how long the end of a blob file is, by which it is opened.
const endOfBlob = 38

// TestFsyncError checks that a failed fsync is fatal, reports nothing done, and
// is not tried again.
func TestFsyncError(t *testing.T) {
	mem := vfs.NewMem()
	broken := errors.New("broken disk")
	var failing atomic.Bool
	var syncs atomic.Int32
	fs := &hookFS{MemFS: mem, before: func(string, string) {}, drop: keepAll}
	fs.fail = func(name string) error {
		if failing.Load() && strings.Contains(name, "/log/") {
			syncs.Add(1)
			return broken
		}
		return nil
	}
	if err := mem.MkdirAll(testDir, 0o755); err != nil {
		t.Fatal(err)
	}
	fatal := make(chan error, 8)
	cfg := testConfig(fs)
	cfg.Fatal = func(err error) { fatal <- err; select {} }
	l, err := OpenLog(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Create(testShard, 1, 10, 1); err != nil {
		t.Fatal(err)
	}
	failing.Store(true)
	l.Append(&Append{Shard: testShard, Entries: entriesFrom(11, 12, 2), Done: func() { t.Error("reported done") }})
	if err := <-fatal; err == nil {
		t.Error("stopped without an error")
	}
	if n := syncs.Load(); n != 1 {
		t.Errorf("synced %d times", n)
	}
}

// failing reads nothing.
type failing struct{ err error }

func (f failing) Get(_, dst []byte) ([]byte, bool, error)     { return dst, false, f.err }
func (f failing) Iter(_, _ []byte) (keyspace.Iterator, error) { return nil, f.err }

// held is a state in which every row has one value.
type held []byte

func (h held) Get(_, dst []byte) ([]byte, bool, error)     { return append(dst, h...), true, nil }
func (h held) Iter(_, _ []byte) (keyspace.Iterator, error) { return nil, errors.New("not here") }

// TestCountErrors checks that a number of keys which can't be read is no number:
// 0 would make FLUSHDB say OK and flush nothing.
func TestCountErrors(t *testing.T) {
	broken := errors.New("broken disk")
	if n, err := readCount(failing{broken}, testShard, 0); !errors.Is(err, broken) {
		t.Errorf("%d keys, %v", n, err)
	}
	if n, err := readCount(held("1234567"), testShard, 0); !errors.Is(err, keyspace.ErrMalformed) {
		t.Errorf("%d keys, %v", n, err)
	}
	if n, err := readCount(held("\x00\x00\x00\x00\x00\x00\x00\x07"), testShard, 0); n != 7 || err != nil {
		t.Errorf("%d keys, %v", n, err)
	}
	if n, err := readCount(failing{}, testShard, 0); n != 0 || err != nil {
		t.Errorf("%d keys where there is no row, %v", n, err)
	}
}

// TestNoConfiguration asks for the configuration of a shard that is not here.
func TestNoConfiguration(t *testing.T) {
	s := openTestState(t, vfs.NewMem())
	if conf, err := s.Conf(testShard + 9); !errors.Is(err, ErrNoShard) {
		t.Errorf("%v, %v", conf, err)
	}
}

// TestSlotsRow reads the row that changes what a shard owns as version 1 has it,
// and refuses what is none.
func TestSlotsRow(t *testing.T) {
	for hex, want := range map[string]cluster.SlotRange{
		"0100642000": {First: 100, End: 8192}, "0100004000": cluster.AllSlots, "0100000000": {},
	} {
		if got := fmt.Sprintf("%x", EncodeSlots(want)); got != hex {
			t.Errorf("%v is written as %s, want %s", want, got, hex)
		}
		if got, err := decodeSlots(EncodeSlots(want)); got != want || err != nil {
			t.Errorf("%v is read as %v, %v", want, got, err)
		}
	}
	for _, bad := range []string{"", "\x01", "\x01\x00\x64\x20\x00\x00", "\x01\x20\x00\x00\x64", "\x01\x00\x00\x40\x01", "\x01\x00\x05\x00\x05"} {
		if s, err := decodeSlots([]byte(bad)); !errors.Is(err, ErrFormat) {
			t.Errorf("%x is read as %v, %v", bad, s, err)
		}
	}
	if _, err := decodeSlots([]byte("\x02\x00\x00\x00\x00")); !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), "version 2") {
		t.Errorf("a later version: %v", err)
	}
}
