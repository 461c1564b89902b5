package durable

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

func modeOf(t *testing.T, name string) fs.FileMode {
	t.Helper()
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode().Perm()
}

// A folder is made private, and one that was open is closed; the files in it and the
// folder above it are left as they are.
func TestMakePrivate(t *testing.T) {
	for _, was := range []fs.FileMode{0, 0o700, 0o755, 0o777, 0o750} {
		above := t.TempDir()
		dir := filepath.Join(above, "d")
		if was != 0 {
			if err := os.Mkdir(dir, was); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(dir, was); err != nil { // whatever the umask is
				t.Fatal(err)
			}
		}
		before := modeOf(t, above)
		if err := MakePrivate(vfs.Default, dir); err != nil {
			t.Fatal(err)
		}
		if got := modeOf(t, dir); got != 0o700 {
			t.Errorf("a folder of mode %#o has %#o", was, got)
		}
		if got := modeOf(t, above); got != before {
			t.Errorf("the folder above had %#o, now %#o", before, got)
		}
	}
	if err := MakePrivate(vfs.NewMem(), "/a/b"); err != nil {
		t.Errorf("a file system without modes: %v", err)
	}
}

func TestShutLeavesTheOwnerWhatHeMayDo(t *testing.T) {
	name := filepath.Join(t.TempDir(), "f")
	for was, want := range map[fs.FileMode]fs.FileMode{0o644: 0o600, 0o600: 0o600, 0o666: 0o600, 0o444: 0o400, 0o640: 0o600} {
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(name, was); err != nil {
			t.Fatal(err)
		}
		if err := Shut(vfs.Default, name); err != nil {
			t.Fatal(err)
		}
		if got := modeOf(t, name); got != want {
			t.Errorf("mode %#o became %#o, want %#o", was, got, want)
		}
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	if err := Shut(vfs.Default, name); err == nil {
		t.Error("a file that is missing was closed to others")
	}
}
