package durable

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

const logs vfs.DiskWriteCategory = "logs"

func unwatched(t *testing.T) *Unwatched {
	t.Helper()
	s := newSyncer()
	if s == nil {
		t.Skip("this system has no io_submit(2), or forbids it")
	}
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	u := NewUnwatched(vfs.Default, logs)
	t.Cleanup(func() {
		if err := u.Close(); err != nil {
			t.Error(err)
		}
	})
	return u
}

// However a file comes to be, what is written to it is there, and can be synced, again
// and again.
func TestUnwatchedFiles(t *testing.T) {
	u, dir := unwatched(t), t.TempDir()
	name := filepath.Join(dir, "a")
	for _, open := range []func() (vfs.File, error){
		func() (vfs.File, error) { return u.Create(name, logs) },
		func() (vfs.File, error) { return u.OpenReadWrite(name, logs) },
		func() (vfs.File, error) {
			if err := os.Rename(name, name+".old"); err != nil {
				return nil, err
			}
			return u.ReuseForWrite(name+".old", name, logs)
		},
	} {
		f, err := open()
		if err != nil {
			t.Fatal(err)
		}
		if _, is := f.(*unwatchedFile); !is {
			t.Fatalf("a log is %T", f)
		}
		var want []byte
		for i := range 100 {
			p := bytes.Repeat([]byte{byte(i + 1)}, i*i)
			if n, err := f.Write(p); n != len(p) || err != nil {
				t.Fatalf("write %d of %d bytes: %v", n, len(p), err)
			}
			want = append(want, p...)
			if err := f.SyncData(); err != nil {
				t.Fatal(err)
			}
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got[:len(want)], want) {
			t.Fatalf("%d bytes are not the %d that were written: %v", len(got), len(want), err)
		}
	}
}

// Files of other categories, and those of a simulation, are what they were.
func TestUnwatchedAreLogsOnly(t *testing.T) {
	u := unwatched(t)
	f, err := u.Create(filepath.Join(t.TempDir(), "table"), "tables")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, is := f.(*unwatchedFile); is {
		t.Error("a table is written unwatched")
	}
	m := NewUnwatched(vfs.NewMem(), logs)
	defer m.Close()
	g, err := m.Create("log", logs)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	if _, is := g.(*unwatchedFile); is {
		t.Error("a file that has no descriptor is written by one")
	}
}

// What can't be written or synced says so.
func TestUnwatchedFails(t *testing.T) {
	u := unwatched(t)
	f, err := u.Create(filepath.Join(t.TempDir(), "log"), logs)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if n, err := f.Write([]byte("x")); n != 0 || err == nil {
		t.Errorf("a closed file took %d bytes: %v", n, err)
	}
	if f.SyncData() == nil {
		t.Error("a closed file was synced")
	}
}

// Once a write has waited, the scheduler is told of those that follow.
func TestSlowWritesAreWatched(t *testing.T) {
	var w watched
	start := time.Unix(1000, 0)
	w.took(start, start.Add(slowWrite))
	if w.at(start.Add(slowWrite)) {
		t.Error("watched after a quick one")
	}
	end := start.Add(slowWrite + 1)
	w.took(start, end)
	if !w.at(end) || !w.at(end.Add(watchedFor-1)) || w.at(end.Add(watchedFor)) {
		t.Error("watched for another time than asked for")
	}
}
