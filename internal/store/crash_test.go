package store

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	pb "go.etcd.io/raft/v3/raftpb"

	"tutti/internal/cluster"
	"tutti/internal/durable"
	"tutti/internal/keyspace"
)

// These tests run a script on a disk that stops before each of its operations
// in turn, and open what a power cut would leave there. The second half of the
// evidence is TestEverySyncMatters: with one kind of fsync left out, or two
// steps of an order exchanged, the same check must fail.

// hookFS calls before ahead of every operation that changes the disk, and
// leaves out the syncs that drop names.
type hookFS struct {
	*vfs.MemFS
	before func(op, name string)
	drop   func(op, name string) bool
	fail   func(name string) error // what a sync says; nil: success
}

func (f *hookFS) file(name string, file vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return &hookFile{File: file, fs: f, name: name}, nil
}

func (f *hookFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f.before("create", name)
	file, err := f.MemFS.Create(name, c)
	return f.file(name, file, err)
}

func (f *hookFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	f.before("open", name)
	file, err := f.MemFS.OpenReadWrite(name, c, opts...)
	return f.file(name, file, err)
}

func (f *hookFS) OpenDir(name string) (vfs.File, error) {
	file, err := f.MemFS.OpenDir(name)
	return f.file(name, file, err)
}

func (f *hookFS) ReuseForWrite(old, name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f.before("reuse", name)
	file, err := f.MemFS.ReuseForWrite(old, name, c)
	return f.file(name, file, err)
}

func (f *hookFS) Link(old, name string) error {
	f.before("link", name)
	return f.MemFS.Link(old, name)
}

func (f *hookFS) Remove(name string) error {
	f.before("remove", name)
	return f.MemFS.Remove(name)
}

func (f *hookFS) RemoveAll(name string) error {
	f.before("remove", name)
	return f.MemFS.RemoveAll(name)
}

func (f *hookFS) Rename(old, name string) error {
	f.before("rename", name)
	return f.MemFS.Rename(old, name)
}

func (f *hookFS) MkdirAll(name string, perm os.FileMode) error {
	f.before("mkdir", name)
	return f.MemFS.MkdirAll(name, perm)
}

func (f *hookFS) Unwrap() vfs.FS { return f.MemFS }

type hookFile struct {
	vfs.File
	fs   *hookFS
	name string
}

func (f *hookFile) Write(p []byte) (int, error) {
	f.fs.before("write", f.name)
	return f.File.Write(p)
}

func (f *hookFile) WriteAt(p []byte, at int64) (int, error) {
	f.fs.before("write", f.name)
	return f.File.WriteAt(p, at)
}

func (f *hookFile) sync(sync func() error) error {
	f.fs.before("sync", f.name)
	if f.fs.drop("sync", f.name) {
		return nil
	}
	if f.fs.fail != nil {
		if err := f.fs.fail(f.name); err != nil {
			return err
		}
	}
	return sync()
}

func (f *hookFile) Sync() error     { return f.sync(f.File.Sync) }
func (f *hookFile) SyncData() error { return f.sync(f.File.SyncData) }

const testDir = "node"

// testConfig is a small node on fs. What the store calls fatal is a panic.
func testConfig(fs vfs.FS) Config {
	return Config{FS: fs, Dir: testDir, Small: true, RowBytes: 256 << 10} // a census needs so much
}

// shardState is what must be found again after a crash.
type shardState struct {
	front   position
	entries []string // index:term:data
	ballot  string   // term and vote
	applied uint64   // at least
	commit  uint64   // at least
}

func (s shardState) last() uint64 { return s.front.index + uint64(len(s.entries)) }

// script is one node's life with one shard, and what it has been promised.
type script struct {
	t     *testing.T
	cfg   Config
	log   *Log
	state *State
	shard *ShardLog
	count *Counters
	at    Applied
	hard  *pb.HardState
	model shardState // of the newest step begun

	mu    sync.Mutex   // guards steps, ids
	steps []shardState // steps[0] is nothing; each one begun adds its outcome
	acked atomic.Int64 // steps known to be durable
	ids   uint64       // newest id given out
	// skip leaves out the marker of an installation.
	skipMarker bool
}

const testShard = 7

// step runs do, which must make the state durable that change leads to.
func (s *script) step(change func(m *shardState), do func()) {
	m := s.model
	m.entries = slices.Clone(m.entries)
	change(&m)
	s.model = m
	s.mu.Lock()
	s.steps = append(s.steps, m)
	s.mu.Unlock()
	do()
	s.acked.Store(int64(len(s.steps) - 1))
}

func (s *script) ok(err error) {
	if err != nil {
		panic(err)
	}
}

// dataOf is the write set of an entry: it depends on index and term only.
func dataOf(index, term uint64) []byte {
	w := NewWriteSet(int64(index), 64)
	row := append(keyspace.SlotPrefix(nil, int(index%5)), 'm', byte(index%11))
	if index%4 == 3 {
		w.Delete(row)
	} else {
		w.Put(row, fmt.Appendf(nil, "%d.%d", index, term))
	}
	w.Put(CountRow(testShard, uint32(index%3)), be.AppendUint64(nil, index))
	return w
}

func entriesFrom(first, last, term uint64) (list []*pb.Entry) {
	for i := first; i <= last; i++ {
		list = append(list, &pb.Entry{Index: new(i), Term: new(term), Type: pb.EntryNormal.Enum(), Data: dataOf(i, term)})
	}
	return list
}

func entryText(e *pb.Entry) string {
	return fmt.Sprintf("%d:%d:%x", e.GetIndex(), e.GetTerm(), e.GetData())
}

func (s *script) setHard(term, vote, commit uint64) *pb.HardState {
	s.hard = &pb.HardState{Term: new(term), Vote: new(vote), Commit: new(commit)}
	return s.hard
}

// append replaces the log from first on, as raft does, and waits.
func (s *script) append(first, last, term, vote uint64) {
	list := entriesFrom(first, last, term)
	hs := s.setHard(term, vote, s.model.commit)
	s.step(func(m *shardState) {
		m.entries = m.entries[:first-1-m.front.index]
		for _, e := range list {
			m.entries = append(m.entries, entryText(e))
		}
		m.ballot = fmt.Sprint(term, vote)
	}, func() {
		s.log.do(&Append{Shard: testShard, Entries: list, Hard: hs})
		s.shard.Appended(list)
	})
}

// vote makes a term and vote durable without entries.
func (s *script) vote(term, vote uint64) {
	hs := s.setHard(term, vote, s.model.commit)
	s.step(func(m *shardState) { m.ballot = fmt.Sprint(term, vote) }, func() {
		s.log.do(&Append{Shard: testShard, Hard: hs})
	})
}

// commit makes a commit index durable, as before a configuration change.
func (s *script) commit(index uint64) {
	hs := s.setHard(s.hard.GetTerm(), s.hard.GetVote(), index)
	s.step(func(m *shardState) { m.commit = index }, func() { s.log.SyncCommit(testShard, hs) })
}

// apply applies up to index, without durability.
func (s *script) apply(index uint64) {
	b := s.state.NewBatch()
	for i := s.at.Index + 1; i <= index; i++ {
		list, err := s.shard.Entries(i, i+1, 0)
		s.ok(err)
		s.at, err = b.Apply(testShard, s.at, i, list[0].GetTerm(), list[0].GetData())
		s.ok(err)
	}
	s.ok(b.Commit())
}

// flush makes what is applied durable and the log shorter.
func (s *script) flush(keep uint64) {
	at := s.at.Index
	s.step(func(m *shardState) { m.applied = at }, func() {
		if late := s.state.late.of(testShard); at%2 == 0 {
			WriteBack(s.state, testShard, 1)
			s.ok(late.finish(s.state))
		}
		s.ok(s.state.Settle(testShard))
		s.ok(s.state.db.Flush())
	})
	durable, err := s.state.DurablyApplied(testShard)
	s.ok(err)
	if durable.Index != at {
		panic(fmt.Sprintf("%d is durable after a flush at %d", durable.Index, at))
	}
	s.step(func(m *shardState) {
		n := at - keep - m.front.index
		var index, term uint64
		if _, err := fmt.Sscanf(m.entries[n-1], "%d:%d", &index, &term); err != nil {
			panic(err)
		}
		m.entries, m.front = m.entries[n:], position{index, term}
	}, func() {
		s.ok(s.shard.Truncate(at - keep))
		s.log.do(&Append{Shard: testShard, Sync: true})
	})
}

// install replaces all by a snapshot at index.
func (s *script) install(index, term uint64) {
	in := receiveAll(s.t, s.state, snapshotAt(s.t, index, term))
	// From the marker on, both the old state and the new one are right.
	s.step(func(m *shardState) {
		*m = shardState{front: position{index, term}, ballot: fmt.Sprint(term, 0), applied: index, commit: index}
	}, func() {
		if !s.skipMarker {
			s.shard.StartInstall(index, term)
		}
		at, err := in.Install()
		s.ok(err)
		s.at = at
		s.shard.Installed(index, term, s.setHard(term, 0, index))
	})
}

func (s *script) id() {
	id := s.count.NewID()
	s.mu.Lock()
	s.ids = id
	s.mu.Unlock()
}

func (s *script) open() {
	var err error
	s.count, err = OpenCounters(s.cfg, 3, false)
	s.ok(err)
	s.log, err = OpenLog(s.cfg)
	s.ok(err)
	s.state, err = OpenState(s.cfg)
	s.ok(err)
	s.at, err = s.state.Applied(testShard)
	s.ok(err)
	s.ok(s.log.FinishInstall(testShard, s.at.Index, s.at.Term))
	s.shard, err = s.log.Shard(testShard, s.at.Index, s.at.Term, &pb.ConfState{})
	s.ok(err)
}

func (s *script) close() {
	s.ok(s.log.Close())
	s.ok(s.state.Close())
}

// run lives a whole life.
func (s *script) run() {
	s.ok(s.cfg.FS.MkdirAll(testDir, 0o755))
	s.ok(durable.SyncDir(s.cfg.FS, "/"))
	s.steps = []shardState{{}}
	s.step(func(m *shardState) {
		*m = shardState{front: position{10, 1}, ballot: "1 0", applied: 10, commit: 10}
	}, func() {
		_, err := OpenCounters(s.cfg, 3, true)
		s.ok(err)
		log, err := OpenLog(s.cfg)
		s.ok(err)
		state, err := OpenState(s.cfg)
		s.ok(err)
		s.ok(state.Create(cluster.Descriptor{ID: testShard}, Applied{Index: 10, Term: 1}, &pb.ConfState{Voters: []uint64{3}}))
		s.ok(log.Create(testShard, 1, 10, 1))
		s.ok(log.Close())
		s.ok(state.Close())
	})
	s.open()
	s.id()
	s.append(11, 20, 2, 1)
	s.vote(3, 3)
	s.append(17, 18, 3, 3) // shorter than before
	s.commit(18)
	s.apply(17)
	s.append(19, 30, 4, 0)
	s.close()
	s.open()
	s.id()
	s.append(25, 26, 5, 0) // shorter, and the first after a start
	s.commit(25)
	s.apply(24)
	s.flush(4)
	s.apply(25) // in memory, where the snapshot goes
	s.append(27, 60, 5, 0)
	s.vote(5, 1) // which vows for 60
	s.id()
	s.install(50, 6) // other entries than those up to 60
	s.append(51, 52, 6, 2)
	s.commit(52)
	s.apply(52)
	s.close()
}

// snapshotAt returns the rows of a shard at an index that others led to.
func snapshotAt(t *testing.T, index, term uint64) *View {
	state, err := OpenState(testConfig(vfs.NewMem()))
	if err != nil {
		t.Fatal(err)
	}
	if err := state.Create(cluster.Descriptor{ID: testShard}, Applied{Index: 10, Term: 1}, &pb.ConfState{Voters: []uint64{1, 2, 3}}); err != nil {
		t.Fatal(err)
	}
	at := Applied{Index: 10, Term: 1}
	b := state.NewBatch()
	for i := at.Index + 1; i <= index; i++ {
		if at, err = b.Apply(testShard, at, i, term, dataOf(i, term)); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Commit(); err != nil {
		t.Fatal(err)
	}
	return state.View(testShard, at, keyspace.NewDatabases(), func() { state.Close() })
}

func receiveAll(t *testing.T, state *State, v *View) *Incoming {
	in, err := state.Receive(testShard, 1, cluster.AllSlots)
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Rows(cluster.AllSlots, in.Add); err != nil {
		t.Fatal(err)
	}
	if err := in.Finish(); err != nil {
		t.Fatal(err)
	}
	v.Release()
	return in
}

// recovered opens what a crash left and returns what is there. rows are the
// rows after the log has been replayed to its end.
func recovered(fs *vfs.MemFS) (found shardState, incarnation, id uint64, rows map[string]string, end Applied, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	s := &script{cfg: testConfig(fs)}
	if s.count, err = OpenCounters(s.cfg, 3, false); err != nil {
		return
	}
	incarnation, id = s.count.Incarnation, s.count.NewID()
	if s.log, err = OpenLog(s.cfg); err != nil {
		return
	}
	defer func() { err = errors.Join(err, s.log.Close()) }()
	if s.state, err = OpenState(s.cfg); err != nil {
		return
	}
	defer func() { err = errors.Join(err, s.state.Close()) }()
	if s.at, err = s.state.Applied(testShard); err != nil {
		return
	}
	if s.at.Index == 0 {
		err = errors.New("the state is gone")
		return
	}
	if err = s.log.FinishInstall(testShard, s.at.Index, s.at.Term); err != nil {
		return
	}
	if s.shard, err = s.log.Shard(testShard, s.at.Index, s.at.Term, &pb.ConfState{}); err != nil {
		return
	}
	hs := s.shard.hard
	found = shardState{front: s.shard.front, ballot: fmt.Sprint(hs.GetTerm(), hs.GetVote()), applied: s.at.Index, commit: hs.GetCommit()}
	list, err := s.shard.Entries(s.shard.front.index+1, s.shard.last+1, 1<<40)
	if err != nil {
		return
	}
	for _, e := range list {
		found.entries = append(found.entries, entryText(e))
	}
	s.apply(s.shard.last)
	rows, err = allRows(s.state)
	return found, incarnation, id, rows, s.at, err
}

// allRows returns all rows but the applied ones.
func allRows(s *State) (map[string]string, error) {
	if err := settleAll(s); err != nil {
		return nil, err
	}
	it, err := s.Iter([]byte{0}, []byte{255, 255})
	if err != nil {
		return nil, err
	}
	rows := make(map[string]string)
	for ok := it.First(); ok; ok = it.Next() {
		if string(it.Key()) != string(localRow(testShard, localApplied)) && string(it.Key()) != string(localRow(testShard, localConf)) && string(it.Key()) != string(localRow(testShard, localShard)) &&
			string(it.Key()) != string(DatabasesRow(testShard)) {
			rows[string(it.Key())] = string(it.Value())
		}
	}
	return rows, it.Close()
}

// replayed returns the rows that the entries of s lead to; what precedes front
// is known from terms, which says who wrote it.
func replayed(found shardState, termOf func(index uint64) uint64) map[string]string {
	rows := make(map[string]string)
	put := func(row, val []byte) error { rows[string(row)] = string(val); return nil }
	del := func(row []byte) error { delete(rows, string(row)); return nil }
	for i := uint64(11); i <= found.last(); i++ {
		term := termOf(i)
		if i > found.front.index {
			if _, err := fmt.Sscanf(found.entries[i-found.front.index-1], "%d:%d", new(uint64), &term); err != nil {
				panic(err)
			}
		}
		_ = WriteSet(dataOf(i, term)).Each(put, del)
	}
	return rows
}

// historyOf returns the terms of the entries before front: the script's own, or
// those of the snapshot.
func historyOf(found shardState) func(index uint64) uint64 {
	return func(index uint64) uint64 {
		switch {
		case found.front.index >= 50:
			return 6
		case index <= 16:
			return 2
		case index <= 18:
			return 3
		case index <= 24:
			return 4
		}
		return 5
	}
}

// check opens clone and compares it with what the script was promised: one of
// the steps from acked on that had begun.
func check(clone *vfs.MemFS, want []shardState, minID uint64) error {
	found, _, id, rows, _, err := recovered(clone)
	if len(want) > 0 && want[0].ballot == "" {
		return nil // nothing was promised yet: a node that was never made
	}
	if err != nil {
		return err
	}
	if id <= minID {
		return fmt.Errorf("id %x is given out again after %x", id, minID)
	}
	var why []string
	for _, w := range want {
		switch {
		case found.front != w.front || !slices.Equal(found.entries, w.entries):
			why = append(why, fmt.Sprintf("log is (%v, %d], not (%v, %d]", found.front, found.last(), w.front, w.last()))
		case found.ballot != w.ballot:
			why = append(why, fmt.Sprintf("term and vote are %s, not %s", found.ballot, w.ballot))
		case found.applied < w.applied:
			why = append(why, fmt.Sprintf("%d is applied, not %d", found.applied, w.applied))
		case found.commit < w.commit:
			why = append(why, fmt.Sprintf("%d is committed, not %d", found.commit, w.commit))
		default:
			if model := replayed(found, historyOf(found)); !maps.Equal(model, rows) {
				return fmt.Errorf("%d rows after replay to %d, not %d", len(rows), found.last(), len(model))
			}
			return nil
		}
	}
	return errors.New(strings.Join(why, "; or "))
}

// crashes runs the script and crashes before each operation; it returns the
// first violations, as text.
func crashes(t *testing.T, unsynced int, drop func(op, name string) bool, prepare func(s *script)) (found []string, ops int) {
	mem := vfs.NewCrashableMem()
	s := &script{t: t}
	prepare(s)
	rng := rand.New(rand.NewPCG(uint64(unsynced), 1))
	var mu sync.Mutex // one crash at a time, whoever does the operation
	fs := &hookFS{MemFS: mem, drop: drop}
	fs.before = func(op, name string) {
		mu.Lock()
		defer mu.Unlock()
		if ops++; len(found) > 0 {
			return
		}
		s.mu.Lock()
		low, minID := int(s.acked.Load()), s.ids
		s.mu.Unlock()
		clone := mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: unsynced, RNG: rng})
		s.mu.Lock()
		var want []shardState
		if len(s.steps) > 0 {
			want = slices.Clone(s.steps[low:])
		}
		s.mu.Unlock()
		if len(want) == 0 {
			return
		}
		err := check(clone, want, minID)
		if unsynced > 0 && err != nil && strings.Contains(err.Error(), "could not open manifest file") {
			// This disk loses directory entries one by one; Pebble relies on an
			// older one not being lost before a newer one.
			err = nil
		}
		if err != nil {
			found = append(found, fmt.Sprintf("crash before operation %d (%s %s), step %d: %v", ops, op, name, low, err))
		}
	}
	s.cfg = testConfig(fs)
	defer func() {
		if r := recover(); r != nil {
			mu.Lock()
			defer mu.Unlock()
			found = append(found, fmt.Sprintf("the script failed: %v", r))
		}
	}()
	s.run()
	mu.Lock()
	defer mu.Unlock()
	return found, ops
}

func keepAll(string, string) bool { return false }

// TestCrashAnywhere crashes before each operation: with all that was not synced
// lost, and with half of it there.
func TestCrashAnywhere(t *testing.T) {
	for _, unsynced := range []int{0, 50} {
		if testing.Short() && unsynced != 0 {
			continue // the race detector has seen all of it by then
		}
		found, ops := crashes(t, unsynced, keepAll, func(*script) {})
		for _, f := range found {
			t.Errorf("%d %% of the unsynced data kept: %s", unsynced, f)
		}
		t.Logf("%d crashes", ops)
	}
}

// calledBy reports whether a function whose name ends so is being called.
func calledBy(name string) bool {
	pc := make([]uintptr, 16)
	frames := runtime.CallersFrames(pc[:runtime.Callers(2, pc)])
	for {
		f, more := frames.Next()
		if strings.HasSuffix(f.Function, name) {
			return true
		}
		if !more {
			return false
		}
	}
}

// TestEverySyncMatters leaves out one safeguard at a time: the check above must
// notice, or it would not notice if the code forgot it.
func TestEverySyncMatters(t *testing.T) {
	if testing.Short() {
		t.Skip("it tries TestCrashAnywhere, which runs here; go test without -short runs both")
	}
	sync := func(part string) func(op, name string) bool {
		return func(_, name string) bool { return strings.HasSuffix(name, part) }
	}
	none := func(*script) {}
	for _, c := range []struct {
		name    string
		drop    func(op, name string) bool
		prepare func(s *script)
	}{
		{"folder of the node", sync(testDir), none},
		{"lowered vow", func(_, name string) bool { return strings.HasSuffix(name, "/vow") && calledBy("(*vow).lower") }, none},
		{"counters", func(_, name string) bool {
			return strings.Contains(name, "/counters") && strings.HasSuffix(name, ".new")
		}, none},
		{"raft log", func(_, name string) bool { return strings.Contains(name, "/log/") && strings.HasSuffix(name, ".log") }, none},
		{"state tables", func(_, name string) bool { return strings.Contains(name, "/state/") && strings.HasSuffix(name, ".sst") }, none},
		{"state manifest", func(_, name string) bool { return strings.Contains(name, "/state/MANIFEST") }, none},
		{"received tables", func(_, name string) bool { return strings.Contains(name, "/incoming-") }, none},
		{"marker", keepAll, func(s *script) { s.skipMarker = true }},
	} {
		t.Run(c.name, func(t *testing.T) {
			found, ops := crashes(t, 0, c.drop, c.prepare)
			if len(found) == 0 {
				t.Fatalf("%d crashes without it, and nothing is missed", ops)
			}
			t.Log(found[0])
		})
	}
}
