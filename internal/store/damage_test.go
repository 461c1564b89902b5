package store

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	pb "go.etcd.io/raft/v3/raftpb"

	"tutti/internal/cluster"
	"tutti/internal/durable"
)

func TestDamageOrNot(t *testing.T) {
	for _, c := range []struct {
		err  error
		want bool
	}{
		{nil, false},
		{ErrDamaged, true},
		{fmt.Errorf("open: %w", pebble.ErrCorruption), true},
		{&os.PathError{Op: "open", Path: "000004.sst", Err: syscall.ENOENT}, true},
		{fmt.Errorf("read: %w", &os.PathError{Op: "read", Path: "x", Err: syscall.EIO}), false},
		{&os.PathError{Op: "open", Path: "x", Err: syscall.EMFILE}, false},
		{&os.PathError{Op: "open", Path: "x", Err: syscall.EACCES}, false},
		{errors.New("unknown format major version 99"), false},
		{io.ErrShortWrite, false},
	} {
		if got := errors.Is(damage(c.err), ErrDamaged); got != c.want {
			t.Errorf("%v: damage %v", c.err, got)
		}
	}
}

// TestSetAsideAnywhere cuts the power before each operation of a rebuild, and
// goes on. What was damaged is then kept as it was, beside what is new, whatever
// part of the unsynced data the cut has left.
func TestSetAsideAnywhere(t *testing.T) {
	t.Run("damaged", func(t *testing.T) { setAsideAnywhere(t, Mark{Generation: 1, Why: "it rotted"}, "damaged-0") })
	t.Run("kept", func(t *testing.T) { setAsideAnywhere(t, Mark{Generation: 1, Why: "it rotted", Keep: true}, "kept-0") })
}

func setAsideAnywhere(t *testing.T, mark Mark, folder string) {
	prepare := func() *vfs.MemFS {
		fs := vfs.NewCrashableMem()
		if err := errors.Join(MakeDir(fs, "node/log"), MakeDir(fs, "node/state"), durable.Replace(fs, "node/log/f", []byte("old log"), 0),
			durable.Replace(fs, "node/state/f", []byte("old state"), 0), durable.Replace(fs, "node/vow", []byte("old vow"), 0)); err != nil {
			t.Fatal(err)
		}
		return fs
	}
	// rebuild is what the node does, with files for stores.
	rebuild := func(fs vfs.FS) error {
		m, ok, err := ReadMark(fs, "node")
		if err != nil || !ok {
			return err
		}
		for _, step := range []func() error{
			func() error { return SetAside(fs, "node", m) },
			func() error { return MakeDir(fs, "node/log") },
			func() error { return MakeDir(fs, "node/state") },
			func() error { return durable.Replace(fs, "node/log/f", []byte("new log"), 0) },
			func() error { return durable.Replace(fs, "node/state/f", []byte("new state"), 0) },
			func() error { return durable.Replace(fs, "node/vow", []byte("new vow"), 0) },
			func() error { return Unmark(fs, "node") },
		} {
			if err := step(); err != nil {
				return err
			}
		}
		return nil
	}
	r := rand.New(rand.NewPCG(4, 4))
	cuts := 0
	for at := 1; ; at++ {
		mem := prepare()
		var after *vfs.MemFS
		n := 0
		hook := &hookFS{MemFS: mem, drop: keepAll, before: func(string, string) {
			if n++; n == at {
				after = mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50 * r.IntN(3), RNG: r})
			}
		}}
		if err := mark.write(mem, "node"); err != nil {
			t.Fatal(err)
		}
		if err := rebuild(hook); err != nil {
			t.Fatal(err)
		}
		fs := after
		if fs == nil {
			fs = mem.CrashClone(vfs.CrashCloneCfg{}) // after the end
		}
		if err := rebuild(fs); err != nil {
			t.Fatalf("cut before operation %d, then: %v", at, err)
		}
		for name, want := range map[string]string{
			"log/f": "new log", "state/f": "new state", "vow": "new vow",
			folder + "/log/f": "old log", folder + "/state/f": "old state", folder + "/vow": "old vow", folder + "/why": "it rotted\n",
		} {
			if b, err := readFile(fs, "node/"+name); err != nil || string(b) != want {
				t.Errorf("cut before operation %d: %s holds %q, %v", at, name, b, err)
			}
		}
		if _, ok, err := ReadMark(fs, "node"); ok || err != nil {
			t.Errorf("cut before operation %d: marked %v, %v", at, ok, err)
		}
		if after == nil {
			break
		}
		cuts++
	}
	if cuts < 20 {
		t.Errorf("%d power cuts", cuts)
	}
}

// TestMark marks once, with the generation that follows the node's.
func TestMark(t *testing.T) {
	fs := vfs.NewCrashableMem()
	if err := MakeDir(fs, testDir); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenCounters(testConfig(fs), 5, true); err != nil {
		t.Fatal(err)
	}
	for want := range uint64(3) {
		c, err := OpenCounters(testConfig(fs), 5, false)
		if err != nil || c.Generation != want {
			t.Fatalf("generation %d, want %d, %v", c.Generation, want, err)
		}
		if err := errors.Join(c.Mark(errors.New("first")), c.Mark(errors.New("second"))); err != nil {
			t.Fatal(err)
		}
		fs = fs.CrashClone(vfs.CrashCloneCfg{})
		m, ok, err := ReadMark(fs, testDir)
		if !ok || err != nil || m != (Mark{Generation: want + 1, Why: "first"}) {
			t.Errorf("mark %+v, %v %v", m, ok, err)
		}
		if c, err = OpenCounters(testConfig(fs), 5, false); err != nil {
			t.Fatal(err)
		}
		if want == 2 { // what must be kept is known to be, and stays so
			if err := errors.Join(c.MarkKept(errors.New("third")), c.Mark(errors.New("fourth"))); err != nil {
				t.Fatal(err)
			}
			m, ok, err = ReadMark(fs.CrashClone(vfs.CrashCloneCfg{}), testDir)
			if !ok || err != nil || m != (Mark{Generation: want + 1, Why: "third", Keep: true}) {
				t.Errorf("mark %+v, %v %v", m, ok, err)
			}
		}
		if err := errors.Join(c.RaiseGeneration(m.Generation), c.RaiseGeneration(m.Generation-1), Unmark(fs, testDir)); err != nil {
			t.Fatal(err)
		}
		fs = fs.CrashClone(vfs.CrashCloneCfg{})
	}
}

// TestMarkerOfThePast lets the disk lose the newest part of a log that began
// with a snapshot: the marker of its installation is back, but it must not pass
// for a crash in the middle of that, or the loss would be hidden.
func TestMarkerOfThePast(t *testing.T) {
	l := newTestLog(t)
	l.append(11, 15, 2)
	l.shard.StartInstall(20, 2)
	past := l.fs.CrashClone(vfs.CrashCloneCfg{})
	l.shard.Installed(20, 2, &pb.HardState{Term: new(uint64(2)), Vote: new(uint64(1)), Commit: new(uint64(20))})
	l.append(21, 25, 2)
	if err := l.log.vow.write(); err != nil {
		t.Fatal(err)
	}
	vow, err := readFile(l.fs, "node/vow")
	if err != nil {
		t.Fatal(err)
	}
	if err := durable.Replace(past, "node/vow", vow, 0); err != nil {
		t.Fatal(err)
	}
	log, err := OpenLog(testConfig(past))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	if err := log.FinishInstall(testShard, 23, 2); !errors.Is(err, ErrDamaged) { // 23 are applied
		t.Errorf("finishing says %v", err)
	}
}

// TestPieces checks that the pieces of a view are its rows, each once, and that
// they depend on the rows only.
func TestPieces(t *testing.T) {
	s, _ := newTestState(t)
	mustApply(t, s, Applied{Index: 10, Term: 1}, 60)
	v := s.View(testShard, Applied{}, nil, func() {})
	defer v.Release()
	var want []string
	if err := v.Rows(cluster.AllSlots, func(row, val []byte) error {
		want = append(want, fmt.Sprintf("%x %x", row, val))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{1, 20, 100, 1 << 20} {
		var got []string
		pieces := 0
		for from := []byte(nil); ; pieces++ {
			next, err := v.Piece(cluster.AllSlots, from, size, func(row, val []byte) error {
				got = append(got, fmt.Sprintf("%x %x", row, val))
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if from = next; from == nil {
				break
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("pieces of %d bytes: %d rows, want %d", size, len(got), len(want))
		}
		if size == 1 && pieces != len(want)-1 {
			t.Errorf("%d cuts between %d rows", pieces, len(want))
		}
	}
}
