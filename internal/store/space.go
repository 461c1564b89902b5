package store

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Space watches the disk of a node, so that the node refuses work before the
// disk does: an append to the raft log that fails ends the node. It also keeps
// a ballast, a file that holds nothing and is released when the disk is full,
// and a spare: the room with which the next file of the raft log begins.
//
// With R, the reserve, what goes on depends on the room that is left:
//
//	below R    Full: writes of users are refused, the ballast (R/2) is released,
//	           the log is cut sooner
//	below R/2  no compactions, no incoming snapshots
//	below R/4  Tight: writes of users are refused or not appended, deletes too
//	below R/8  Exhausted, as without a spare: no appends at all
//	below R/16 no flushes: what is left is for votes and manifests
//
// A node without replicas keeps no ballast: none of its files grow. Full ends at 2R. A
// file system that can't tell its room is full only when it says so by refusing a
// write, see trial.go.
type Space struct {
	cfg     Config
	reserve int64
	parts   []string // see checkFolder

	// left is the room that is left: as last asked, less what this node has
	// written since.
	left   atomic.Int64
	full   atomic.Bool
	spent  atomic.Int64 // written since it was last asked
	broken brokenBlobs

	ballast ballast

	sparing sync.Mutex // held to make and to take the spare
	spare   atomic.Bool

	looking sync.Mutex // guards what follows; held to ask and to judge
	told    int64      // the room that the file system told last; unknownBytes: it does not tell
	denied  bool       // it has refused a write all the same, see refused
	tryAt   time.Time  // when the next trial is due

	wake chan struct{} // capacity 1: much has been written
	quit chan struct{}
	done chan struct{}
}

const (
	spaceEvery      = time.Second
	unknownBytes    = 1 << 62 // the room of a disk that does not tell
	spareFile       = "spare"
	reserveBytes    = 1 << 30
	reserveSmall    = 64 << 20
	spaceHysteresis = 2
	tablesOfReserve = 2
	tightOfReserve  = 4
	lastOfReserve   = 8
	flushOfReserve  = 16
	aheadOfReserve  = 16
	// lookOfReserve is the part of the reserve after whose writing the disk is
	// asked again.
	lookOfReserve = 16
)

// WatchSpace starts to watch cfg.Dir. The stores of the node get the result as
// their Config's Space.
func WatchSpace(cfg Config) *Space {
	cfg.fill()
	s := &Space{cfg: cfg, reserve: reserveBytes, parts: partsOf(cfg), wake: make(chan struct{}, 1), quit: make(chan struct{}), done: make(chan struct{})}
	if cfg.Small || cfg.Bare {
		s.reserve = reserveSmall
	}
	s.ballast.s = s
	s.ballast.removeUseless()
	s.look()
	// What is left of the last run may have become a log, so far as the disk knows.
	for _, name := range []string{s.sparePath(), s.trialPath()} {
		if err := cfg.FS.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			cfg.Logger.Warn("remove what the last run left", slog.Any("error", err))
		}
	}
	s.keepSpare()
	go s.run()
	return s
}

// Full reports whether writes that need room are to be refused.
func (s *Space) Full() bool { return s != nil && s.full.Load() }

// Tight reports whether no write of a user is to be appended.
func (s *Space) Tight() bool { return s != nil && s.left.Load() < s.reserve/tightOfReserve }

// Exhausted reports whether nothing is to be appended at all.
func (s *Space) Exhausted() bool {
	return s != nil && (s.left.Load() < s.reserve/lastOfReserve || !s.spare.Load())
}

// Close stops watching. Whoever waits for room is told that there is none.
func (s *Space) Close() {
	close(s.quit)
	<-s.done
}

func (s *Space) run() {
	defer close(s.done)
	t := time.NewTicker(spaceEvery)
	defer t.Stop()
	defer s.ballast.abandon()
	for {
		select {
		case <-s.quit:
			return
		case <-s.ballast.due:
			s.ballast.grow()
			continue
		case <-s.wake:
		case <-t.C:
		}
		s.checkFolder()
		s.try()
		s.look()
		s.keepSpare()
		s.ballast.keep()
	}
}

// look asks how much room there is.
func (s *Space) look() {
	s.looking.Lock()
	defer s.looking.Unlock()
	s.ask()
	s.judge()
}

// ask sets what is left; s.looking is held.
func (s *Space) ask() {
	s.spent.Store(0)
	usage, err := s.cfg.FS.GetDiskUsage(s.cfg.Dir)
	s.told = unknownBytes
	if err == nil {
		s.told = int64(min(usage.AvailBytes, unknownBytes))
	} else if !errors.Is(err, vfs.ErrUnsupported) {
		s.cfg.Logger.Warn("disk usage", slog.Any("error", err))
	}
	left := s.told
	if s.denied { // which is not all that one may take
		left = min(left, s.left.Load())
	}
	s.left.Store(left)
}

// judge begins and ends what is done on a full disk; s.looking is held.
func (s *Space) judge() {
	switch left := s.left.Load(); {
	case left < s.reserve:
		s.setFull()
	case left >= spaceHysteresis*s.reserve && s.full.CompareAndSwap(true, false):
		s.cfg.Logger.Info("the disk has room again", slog.Int64("available_bytes", left))
	}
}

// setFull refuses writes and gives the ballast back, which counts from the next
// look on. It reports whether there was one. s.looking is held.
func (s *Space) setFull() (released bool) {
	if s.full.Swap(true) {
		return false
	}
	s.cfg.Logger.Error("the disk is full: writes are refused, the ballast is released", slog.Int64("available_bytes", s.left.Load()))
	if err := s.cfg.FS.Remove(s.ballast.path()); err != nil {
		s.cfg.Logger.Debug("release ballast", slog.Any("error", err))
		return false
	}
	return !s.ballast.half.Load()
}

// spend counts what has been written, and asks again when it is much.
func (s *Space) spend(n int) {
	s.left.Add(-int64(n))
	if s.spent.Add(int64(n)) < s.reserve/lookOfReserve {
		return
	}
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// await reports whether writing n bytes leaves one part in part of the
// reserve. If not, it takes its time to say so: whoever is told no tries again.
func (s *Space) await(n, part int) bool {
	floor := s.reserve/int64(part) + int64(n)
	if s.left.Load() >= floor {
		return true
	}
	if s.look(); s.left.Load() >= floor {
		return true
	}
	s.pause()
	return false
}

// failed reports whether values of the state could not be written, which ends the node.
func (s *Space) failed() bool { return s != nil && s.broken.any() != nil }

// pause lets some time pass, and reports whether the node still runs. When it does not it is
// short: Pebble tries again at once what has failed.
func (s *Space) pause() bool {
	t := time.NewTimer(spaceEvery)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-s.quit:
		time.Sleep(closingPause)
		return false
	}
}

// closingPause is what pause takes while the node closes.
const closingPause = 10 * time.Millisecond

// ahead is how much room the raft log takes before it needs it.
func (s *Space) ahead() int64 { return s.reserve / aheadOfReserve }

func (s *Space) sparePath() string { return s.cfg.FS.PathJoin(s.cfg.Dir, spareFile) }

// keepSpare makes a spare unless there is one.
func (s *Space) keepSpare() {
	s.sparing.Lock()
	defer s.sparing.Unlock()
	if s.spare.Load() {
		return
	}
	err := s.makeSpare()
	s.spare.Store(err == nil)
	switch {
	case isFull(err):
		s.refused()
	case err != nil:
		s.cfg.Logger.Warn("make a spare", slog.Any("error", err))
	}
}

// makeSpare gives a file room, as far as the file system can.
func (s *Space) makeSpare() (err error) {
	f, err := s.cfg.FS.Create(s.sparePath(), categoryWAL)
	if err != nil {
		return fmt.Errorf("create %s: %w", s.sparePath(), err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := f.Preallocate(0, s.ahead()); isFull(err) {
		return fmt.Errorf("take room: %w", err)
	}
	s.spend(int(s.ahead()))
	return nil
}

// takeSpare makes the spare, if there is one, the file of that name, and the
// next spare.
func (s *Space) takeSpare(name string) bool {
	s.sparing.Lock()
	taken := s.spare.Load()
	if taken {
		if err := s.cfg.FS.Rename(s.sparePath(), name); err != nil {
			s.cfg.Logger.Warn("take the spare", slog.Any("error", err))
			taken = false
		}
		s.spare.Store(false)
	}
	s.sparing.Unlock()
	s.keepSpare()
	return taken
}
