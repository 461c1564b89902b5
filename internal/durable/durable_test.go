package durable

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

func read(fs vfs.FS, name string) (string, error) {
	f, err := fs.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	return string(b), err
}

// A loss of power before any operation leaves the old content or the new one, and
// the new one once Replace has returned.
func TestReplaceSurvivesPowerCuts(t *testing.T) {
	mem := vfs.NewCrashableMem()
	if err := Replace(mem, "/file", []byte("old"), 0); err != nil {
		t.Fatal(err)
	}
	ops, done := 0, false
	look := func(op string) {
		got, err := read(mem.CrashClone(vfs.CrashCloneCfg{}), "/file")
		if err != nil || got != "old" && got != "new" || done && got != "new" {
			t.Errorf("a power cut before %s leaves %q, %v", op, got, err)
		}
		ops++
	}
	watched := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		look(fmt.Sprint(op.Kind, " ", op.Path))
		return nil
	}))
	if err := Replace(watched, "/file", []byte("new"), 0); err != nil {
		t.Fatal(err)
	}
	if done = true; ops < 5 {
		t.Errorf("only %d operations were looked at", ops)
	}
	look("the end")
	if names, _ := mem.List("/"); strings.Join(names, " ") != "file" {
		t.Errorf("files %v are left", names)
	}
}

// An operation that fails leaves the old content or the new one, and the next
// replacement goes well.
func TestReplaceAfterAnError(t *testing.T) {
	failed := errors.New("the disk fails")
	for bad := 1; ; bad++ {
		mem, n := vfs.NewCrashableMem(), 0
		if err := Replace(mem, "/file", []byte("old"), 0); err != nil {
			t.Fatal(err)
		}
		broken := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
			if n++; n == bad {
				return failed
			}
			return nil
		}))
		err := Replace(broken, "/file", []byte("new"), 0)
		if n < bad {
			if err != nil || bad < 5 {
				t.Errorf("%d operations, then %v", n, err)
			}
			return
		}
		if got, rerr := read(mem, "/file"); rerr != nil || got != "old" && got != "new" || err == nil && got != "new" {
			t.Errorf("operation %d fails, Replace says %v: the file says %q, %v", bad, err, got, rerr)
		}
		if err := Replace(mem, "/file", []byte("newer"), 0); err != nil {
			t.Errorf("after operation %d failed: %v", bad, err)
		}
	}
}

// A file has the mode that it is given, whatever the process gives to new ones and
// whatever an earlier one of that name had.
func TestReplaceSetsTheMode(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	for _, mode := range []os.FileMode{0o644, 0o600} {
		if err := Replace(vfs.Default, name, []byte("x"), mode); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != mode {
			t.Errorf("mode %v, %v, want %v", info.Mode(), err, mode)
		}
	}
}
