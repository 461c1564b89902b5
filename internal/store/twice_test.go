package store

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"tutti/internal/cluster"
	"tutti/internal/durable"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files of formats anew")

func writeTwice(t *testing.T, fs vfs.FS, version uint32, body string) {
	t.Helper()
	if err := WriteTwice(fs, "/", "f", version, []byte(body)); err != nil {
		t.Fatal(err)
	}
}

func overwriteFile(t *testing.T, fs vfs.FS, name string, data []byte) {
	t.Helper()
	if err := durable.Replace(fs, name, bytes.Clone(data), 0); err != nil {
		t.Fatal(err)
	}
}

// TestTwiceSurvivesEveryFlip flips each bit of one copy: what was written is
// read, and the copy is mended. With both copies hit nothing is read.
func TestTwiceSurvivesEveryFlip(t *testing.T) {
	fs := vfs.NewMem()
	writeTwice(t, fs, 1, "old")
	writeTwice(t, fs, 1, "what it says")
	names := [...]string{"/f", "/f.2"}
	good, err := readFile(fs, names[0])
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range names {
		for bit := range 8 * len(good) {
			overwriteFile(t, fs, name, flip(good, bit))
			got, err := ReadTwice(fs, "/", "f", 1)
			if err != nil || string(got.Body) != "what it says" || !got.Worn {
				t.Fatalf("%s, bit %d: %q, worn %v, %v", name, bit, got.Body, got.Worn, err)
			}
		}
		if got, err := MendTwice(fs, "/", "f", 1); err != nil || string(got.Body) != "what it says" {
			t.Fatal(got, err)
		}
		if got, err := ReadTwice(fs, "/", "f", 1); err != nil || got.Worn {
			t.Errorf("%s is not mended: %+v, %v", name, got, err)
		}
		if good, err = readFile(fs, name); err != nil {
			t.Fatal(err)
		}
		overwriteFile(t, fs, name, flip(good, 77))
		overwriteFile(t, fs, names[1-i], flip(good, 78))
		_, err = ReadTwice(fs, "/", "f", 1)
		if lost, ok := errors.AsType[*LostError](err); !ok || lost.Name != "/f" || errors.Is(err, ErrDamaged) {
			t.Errorf("with both copies damaged: %v", err)
		}
		writeTwice(t, fs, 1, "what it says")
		if good, err = readFile(fs, name); err != nil {
			t.Fatal(err)
		}
	}
}

// TestTwiceGone reads a file of which one copy, or both, are missing.
func TestTwiceGone(t *testing.T) {
	fs := vfs.NewMem()
	if _, err := ReadTwice(fs, "/", "f", 1); !errors.Is(err, os.ErrNotExist) || HasTwice(fs, "/", "f") {
		t.Errorf("without a file: %v", err)
	}
	for _, name := range []string{"/f", "/f.2"} {
		writeTwice(t, fs, 1, "body")
		if err := fs.Remove(name); err != nil {
			t.Fatal(err)
		}
		if got, err := MendTwice(fs, "/", "f", 1); err != nil || string(got.Body) != "body" || !got.Worn {
			t.Errorf("without %s: %+v, %v", name, got, err)
		}
		if got, err := ReadTwice(fs, "/", "f", 1); err != nil || got.Worn {
			t.Errorf("%s is not there again: %+v, %v", name, got, err)
		}
	}
	overwriteFile(t, fs, "/f", nil)
	if err := fs.Remove("/f.2"); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadTwice(fs, "/", "f", 1); err == nil || errors.Is(err, os.ErrNotExist) {
		t.Errorf("one copy is empty, the other gone: %v", err)
	}
	if err := RemoveTwice(fs, "/", "f"); err != nil || HasTwice(fs, "/", "f") {
		t.Errorf("after its removal: %v", err)
	}
}

// TestTwiceOfAnotherFile puts a good file in the place of another one.
func TestTwiceOfAnotherFile(t *testing.T) {
	fs := vfs.NewMem()
	writeTwice(t, fs, 1, "body")
	b, err := readFile(fs, "/f")
	if err != nil {
		t.Fatal(err)
	}
	overwriteFile(t, fs, "/g", b)
	if got, err := ReadTwice(fs, "/", "g", 1); err == nil {
		t.Errorf("read %q", got.Body)
	}
}

// TestTwiceOfALaterVersion is not damage, whichever copy says so, and nothing is
// written.
func TestTwiceOfALaterVersion(t *testing.T) {
	fs := vfs.NewMem()
	writeTwice(t, fs, 1, "old")
	before, err := readFile(fs, "/f")
	if err != nil {
		t.Fatal(err)
	}
	writeTwice(t, fs, 7, "new")
	overwriteFile(t, fs, "/f", before)
	_, err = MendTwice(fs, "/", "f", 1)
	if lost, ok := errors.AsType[*LostError](err); ok || !errors.Is(err, cluster.ErrVersion) {
		t.Errorf("says %v, lost %v", err, lost)
	}
	if want := "/f has version 7, this tutti reads it up to version 1: needs a later version of tutti"; err.Error() != want {
		t.Errorf("says %q, want %q", err, want)
	}
	if after, err := readFile(fs, "/f"); err != nil || !bytes.Equal(after, before) {
		t.Errorf("the older copy was written: %q, %v", after, err)
	}
}

// TestWriteTwiceIsDurable takes the power before each operation: the file is
// the old or the new one, and the new one when WriteTwice has returned; and
// then each of its copies alone is enough.
func TestWriteTwiceIsDurable(t *testing.T) {
	mem := vfs.NewCrashableMem()
	writeTwice(t, mem, 1, "old")
	done := false
	look := func(op, name string) {
		for _, without := range []string{"", "/f", "/f.2"} {
			disk := mem.CrashClone(vfs.CrashCloneCfg{})
			if without != "" {
				overwriteFile(t, disk, without, nil)
			}
			got, err := ReadTwice(disk, "/", "f", 1)
			if s := string(got.Body); err != nil || s != "old" && s != "new" || done && s != "new" {
				t.Errorf("crash before %s %s, without %q: %q, %v", op, name, without, s, err)
			}
		}
	}
	fs := &hookFS{MemFS: mem, before: look, drop: keepAll}
	writeTwice(t, fs, 1, "new")
	done = true
	look("the", "end")
	names, err := mem.List("/")
	if slices.Sort(names); err != nil || fmt.Sprint(names) != "[f f.2]" {
		t.Errorf("files %v are left, %v", names, err)
	}
}

// TestGoldenFiles compares the small files with their bytes as the first version
// that writes them did: -rewrite after a new version of a format.
func TestGoldenFiles(t *testing.T) {
	fs := vfs.NewMem()
	c := &Counters{fs: fs, dir: "/", Incarnation: 41, limit: 3 * idBlock, Generation: 2}
	s := &Starts{cfg: Config{FS: fs, Dir: "/"}}
	if err := errors.Join(c.save(), c.Mark(errors.New("a reason")), s.save(map[cluster.NodeID]Start{2: {1, 2}, 9: {3, 4}})); err != nil {
		t.Fatal(err)
	}
	compare := func(name string, version int) {
		golden := filepath.Join("testdata", fmt.Sprintf("%s.v%d", name, version))
		for _, copied := range []string{name, name + secondCopy} {
			got, err := readFile(fs, "/"+copied)
			if err != nil {
				t.Fatal(err)
			}
			if *rewrite {
				if err := os.WriteFile(golden, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s is %q, want %q, %v", copied, got, want, err)
			}
		}
	}
	compare(CountersFile, countersVersion)
	compare(markFile, markVersion)
	compare(startsFile, startsVersion)
	if err := c.MarkKept(errors.New("a reason")); err != nil {
		t.Fatal(err)
	}
	compare(markFile, keepVersion)
}

// FuzzDecodeTwice reads any bytes as a copy of a small file: as the one that
// would be written so, or not at all.
func FuzzDecodeTwice(f *testing.F) {
	f.Add(encodeTwice("f", 1, 2, []byte("body\n")))
	f.Add([]byte("tutti f, version 1, write 2, CRC-32C 00000000\n"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := decodeTwice("f", b)
		if err == nil && !bytes.Equal(encodeTwice("f", c.version, c.write, c.body), b) {
			t.Errorf("%q is read as %+v", b, c)
		}
	})
}
