package durable

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Unwatched is a file system whose files of one category, write-ahead logs, are written
// and synced without waking the thread of Go's scheduler that watches system calls; see
// package rawsock for what that costs a node that is woken for each write.
//
// A sync is done by a thread of the kernel, and whoever wants it waits as for a
// connection. A write goes to the cache of the system, which takes some µs; but if too
// much there waits for the disk, the system makes writers wait. Then a processor of Go
// stands still, unknown to the scheduler: with but one, the whole node. So one such
// write, and the scheduler is told of them again for a while.
//
// Where the system has no such sync, or forbids it, files are what they are below.
type Unwatched struct {
	vfs.FS
	category vfs.DiskWriteCategory
	once     sync.Once
	syncs    *syncer // made with the first file that it is for; nil: there are none
}

const (
	// slowWrite is how long a write may take: as long as Go lets a goroutine have a
	// processor while others wait (forcePreemptNS in its scheduler). On a machine that
	// is busy, threads wait for some ms without being blocked.
	slowWrite = 10 * time.Millisecond
	// watchedFor is how long writes are watched after a slow one. The system lets a
	// writer wait for 200 ms at most (MAX_PAUSE in mm/page-writeback.c): a fiftieth
	// of this.
	watchedFor = 10 * time.Second
)

// NewUnwatched returns fs with such files of a category. Close is for when all files
// are closed.
func NewUnwatched(fs vfs.FS, category vfs.DiskWriteCategory) *Unwatched {
	return &Unwatched{FS: fs, category: category}
}

// Close gives back what the syncs need.
func (u *Unwatched) Close() error { return u.syncs.close() }

// Unwrap implements vfs.FS.
func (u *Unwatched) Unwrap() vfs.FS { return u.FS }

// Create implements vfs.FS.
func (u *Unwatched) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := u.FS.Create(name, category)
	return u.file(f, category), err
}

// OpenReadWrite implements vfs.FS.
func (u *Unwatched) OpenReadWrite(name string, category vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	f, err := u.FS.OpenReadWrite(name, category, opts...)
	return u.file(f, category), err
}

// ReuseForWrite implements vfs.FS.
func (u *Unwatched) ReuseForWrite(from, to string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := u.FS.ReuseForWrite(from, to, category)
	return u.file(f, category), err
}

func (u *Unwatched) file(f vfs.File, category vfs.DiskWriteCategory) vfs.File {
	if f == nil || category != u.category || f.Fd() == vfs.InvalidFd {
		return f
	}
	// To destroy one takes 32 ms, and a simulation opens many logs.
	if u.once.Do(func() { u.syncs = newSyncer() }); u.syncs == nil {
		return f
	}
	return &unwatchedFile{File: f, fs: u}
}

// unwatchedFile is a file of Unwatched.
type unwatchedFile struct {
	vfs.File
	fs      *Unwatched
	watched watched
}

// watched is until when calls are watched.
type watched struct{ until atomic.Int64 } // as Unix says it, in nanoseconds

// took says that a call that was not watched took from start to end.
func (w *watched) took(start, end time.Time) {
	if end.Sub(start) > slowWrite {
		w.until.Store(end.Add(watchedFor).UnixNano())
	}
}

func (w *watched) at(now time.Time) bool { return now.UnixNano() < w.until.Load() }

// Write implements vfs.File.
func (f *unwatchedFile) Write(p []byte) (n int, err error) {
	if start := time.Now(); !f.watched.at(start) {
		n = unwatchedWrite(f.Fd(), p)
		f.watched.took(start, time.Now())
	}
	if n < len(p) { // what ended it says so again
		var more int
		more, err = f.File.Write(p[n:])
		n += more
	}
	return n, err
}

// SyncData implements vfs.File.
func (f *unwatchedFile) SyncData() error {
	if done, err := f.fs.syncs.sync(f.Fd()); done {
		return err
	}
	return f.File.SyncData()
}
