package store

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// ballast is a file that holds nothing and is released when the disk is full, see
// Space. Its blocks are reserved where the file system keeps them for it (reserve), and
// written elsewhere. It is written slowly: at full speed half a gigabyte would hold up
// every fsync of the disk for as long as the disk takes, this node's and those of whoever
// shares the disk. All but half belongs to the watcher's goroutine.
type ballast struct {
	s    *Space
	half atomic.Bool // the file is not whole yet

	file    vfs.File // being written; nil: none is
	chunk   []byte   // of nothing
	written int64
	due     <-chan time.Time // when the next chunk is; nil: never
}

const (
	ballastFile      = "ballast"
	ballastChunk     = 1 << 20
	ballastEvery     = 125 * time.Millisecond // for one chunk: 8 MiB a second, beside copies that come in
	ballastEverySoon = 25 * time.Millisecond  // of a small one, which is whole within a second
	ballastOfReserve = 2                      // the ballast is one part in this of the reserve
)

func (b *ballast) path() string { return b.s.cfg.FS.PathJoin(b.s.cfg.Dir, ballastFile) }

// size is how large it is when it is whole; 0: none is kept.
func (b *ballast) size() int64 {
	if b.s.cfg.Bare {
		return 0
	}
	return b.s.reserve / ballastOfReserve
}

// next is when the next chunk is due.
func (b *ballast) next() <-chan time.Time {
	if b.s.cfg.Small {
		return time.After(ballastEverySoon)
	}
	return time.After(ballastEvery)
}

// removeUseless removes what the last run had not finished, and what a node without
// replicas has of an earlier version.
func (b *ballast) removeUseless() {
	info, err := b.s.cfg.FS.Stat(b.path())
	if err == nil && (b.size() == 0 || info.Size() < b.size()) {
		b.remove()
	}
}

// keep begins the ballast when there is plenty of room, and gives it up when there is
// not any more.
func (b *ballast) keep() {
	s := b.s
	if b.size() == 0 {
		return
	}
	s.looking.Lock()
	told := s.told
	s.looking.Unlock()
	plenty := told != unknownBytes && !s.full.Load() && s.left.Load()+b.written >= spaceHysteresis*s.reserve
	switch {
	case !plenty:
		b.abandon()
	case b.file == nil:
		if _, err := s.cfg.FS.Stat(b.path()); err != nil {
			b.ended(b.begin())
		}
	}
}

func (b *ballast) begin() error {
	b.half.Store(true)
	f, err := b.s.cfg.FS.Create(b.path(), vfs.WriteCategoryUnspecified)
	if err != nil {
		b.half.Store(false)
		return fmt.Errorf("create %s: %w", b.path(), err)
	}
	whole, err := reserve(f, b.size())
	if whole || err != nil {
		if err = errors.Join(err, f.Close()); err != nil {
			b.remove()
		}
		b.half.Store(false)
		return err
	}
	// What is written goes to the disk bit by bit, too.
	b.file = vfs.NewSyncingFile(f, vfs.SyncingFileOptions{BytesPerSync: tableBytesPerSync})
	b.chunk, b.due = make([]byte, ballastChunk), b.next()
	return nil
}

// grow writes the next chunk.
func (b *ballast) grow() {
	_, err := b.file.Write(b.chunk)
	b.written += ballastChunk
	b.due = b.next()
	switch {
	case b.s.full.Load(): // it was released meanwhile
		b.abandon()
	case err != nil:
		b.abandon()
		b.ended(fmt.Errorf("write %s: %w", b.path(), err))
	case b.written >= b.size():
		b.ended(b.close())
		b.half.Store(false)
	}
}

// ended looks at what has kept the ballast from being there, if anything has.
func (b *ballast) ended(err error) {
	switch {
	case isFull(err):
		b.s.refused()
	case err != nil:
		b.s.cfg.Logger.Warn("make ballast", slog.Any("error", err))
	}
}

// abandon removes a ballast that is not whole.
func (b *ballast) abandon() {
	if b.file == nil {
		return
	}
	if err := b.close(); err != nil {
		b.s.cfg.Logger.Debug("close ballast", slog.Any("error", err))
	}
	b.remove()
	b.half.Store(false)
}

func (b *ballast) close() error {
	err := b.file.Close()
	b.file, b.chunk, b.written, b.due = nil, nil, 0, nil
	return err
}

func (b *ballast) remove() {
	if err := b.s.cfg.FS.Remove(b.path()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		b.s.cfg.Logger.Warn("remove half a ballast", slog.Any("error", err))
	}
}

// make makes the file at once, unless it is there: there is nobody to hold up. If it
// can't, nothing of the file is left; written is how far it came.
func (b *ballast) make() (written int64, err error) {
	name, size := b.path(), b.size()
	if size == 0 {
		return 0, nil
	}
	if _, err := b.s.cfg.FS.Stat(name); err == nil {
		return size, nil
	}
	if written, err = b.s.fill(name, size); err != nil {
		err = errors.Join(err, b.s.cfg.FS.Remove(name))
	}
	return written, err
}

// fill makes a file that holds nothing.
func (s *Space) fill(name string, size int64) (written int64, err error) {
	f, err := s.cfg.FS.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		return 0, fmt.Errorf("create %s: %w", name, err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	switch whole, err := reserve(f, size); {
	case err != nil:
		return 0, fmt.Errorf("%s: %w", name, err)
	case whole:
		return size, nil
	}
	for chunk := make([]byte, ballastChunk); written < size; written += ballastChunk {
		if _, err := f.Write(chunk); err != nil {
			return written, fmt.Errorf("write %s: %w", name, err)
		}
	}
	return written, nil
}
