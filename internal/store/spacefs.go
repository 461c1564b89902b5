package store

import (
	"errors"
	"log/slog"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// spaceFS is the file system that a node's stores see: tables, which can wait,
// find the disk full before the log does, which can't.
//
// Pebble tries a failed flush or compaction again at once and keeps what it
// has read until then; nothing is lost by telling it that there is no room.
type spaceFS struct {
	vfs.FS
	space *Space
}

// Names that Pebble gives to what it writes. A flush goes on for longer: what
// it has written can leave the log.
const (
	categoryWAL        vfs.DiskWriteCategory = "pebble-wal"
	categoryManifest   vfs.DiskWriteCategory = "pebble-manifest"
	categoryFlush      vfs.DiskWriteCategory = "pebble-memtable-flush"
	categoryCompaction vfs.DiskWriteCategory = "pebble-compaction"
	categorySnapshot   vfs.DiskWriteCategory = "tutti-snapshot"
)

// stores returns the file system for the stores of a node.
func (c *Config) stores() vfs.FS {
	if c.Space == nil {
		return c.FS
	}
	return spaceFS{c.FS, c.Space}
}

// insist does what Pebble can't do without: it ends the process if that fails.
// When the disk refuses it the ballast is released, and it is tried again, until
// there is room or the node closes: whoever needs it waits.
func (s *Space) insist(do func() error) error {
	err := do()
	for tries := 0; isFull(err) && s != nil; tries++ {
		s.refused()
		if tries > 0 && !s.pause() {
			return err
		}
		err = do()
	}
	return err
}

// Unwrap implements vfs.FS.
func (fs spaceFS) Unwrap() vfs.FS { return fs.FS }

// Create implements vfs.FS. A log begins with the room of the spare one: by now
// somebody may have taken the rest of the disk.
func (fs spaceFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if category == categoryWAL && fs.space.takeSpare(name) {
		f, err := fs.OpenReadWrite(name, category)
		if err != nil {
			return nil, err
		}
		return fs.file(f, category, fs.space.ahead()), nil
	}
	f, err := fs.create(category, func() (vfs.File, error) { return fs.FS.Create(name, category) })
	if err != nil {
		return nil, err
	}
	s := fs.file(f, category, 0)
	if strings.HasSuffix(name, ".blob") {
		return blobFile{s, name}, nil
	}
	return s, nil
}

// create makes a file; only that of a table may fail for want of room.
func (fs spaceFS) create(category vfs.DiskWriteCategory, create func() (vfs.File, error)) (f vfs.File, err error) {
	switch category {
	case categoryFlush, categoryCompaction, categorySnapshot:
		if f, err = create(); isFull(err) {
			fs.space.refused()
			fs.space.pause()
			return nil, syscall.ENOSPC // as Pebble knows it
		}
		return f, err
	}
	err = fs.space.insist(func() (err error) { f, err = create(); return err })
	return f, err
}

// Remove implements vfs.FS.
func (fs spaceFS) Remove(name string) error {
	fs.space.broken.forget(name)
	return fs.FS.Remove(name)
}

// Rename implements vfs.FS.
func (fs spaceFS) Rename(from, to string) error {
	return fs.space.insist(func() error { return fs.FS.Rename(from, to) })
}

// Link implements vfs.FS.
func (fs spaceFS) Link(from, to string) error {
	return fs.space.insist(func() error { return fs.FS.Link(from, to) })
}

// MkdirAll implements vfs.FS.
func (fs spaceFS) MkdirAll(dir string, perm os.FileMode) error {
	return fs.space.insist(func() error { return fs.FS.MkdirAll(dir, perm) })
}

// ReuseForWrite implements vfs.FS. The room of the old file stays; if that is
// too little, it is as good as none.
func (fs spaceFS) ReuseForWrite(from, to string, category vfs.DiskWriteCategory) (vfs.File, error) {
	info, err := fs.Stat(from)
	if err != nil {
		return nil, err
	}
	if info.Size() < fs.space.ahead() {
		f, err := fs.Create(to, category)
		if err != nil {
			return nil, err
		}
		if err := fs.Remove(from); err != nil {
			return nil, errors.Join(err, f.Close())
		}
		return f, nil
	}
	f, err := fs.create(category, func() (vfs.File, error) { return fs.FS.ReuseForWrite(from, to, category) })
	if err != nil {
		return nil, err
	}
	return fs.file(f, category, info.Size()), nil
}

func (fs spaceFS) file(f vfs.File, category vfs.DiskWriteCategory, allocated int64) *spaceFile {
	s := &spaceFile{File: f, space: fs.space, allocated: allocated}
	switch category {
	case categoryFlush:
		s.part = flushOfReserve
	case categoryCompaction, categorySnapshot:
		s.part = tablesOfReserve
	case categoryWAL:
		s.ahead = fs.space.ahead()
	case categoryManifest:
		s.ahead = manifestAhead
	}
	return s
}

// spaceFile is a file that takes room as it grows.
type spaceFile struct {
	vfs.File
	space *Space
	part  int // of the reserve that must be left, see Space.await; 0: none
	// ahead is how much room is taken before it is written, so that whoever
	// takes the rest of the disk between two looks does not end the node.
	ahead int64

	offset    int64 // of the next write
	allocated int64 // the room that the file has
}

// manifestAhead is the room that a manifest takes ahead.
const manifestAhead = 256 << 10

// Preallocate is Pebble's wish for more than that, which is granted only while
// there is plenty.
func (f *spaceFile) Preallocate(offset, length int64) error {
	end := offset + length
	if f.space.left.Load()-(end-f.allocated) < spaceHysteresis*f.space.reserve {
		return nil
	}
	err := f.File.Preallocate(offset, length)
	switch {
	case isFull(err):
		f.space.refused()
		return nil
	case err == nil:
		f.grown(end)
	}
	return err
}

func (f *spaceFile) Write(p []byte) (int, error) {
	if f.part != 0 && !f.space.await(len(p), f.part) {
		return 0, syscall.ENOSPC
	}
	if f.ahead != 0 {
		f.reach(f.offset + int64(len(p)))
	}
	if f.part != 0 {
		n, err := f.write(p)
		if isFull(err) {
			f.space.refused()
			f.space.pause()
			err = syscall.ENOSPC // as Pebble knows it
		}
		return n, err
	}
	return f.insist(p)
}

// insist writes what must be written.
func (f *spaceFile) insist(p []byte) (n int, err error) {
	err = f.space.insist(func() error {
		more, err := f.write(p[n:])
		n += more
		return err
	})
	return n, err
}

// Sync implements vfs.File.
func (f *spaceFile) Sync() error {
	if err := f.broken(); err != nil {
		return err
	}
	return f.File.Sync()
}

// SyncData implements vfs.File.
func (f *spaceFile) SyncData() error {
	if err := f.broken(); err != nil {
		return err
	}
	return f.File.SyncData()
}

// broken says, of a table, that values could not be written, to which it may refer.
func (f *spaceFile) broken() error {
	if f.part == 0 {
		return nil
	}
	err := f.space.broken.any()
	if err != nil {
		f.space.pause()
	}
	return err
}

func (f *spaceFile) write(p []byte) (int, error) {
	n, err := f.File.Write(p)
	f.offset += int64(n)
	f.grown(f.offset)
	return n, err
}

// reach keeps half of the room ahead of end, at least. If there is none left,
// that half is for what is under way: nothing more will be appended.
func (f *spaceFile) reach(end int64) {
	if end+f.ahead/2 <= f.allocated {
		return
	}
	from := max(f.allocated, f.offset)
	err := f.File.Preallocate(from, end+f.ahead-from)
	switch {
	case err == nil:
		f.grown(end + f.ahead)
	case isFull(err):
		f.space.refused()
	default:
		f.ahead = 0 // this file system can't
	}
}

// grown counts the room that the file takes.
func (f *spaceFile) grown(end int64) {
	if end > f.allocated {
		f.space.spend(int(end - f.allocated))
		f.allocated = end
	}
}

// shedder makes the log store of a full disk smaller. What has been truncated
// takes room until the memtable that says so is flushed: together with those
// before it, of which then next to nothing is left to write.
type shedder struct {
	began time.Time
	done  <-chan struct{} // of the flush that began then; nil: none
}

// shedEvery is how long a flush that finds no room may take before the next one
// is started, which has less to write.
const shedEvery = 5 * time.Second

func (l *Log) shed(work []*Append) {
	// A new memtable begins a new log file, which must find room.
	if !l.cfg.Space.Full() || l.cfg.Space.Exhausted() || time.Since(l.began) < spaceEvery {
		return
	}
	truncated := false
	for _, a := range work {
		truncated = truncated || a.Truncate != 0
	}
	if !truncated {
		return
	}
	if l.shedder.done != nil && time.Since(l.began) < shedEvery {
		select {
		case <-l.shedder.done:
		default:
			return
		}
	}
	done, err := l.db.AsyncFlush()
	if err != nil {
		l.cfg.Logger.Warn("flush log store", slog.Any("error", err))
	}
	l.began, l.shedder.done = time.Now(), done
}
