package store

import (
	"errors"
	"math/rand/v2"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"tutti/internal/durable"
)

// TestIDs checks that ids are not given out twice, over starts, crashes and the
// ends of reserved blocks.
func TestIDs(t *testing.T) {
	fs := vfs.NewCrashableMem()
	if err := fs.MkdirAll(testDir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := durable.SyncDir(fs, "/"); err != nil {
		t.Fatal(err)
	}
	c, err := OpenCounters(testConfig(fs), 5, true)
	if err != nil {
		t.Fatal(err)
	}
	last := uint64(c.node) << idCounterBits
	for start := range uint64(6) {
		if c.Incarnation != start {
			t.Errorf("start %d is counted as %d", start, c.Incarnation)
		}
		for range 3 {
			id := c.NewID()
			if id <= last || id>>idCounterBits != 5 {
				t.Fatalf("id %x after %x", id, last)
			}
			last = id
			c.mu.Lock()
			if start%2 == 1 {
				c.next = max(c.next, c.again-2) // it is time to reserve more
			}
			c.mu.Unlock()
		}
		if start < 3 {
			fs = fs.CrashClone(vfs.CrashCloneCfg{})
		}
		if c, err = OpenCounters(testConfig(fs), 5, false); err != nil {
			t.Fatal(err)
		}
	}
}

// TestCountersGone refuses to count on from nothing, and from two bad copies.
func TestCountersGone(t *testing.T) {
	fs := vfs.NewMem()
	if err := fs.MkdirAll(testDir, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenCounters(testConfig(fs), 5, false); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without a file: %v", err)
	}
	if _, err := OpenCounters(testConfig(fs), 5, true); err != nil {
		t.Fatal(err)
	}
	for start := range uint64(3) {
		rot(t, fs, "node/counters"+[...]string{"", secondCopy}[start%2])
		if c, err := OpenCounters(testConfig(fs), 5, false); err != nil || c.Incarnation != start+1 {
			t.Fatalf("one copy is bad: %v", err)
		}
	}
	rot(t, fs, "node/counters")
	rot(t, fs, "node/counters.2")
	_, err := OpenCounters(testConfig(fs), 5, false)
	if _, lost := errors.AsType[*LostError](err); !lost {
		t.Errorf("both copies are bad: %v", err)
	}
}

// rot flips a bit of a file.
func rot(t *testing.T, fs vfs.FS, name string) {
	t.Helper()
	b, err := readFile(fs, name)
	if err != nil {
		t.Fatal(err)
	}
	overwriteFile(t, fs, name, flip(b, 4*len(b)))
}

// TestRenewCounters loses both copies again and again, with and without a crash
// in between and a mark that is there already: no start, id or generation comes
// twice, and each is higher than what others know.
func TestRenewCounters(t *testing.T) {
	fs := vfs.NewCrashableMem()
	if err := MakeDir(fs, testDir); err != nil {
		t.Fatal(err)
	}
	c, err := OpenCounters(testConfig(fs), 5, true)
	if err != nil {
		t.Fatal(err)
	}
	id := c.NewID()
	random := rand.New(rand.NewPCG(1, 2)).Uint64N
	for round := range 20 {
		if round%3 == 1 {
			if err := c.Mark(errors.New("the log is damaged")); err != nil {
				t.Fatal(err)
			}
		}
		rot(t, fs, "node/counters")
		rot(t, fs, "node/counters.2")
		_, err := OpenCounters(testConfig(fs), 5, false)
		known := Known{Incarnation: c.Incarnation, Generation: c.Generation}
		// The power goes between mark and counters: the next start does it again.
		var cut *vfs.MemFS
		hook := &hookFS{MemFS: fs, drop: keepAll}
		hook.before = func(_, name string) {
			if cut == nil && strings.Contains(name, "/counters") {
				cut = fs.CrashClone(vfs.CrashCloneCfg{})
			}
		}
		cfg := testConfig(hook)
		if err := RenewCounters(cfg, 5, known, random, err); err != nil {
			t.Fatal(err)
		}
		if round%2 == 1 {
			fs = cut
			m, marked, err := ReadMark(fs, testDir)
			if _, open := OpenCounters(testConfig(fs), 5, false); open == nil || !marked || err != nil || m.Generation <= c.Generation {
				t.Fatalf("a crash leaves the mark %+v, %v, and counters: %v", m, err, open)
			}
			if err := RenewCounters(testConfig(fs), 5, known, random, err); err != nil {
				t.Fatal(err)
			}
		}
		next, err := OpenCounters(testConfig(fs), 5, false)
		if err != nil {
			t.Fatal(err)
		}
		m, marked, err := ReadMark(fs, testDir)
		if err != nil || !marked || m.Generation != next.Generation || round%3 == 1 && m.Why != "the log is damaged" {
			t.Errorf("generation %d, mark %+v, %v", next.Generation, m, err)
		}
		newID := next.NewID()
		if next.Incarnation <= c.Incarnation || next.Generation <= c.Generation || newID <= id || newID>>idCounterBits != 5 {
			t.Errorf("round %d: after %d %d %x come %d %d %x", round, c.Incarnation, c.Generation, id, next.Incarnation, next.Generation, newID)
		}
		if err := Unmark(fs, testDir); err != nil {
			t.Fatal(err)
		}
		c, id = next, newID
	}
}

// TestRottenMark reads a mark of which a copy is bad, or both: it stays a mark.
func TestRottenMark(t *testing.T) {
	for flips := 1; flips <= 2; flips++ {
		fs := vfs.NewMem()
		if err := MakeDir(fs, testDir); err != nil {
			t.Fatal(err)
		}
		c, err := OpenCounters(testConfig(fs), 5, true)
		if err == nil {
			err = c.Mark(errors.New("why"))
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"node/damaged", "node/damaged.2"}[:flips] {
			rot(t, fs, name)
		}
		if m, ok, err := c.Marked(); err != nil || !ok || m.Generation != 1 || (m.Why == "why") != (flips == 1) {
			t.Errorf("%d flips: %+v %v %v", flips, m, ok, err)
		}
		if err := Unmark(fs, testDir); err != nil {
			t.Fatal(err)
		}
		if _, ok, err := c.Marked(); ok || err != nil {
			t.Errorf("the mark is left: %v", err)
		}
	}
}

// TestIDsWhileTheDiskIsFull goes on with the ids that are reserved.
func TestIDsWhileTheDiskIsFull(t *testing.T) {
	fs := vfs.NewMem()
	if err := MakeDir(fs, testDir); err != nil {
		t.Fatal(err)
	}
	full := false
	hook := &fullFS{FS: fs, full: &full}
	cfg := testConfig(hook)
	var fatal error
	cfg.Fatal = func(err error) { fatal = err }
	c, err := OpenCounters(cfg, 5, true)
	if err != nil {
		t.Fatal(err)
	}
	full = true
	first := c.NewID()
	for range idFirst - 1 {
		c.NewID()
	}
	if fatal != nil {
		t.Fatal(fatal)
	}
	if c.NewID(); !errors.Is(fatal, syscall.EDQUOT) {
		t.Errorf("without ids and room: %v", fatal)
	}
	full, fatal = false, nil
	c, err = OpenCounters(cfg, 5, false)
	if err != nil || fatal != nil || c.NewID() <= first {
		t.Error(err, fatal)
	}
}

// fullFS refuses to make files while full is set, with the error of a quota.
type fullFS struct {
	vfs.FS
	full *bool
}

func (f *fullFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if *f.full {
		return nil, &os.PathError{Op: "create", Path: name, Err: syscall.EDQUOT}
	}
	return f.FS.Create(name, c)
}
