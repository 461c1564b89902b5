package store

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// The ballast is written bit by bit, for whoever needs the disk meanwhile; one that is
// not whole counts for nothing: it is removed by whoever stops, by the next start, and
// when the disk gets full.
func TestBallastIsMadeSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := &blockDisk{FS: vfs.NewMem(), left: 1 << 30, files: make(map[string]int64)}
		if err := disk.MkdirAll(testDir, 0o755); err != nil {
			t.Fatal(err)
		}
		cfg := Config{FS: disk, Dir: testDir, Small: true}
		var s *Space
		start := func() {
			if s != nil {
				s.Close()
			}
			s = WatchSpace(cfg)
		}
		whole := reserveSmall / ballastOfReserve
		size := func() int {
			synctest.Wait()
			info, err := disk.Stat(s.ballast.path())
			if err != nil {
				return 0
			}
			return int(info.Size())
		}
		const begun, half, done = ballastEverySoon, 400 * time.Millisecond, 3 * spaceEvery
		start()
		time.Sleep(begun)
		if got := size(); got > ballastChunk {
			t.Errorf("%d bytes were written at once", got)
		}
		time.Sleep(half - begun)
		if got := size(); got < whole/3 || got > whole*2/3 {
			t.Errorf("%d bytes were written within 0.4 s", got)
		}
		s.Close()
		if got := size(); got != 0 {
			t.Errorf("who stops leaves %d bytes", got)
		}
		f, err := disk.Create(s.ballast.path(), vfs.WriteCategoryUnspecified)
		if err == nil {
			_, err = f.Write(make([]byte, whole/2)) // as a power cut leaves it
		}
		if err != nil {
			t.Fatal(err)
		}
		_ = f.Close()
		s = nil
		start()
		if got := size(); got != 0 {
			t.Errorf("a start keeps %d bytes of half a ballast", got)
		}
		time.Sleep(half)
		rest := disk.hog()
		s.look()
		time.Sleep(spaceEvery)
		if got := size(); !s.Full() || got != 0 {
			t.Errorf("full: %t, with %d bytes of half a ballast", s.Full(), got)
		}
		disk.give(rest)
		time.Sleep(spaceEvery + done)
		if got := size(); s.Full() || got != whole {
			t.Errorf("full: %t, the ballast has %d bytes", s.Full(), got)
		}
		start()
		if got := size(); got != whole {
			t.Errorf("a start leaves %d bytes of a whole ballast", got)
		}
		s.Close()
	})
}

// A node without replicas keeps no ballast, nor that of an earlier version; one that is
// to hold some keeps it from its next start on.
func TestBareNodeKeepsNoBallast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := &blockDisk{FS: vfs.NewMem(), left: 1 << 30, files: make(map[string]int64)}
		if err := disk.MkdirAll(testDir, 0o755); err != nil {
			t.Fatal(err)
		}
		for i, bare := range []bool{false, true, false} {
			cfg := Config{FS: disk, Dir: testDir, Small: true, Bare: bare}
			s := WatchSpace(cfg)
			time.Sleep(5 * spaceEvery)
			synctest.Wait()
			info, err := disk.Stat(s.ballast.path())
			if bare && err == nil {
				t.Errorf("start %d: a ballast of %d bytes", i, info.Size())
			}
			if !bare && (err != nil || info.Size() != reserveSmall/ballastOfReserve) {
				t.Errorf("start %d: the ballast: %v, %v", i, info, err)
			}
			if bare {
				// A full disk is noticed, and its end, without one.
				rest := disk.hog()
				time.Sleep(2 * spaceEvery)
				s.refused()
				if full := s.Full(); !full {
					t.Error("a full disk is not noticed")
				}
				disk.give(rest)
				time.Sleep(60 * spaceEvery)
				if _, err := disk.Stat(s.ballast.path()); s.Full() || err == nil {
					t.Errorf("with room again: full: %t, ballast: %v", s.Full(), err)
				}
			}
			s.Close()
		}
	})
}
