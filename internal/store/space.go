package store

import (
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Space watches the disk of a node and keeps a ballast on it: a file that holds
// nothing. When free space falls below the reserve, the ballast is released, so
// that there is room to go on deleting, compacting and truncating the log, and
// Full reports true until there is twice the reserve again.
type Space struct {
	cfg     Config
	reserve uint64
	full    atomic.Bool
	quit    chan struct{}
	done    chan struct{}
}

const (
	spaceEvery       = time.Second
	ballastFile      = "ballast"
	reserveBytes     = 1 << 30
	reserveSmall     = 64 << 20
	ballastChunk     = 1 << 20
	spaceHysteresis  = 2
	ballastOfReserve = 2 // the ballast is one part in this of the reserve
)

// WatchSpace starts to watch.
func WatchSpace(cfg Config) *Space {
	cfg.fill()
	s := &Space{cfg: cfg, reserve: reserveBytes, quit: make(chan struct{}), done: make(chan struct{})}
	if cfg.Small {
		s.reserve = reserveSmall
	}
	go s.run()
	return s
}

// Full reports whether writes that need room are to be refused.
func (s *Space) Full() bool { return s.full.Load() }

// Close stops watching.
func (s *Space) Close() {
	close(s.quit)
	<-s.done
}

func (s *Space) run() {
	defer close(s.done)
	t := time.NewTicker(spaceEvery)
	defer t.Stop()
	for {
		s.look()
		select {
		case <-s.quit:
			return
		case <-t.C:
		}
	}
}

func (s *Space) look() {
	usage, err := s.cfg.FS.GetDiskUsage(s.cfg.Dir)
	if errors.Is(err, vfs.ErrUnsupported) {
		return
	}
	if err != nil {
		s.cfg.Logger.Warn("disk usage", slog.Any("error", err))
		return
	}
	name := s.cfg.FS.PathJoin(s.cfg.Dir, ballastFile)
	switch {
	case !s.full.Load() && usage.AvailBytes < s.reserve:
		s.full.Store(true)
		s.cfg.Logger.Error("the disk is full: writes are refused, the ballast is released", slog.Uint64("available_bytes", usage.AvailBytes))
		if err := s.cfg.FS.Remove(name); err != nil {
			s.cfg.Logger.Debug("release ballast", slog.Any("error", err))
		}
	case usage.AvailBytes > spaceHysteresis*s.reserve:
		if s.full.Swap(false) {
			s.cfg.Logger.Info("the disk has room again", slog.Uint64("available_bytes", usage.AvailBytes))
		}
		if _, err := s.cfg.FS.Stat(name); err != nil {
			if err := s.makeBallast(name); err != nil {
				s.cfg.Logger.Warn("make ballast", slog.Any("error", err))
			}
		}
	}
}

// makeBallast writes the file rather than preallocating it: some file systems
// give preallocated space away.
func (s *Space) makeBallast(name string) (err error) {
	size := int(s.reserve / ballastOfReserve)
	f, err := s.cfg.FS.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		return fmt.Errorf("create %s: %w", name, err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	chunk := make([]byte, ballastChunk)
	for ; size > 0; size -= len(chunk) {
		if _, err := f.Write(chunk); err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
	}
	return nil
}
