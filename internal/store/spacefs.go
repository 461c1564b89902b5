package store

import (
	"syscall"

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
	categoryFlush      vfs.DiskWriteCategory = "pebble-memtable-flush"
	categoryCompaction vfs.DiskWriteCategory = "pebble-compaction"
	categorySnapshot   vfs.DiskWriteCategory = "tutti-snapshot"
)

// stores returns the file system for the stores of a node.
func (c *Config) stores() vfs.FS {
	if c.Space == nil {
		return c.FS
	}
	return spaceFS{vfs.OnDiskFull(c.FS, c.Space.exhausted), c.Space}
}

// Unwrap implements vfs.FS.
func (fs spaceFS) Unwrap() vfs.FS { return fs.FS }

func (fs spaceFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := fs.FS.Create(name, category)
	if err != nil {
		return nil, err
	}
	part := 0
	switch category {
	case categoryFlush:
		part = lastOfReserve
	case categoryCompaction, categorySnapshot:
		part = tablesOfReserve
	}
	return &spaceFile{File: f, space: fs.space, part: part}, nil
}

// spaceFile is a file that is new and so takes room as it grows.
type spaceFile struct {
	vfs.File
	space *Space
	part  int // of the reserve that must be left, see Space.await; 0: none
}

func (f *spaceFile) Write(p []byte) (int, error) {
	if f.part != 0 && !f.space.await(len(p), f.part) {
		return 0, syscall.ENOSPC
	}
	n, err := f.File.Write(p)
	f.space.spend(n)
	if f.part != 0 && vfs.IsNoSpaceError(err) {
		f.space.pause()
	}
	return n, err
}
