package store

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"tutti/internal/durable"
	"tutti/internal/keyspace"
)

// written adds large values to a state until nothing of them is in memory: so many times the
// same rows, each time others.
func written(t *testing.T, s *State, rows, times, size int) {
	t.Helper()
	random := rand.NewChaCha8([32]byte{})
	for range times {
		b := s.db.NewBatch()
		for i := range rows {
			value := make([]byte, size)
			_, _ = random.Read(value)
			if err := b.Set([]byte{'k', byte(i)}, value, nil); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(b.Commit(pebble.NoSync), s.db.Flush()); err != nil {
			t.Fatal(err)
		}
	}
}

// A value that rots on the disk is found, wherever it does, and nothing is where none does.
func TestVerifyFindsRot(t *testing.T) {
	s, mem := newTestState(t)
	written(t, s, 4, 2, 20_000)
	all := func(int) bool { return true }
	if err := s.VerifyTables(all); err != nil {
		t.Fatal(err)
	}
	names, err := mem.List("node/state")
	if err != nil {
		t.Fatal(err)
	}
	blobs, err := blobNames(s.db)
	if err != nil || len(blobs) == 0 {
		t.Fatalf("values lie in %q, %v", blobs, err)
	}
	for _, name := range names {
		if !strings.HasSuffix(name, ".sst") && !slices.Contains(blobs, name) {
			continue
		}
		name = "node/state/" + name
		data, err := readFile(mem, name)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(data); i += 1 + len(data)/16 {
			bad := bytes.Clone(data)
			bad[i] ^= 1 << (i % 8)
			if err := durable.Replace(mem, name, bad, 0); err != nil {
				t.Fatal(err)
			}
			if err := s.VerifyTables(all); !errors.Is(err, ErrDamaged) {
				t.Errorf("%s, byte %d of %d: %v", name, i, len(data), err)
			}
		}
		if err := durable.Replace(mem, name, data, 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.VerifyTables(all); err != nil {
		t.Fatal(err)
	}
}

// Large values are written once: merging tables moves references. What is overwritten goes
// from the disk, and what was written is there after a power cut.
func TestLargeValuesAreWrittenOnce(t *testing.T) {
	s, mem := newTestState(t)
	const rows, times, size = 20, 30, 20_000
	written(t, s, rows, times, size)
	if err := s.db.Compact(t.Context(), []byte{0}, []byte{0xff}, false); err != nil {
		t.Fatal(err)
	}
	m := s.db.Metrics()
	tables, values := uint64(0), uint64(0)
	for _, l := range m.Levels {
		tables += l.TableBytesFlushed + l.TableBytesCompacted
		values += max(l.BlobBytesFlushed, l.BlobBytesCompacted) // Pebble counts what is flushed as both
	}
	if all := uint64(rows * times * size); values < all || tables+values > all+all/10 {
		t.Errorf("%d KB of tables and %d KB of values were written for %d KB", tables/1000, values/1000, all/1000)
	}
	if live := m.BlobFiles.Local.LiveSize; live > 2*rows*size {
		t.Errorf("%d KB lie in files for %d KB that are left", live/1000, rows*size/1000)
	}
	want, err := allRows(s)
	if err != nil {
		t.Fatal(err)
	}
	again, err := OpenState(testConfig(mem.CrashClone(vfs.CrashCloneCfg{})))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = again.Close() }()
	if got, err := allRows(again); err != nil || !maps.Equal(got, want) {
		t.Errorf("%d rows of %d behind a power cut, %v", len(got), len(want), err)
	}
}

// What the disk refuses of a blob file, at any place, is written later, or ends the node: it
// does not end the process in Pebble, and no table refers to what is not there.
func TestFaultsOfBlobFiles(t *testing.T) {
	for _, c := range []struct {
		what  string
		kinds []errorfs.OpKind
		err   error
		ends  bool
	}{
		{"no room", []errorfs.OpKind{errorfs.OpFileWrite}, syscall.ENOSPC, false},
		{"bad write", []errorfs.OpKind{errorfs.OpFileWrite}, syscall.EIO, true},
		{"bad sync", []errorfs.OpKind{errorfs.OpFileSync, errorfs.OpFileSyncData}, syscall.EIO, true},
	} {
		t.Run(c.what, func(t *testing.T) {
			ended := 0
			for at := 1; ; at++ {
				var seen atomic.Int32
				ends := make(chan struct{}, 1)
				mem := vfs.NewCrashableMem()
				cfg := testConfig(errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
					if !strings.HasSuffix(op.Path, ".blob") || !slices.Contains(c.kinds, op.Kind) {
						return nil
					}
					if seen.Add(1) != int32(at) {
						return nil
					}
					return c.err
				})))
				cfg.Fatal = func(error) {
					select {
					case ends <- struct{}{}:
					default:
					}
				}
				if err := MakeDir(mem, testDir); err != nil {
					t.Fatal(err)
				}
				cfg.Space = WatchSpace(cfg)
				s, err := OpenState(cfg)
				if err != nil {
					t.Fatal(err)
				}
				value := bytes.Repeat([]byte("v"), blobLeast)
				if err := errors.Join(s.db.Set([]byte("k"), value, pebble.NoSync), s.db.Set([]byte("l"), value, pebble.NoSync)); err != nil {
					t.Fatal(err)
				}
				flushed, err := s.db.AsyncFlush()
				if err != nil {
					t.Fatal(err)
				}
				end := false
				select {
				case <-flushed:
					select {
					case <-ends: // before Pebble tried again
						end, ended = true, ended+1
					default:
					}
				case <-ends: // Pebble tries again until it is closed
					end, ended = true, ended+1
				}
				if struck := seen.Load() >= int32(at); struck && end != c.ends {
					t.Errorf("operation %d: the node ends: %v", at, end)
				}
				cfg.Space.Close()
				_ = s.Close()
				wholeBehindACut(t, at, mem)
				if seen.Load() < int32(at) {
					break
				}
			}
			if c.ends != (ended > 0) {
				t.Errorf("the node has ended %d times", ended)
			}
		})
	}
}

// wholeBehindACut starts what a power cut leaves of a state: no table refers to what is not
// there.
func wholeBehindACut(t *testing.T, at int, mem *vfs.MemFS) {
	t.Helper()
	s, err := OpenState(testConfig(mem.CrashClone(vfs.CrashCloneCfg{})))
	if err != nil {
		t.Fatalf("operation %d: behind a power cut: %v", at, err)
	}
	defer func() { _ = s.Close() }()
	if err := s.VerifyTables(func(int) bool { return true }); err != nil {
		t.Errorf("operation %d: behind a power cut a table refers to what is not there: %v", at, err)
	}
}

// A blob file that holds little more than values that are gone is written again without
// them, once it is old enough.
func TestBlobFilesAreWrittenAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := vfs.NewMem()
		if err := disk.MkdirAll(testDir, 0o755); err != nil {
			t.Fatal(err)
		}
		s, err := OpenState(Config{FS: disk, Dir: testDir, Small: true, Fatal: func(err error) { t.Errorf("the node ended: %v", err) }})
		if err != nil {
			t.Fatal(err)
		}
		const values, kept, size = 100, 5, 64 << 10
		random := rand.NewChaCha8([32]byte{})
		row := func(i int) []byte { return append(keyspace.SlotPrefix(nil, 1), fmt.Sprintf("m%03d", i)...) }
		change := func(f func(b *pebble.Batch) error) {
			t.Helper()
			b := s.db.NewBatch()
			if err := errors.Join(f(b), b.Commit(pebble.NoSync), s.db.Flush()); err != nil {
				t.Fatal(err)
			}
		}
		change(func(b *pebble.Batch) (err error) {
			for i := range values {
				err = errors.Join(err, b.Set(row(i), noise(random, size), nil))
			}
			return err
		})
		change(func(b *pebble.Batch) (err error) {
			for i := range values {
				if i%kept != 0 {
					err = errors.Join(err, b.Delete(row(i), nil))
				}
			}
			return err
		})
		if err := s.db.Compact(t.Context(), []byte{0}, []byte{0xff}, false); err != nil {
			t.Fatal(err)
		}
		takes := func() uint64 { return s.db.Metrics().BlobFiles.LiveSize }
		if n := takes(); n < values*size/2 {
			t.Errorf("%d bytes are left at once of %d: nothing is to be written again", n, values*size)
		}
		for i := 0; takes() > values*size/2; i++ {
			if i == 20 {
				t.Fatalf("%d bytes are left, of %d only %d are of values", takes(), values*size, values/kept*size)
			}
			time.Sleep(blobAge / 2)                                                                    // virtual, in synctest
			change(func(b *pebble.Batch) error { return b.Set(row(values), []byte("anything"), nil) }) // Pebble looks then
		}
		for i := range values {
			val, ok, err := s.Get(row(i), nil)
			if err != nil || ok != (i%kept == 0) || ok && len(val) != size {
				t.Errorf("row %d: %d bytes, %v, %v", i, len(val), ok, err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	})
}
