// Package durable writes small files so that a loss of power at any moment leaves
// the old content or the new one, whole. It stands on the file system of Pebble,
// behind which a simulation puts disks that lose what was not synced.
//
// A content is durable once its file has been synced, its name once the folder has
// been (fsync(2); Pillai et al., "All File Systems Are Not Created Equal", OSDI
// 2014): a file is written under another name, synced, renamed, and then its folder
// is synced.
package durable

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// temporary ends the name under which a file is written. What a crash leaves under
// such a name is overwritten by the next replacement.
const temporary = ".new"

// Replace gives a file its new content, which is durable when it returns nil. With
// an error the content is the old one or the new one.
func Replace(fsys vfs.FS, name string, data []byte, mode fs.FileMode) error {
	temp := name + temporary
	err := Write(fsys, temp, data, mode)
	if err == nil {
		err = fsys.Rename(temp, name)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return SyncDir(fsys, fsys.PathDir(name))
}

// Write writes a file durably, but not its name in its folder: Rename and SyncDir
// are left to the caller. The file has its mode before it has a content; with mode 0
// it has the one that the process gives to new files.
func Write(fsys vfs.FS, name string, data []byte, mode fs.FileMode) error {
	f, err := fsys.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	if mode != 0 {
		err = setMode(f, mode)
	}
	if err == nil {
		if _, err = f.Write(data); err == nil {
			err = f.Sync()
		}
	}
	return errors.Join(err, f.Close())
}

// SyncDir makes the names in a folder durable.
func SyncDir(fsys vfs.FS, dir string) error {
	d, err := fsys.OpenDir(dir)
	if err == nil {
		err = errors.Join(d.Sync(), d.Close())
	}
	if err != nil {
		return fmt.Errorf("sync folder %s: %w", dir, err)
	}
	return nil
}

// setMode sets the mode of a file that is open, if its file system has modes: a
// simulated one has none.
func setMode(f vfs.File, mode fs.FileMode) error {
	if f, ok := f.(interface{ Chmod(fs.FileMode) error }); ok {
		return f.Chmod(mode)
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if HasMode(info) {
		return errors.New("the mode of a file can't be set through this file system")
	}
	return nil
}

// MakePrivate makes a folder, and those above it, that nobody but its owner may look
// into. One that is there already is closed to others.
func MakePrivate(fsys vfs.FS, dir string) error {
	if err := fsys.MkdirAll(dir, private); err != nil {
		return fmt.Errorf("make folder %s: %w", dir, err)
	}
	return Shut(fsys, dir)
}

// private is what the owner of a folder may do with it; others nothing.
const private fs.FileMode = 0o700

// Shut takes from all but the owner of a file or folder what they may do with it.
func Shut(fsys vfs.FS, name string) error {
	f, err := fsys.Open(name)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil && HasMode(info) && info.Mode().Perm()&^private != 0 {
		err = setMode(f, info.Mode().Perm()&private)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("close %s to others: %w", name, err)
	}
	return nil
}

// HasMode reports whether a file is one of the operating system, whose mode means
// something.
func HasMode(info fs.FileInfo) bool { return info.Sys() != nil }
