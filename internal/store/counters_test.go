package store

import (
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestIDs checks that ids are not given out twice, over starts, crashes and the
// ends of reserved blocks.
func TestIDs(t *testing.T) {
	fs := vfs.NewCrashableMem()
	if err := fs.MkdirAll(testDir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syncDir(fs, "/"); err != nil {
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
				c.next = max(c.next, c.limit-2) // the end of the block is near
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

// TestCountersGone refuses to count on from nothing or from damage.
func TestCountersGone(t *testing.T) {
	fs := vfs.NewMem()
	if err := fs.MkdirAll(testDir, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenCounters(testConfig(fs), 5, false); err == nil {
		t.Error("opened without a file")
	}
	if _, err := OpenCounters(testConfig(fs), 5, true); err != nil {
		t.Fatal(err)
	}
	name := "node/counters"
	data, err := readFile(fs, name)
	if err != nil {
		t.Fatal(err)
	}
	for bit := range 8 * len(data) {
		if err := WriteFile(fs, name, flip(data, bit)); err != nil {
			t.Fatal(err)
		}
		if c, err := OpenCounters(testConfig(fs), 5, false); err == nil {
			t.Fatalf("bit %d is flipped, and start %d is counted", bit, c.Incarnation)
		}
	}
}

// TestWriteFile crashes before each operation: the file is the old or the new
// one, and the new one when WriteFile has returned.
func TestWriteFile(t *testing.T) {
	mem := vfs.NewCrashableMem()
	done := false
	look := func(op, name string) {
		b, err := readFile(mem.CrashClone(vfs.CrashCloneCfg{}), "/file")
		if got := string(b); err != nil || got != "old" && got != "new" || done && got != "new" {
			t.Errorf("crash before %s %s leaves %q, %v", op, name, got, err)
		}
	}
	fs := &hookFS{MemFS: mem, before: look, drop: keepAll}
	if err := WriteFile(mem, "/file", []byte("old")); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(fs, "/file", []byte("new")); err != nil {
		t.Fatal(err)
	}
	done = true
	look("the", "end")
	if names, _ := mem.List("/"); strings.Join(names, " ") != "file" {
		t.Errorf("files %v are left", names)
	}
}
