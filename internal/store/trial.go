package store

import (
	"errors"
	"io/fs"
	"log/slog"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// What a file system tells of its room need not be what one may take of it:
// there are quotas, blocks that are kept for root, and inodes. So a write that
// is refused counts for more than what is told. From then on the room is what a
// trial gets, and the disk has room again when a trial gets twice the reserve and
// can write most of it.

// isFull reports whether err says that the disk, or what this user may take of
// it, is full.
func isFull(err error) bool { return vfs.IsNoSpaceError(err) || errors.Is(err, syscall.EDQUOT) }

const (
	trialFile = "trial"
	// trialPause is how many times as long as a trial took there is none: where
	// room can't be reserved it writes, which must not be all that the disk does.
	trialPause = 10
)

// trialParts are the amounts that a trial wants, the most first, each as how
// many parts of 1/flushOfReserve of the reserve it is: below the last nothing is
// written any more.
var trialParts = [...]int64{spaceHysteresis * flushOfReserve, flushOfReserve, flushOfReserve / 2, flushOfReserve / 4, flushOfReserve / 8, 1}

func (s *Space) trialPath() string { return s.cfg.FS.PathJoin(s.cfg.Dir, trialFile) }

// refused runs when the disk has refused a write.
func (s *Space) refused() {
	s.looking.Lock()
	defer s.looking.Unlock()
	s.ask()
	first := false
	if s.left.Load() >= s.reserve {
		first = !s.denied
		s.denied = true
	}
	released := s.setFull()
	if !s.denied {
		return
	}
	left := int64(0)
	if released {
		left = s.reserve / ballastOfReserve
	}
	s.left.Store(min(s.left.Load(), left))
	if first {
		s.cfg.Logger.Error("the disk refuses writes although it says that it has room: is there a quota, or are there no inodes left?", slog.Int64("available_bytes", s.told))
	}
}

// try is a trial if one is due.
func (s *Space) try() {
	s.looking.Lock()
	due := s.denied && !time.Now().Before(s.tryAt)
	told := s.told
	s.looking.Unlock()
	if !due {
		return
	}
	began := time.Now()
	got, ended := s.trial(), false
	if got >= spaceHysteresis*s.reserve && told >= got {
		got, ended = s.prove(told)
	}
	s.looking.Lock()
	defer s.looking.Unlock()
	s.denied = s.denied && !ended
	s.left.Store(got)
	s.tryAt = time.Now().Add(trialPause * time.Since(began))
}

// prove writes what could be reserved, and makes the ballast of it: on some file
// systems reserving does nothing. It returns how far it came, and whether that
// was all.
func (s *Space) prove(told int64) (written int64, all bool) {
	s.ballast.abandon()
	written, err := s.ballast.make()
	if err == nil {
		var more int64
		more, err = s.fill(s.trialPath(), s.reserve)
		written += more
		err = errors.Join(err, s.cfg.FS.Remove(s.trialPath()))
	}
	if all = err == nil; all && told != unknownBytes { // else no ballast is kept
		return told, true
	}
	if rerr := s.cfg.FS.Remove(s.ballast.path()); rerr != nil && !errors.Is(rerr, fs.ErrNotExist) {
		err = errors.Join(err, rerr)
	}
	if err != nil && !isFull(err) {
		s.cfg.Logger.Warn("try the room of the disk", slog.Any("error", err))
	}
	return written, all
}

// trial returns how much room can be reserved, up to twice the reserve.
func (s *Space) trial() int64 {
	for _, part := range trialParts {
		size := s.reserve / flushOfReserve * part
		err := s.reserveRoom(size)
		if err == nil {
			return size
		}
		if !isFull(err) {
			s.cfg.Logger.Warn("try the room of the disk", slog.Any("error", err))
			return 0
		}
	}
	return 0
}

// reserveRoom takes room and gives it back. On a file system where room can't be
// reserved there seems to be enough: the ballast tells.
func (s *Space) reserveRoom(size int64) error {
	f, err := s.cfg.FS.Create(s.trialPath(), vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	if err = f.Preallocate(0, size); !isFull(err) {
		err = nil
	}
	return errors.Join(err, f.Close(), s.cfg.FS.Remove(s.trialPath()))
}
