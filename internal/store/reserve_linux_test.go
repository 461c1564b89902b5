package store

import (
	"os"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Where the file system keeps what it reserves, the ballast is whole as soon as it is
// begun, has its blocks, and nothing of it was written.
func TestBallastIsReserved(t *testing.T) {
	cfg := Config{Dir: t.TempDir(), Small: true}
	cfg.fill()
	f, err := vfs.Default.Create(cfg.FS.PathJoin(cfg.Dir, "probe"), vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if whole, err := reserve(f, 1<<20); err != nil || !whole {
		t.Skipf("the file system of %s reserves nothing: %t, %v", cfg.Dir, whole, err)
	}
	s := &Space{cfg: cfg, reserve: reserveSmall}
	s.ballast.s = s
	if err := s.ballast.begin(); err != nil || s.ballast.half.Load() || s.ballast.file != nil {
		t.Fatalf("begun: %v, half: %t", err, s.ballast.half.Load())
	}
	info, err := os.Stat(s.ballast.path())
	if err != nil {
		t.Fatal(err)
	}
	const size = reserveSmall / ballastOfReserve
	if got := info.Sys().(*syscall.Stat_t).Blocks * 512; info.Size() != size || got < size {
		t.Errorf("%d bytes with blocks for %d, want %d", info.Size(), got, size)
	}
}
