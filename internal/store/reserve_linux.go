package store

import (
	"fmt"

	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"
)

// reserve gives a new file its blocks without writing them, where the file system keeps
// what it has promised: ext4 and XFS mark them as unwritten, tmpfs takes the memory.
// Elsewhere, as on Btrfs and ZFS, which write to other blocks in any case, it reports
// false, and the file is to be written.
func reserve(f vfs.File, size int64) (bool, error) {
	fd := f.Fd()
	if fd == vfs.InvalidFd {
		return false, nil
	}
	var of unix.Statfs_t
	if err := unix.Fstatfs(int(fd), &of); err != nil {
		return false, fmt.Errorf("ask for the kind of the file system: %w", err)
	}
	switch of.Type {
	case unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.TMPFS_MAGIC:
	default:
		return false, nil
	}
	switch err := unix.Fallocate(int(fd), 0, 0, size); err {
	case nil:
		return true, nil
	case unix.EOPNOTSUPP: // ext2 and ext3 have ext4's magic
		return false, nil
	default:
		return false, fmt.Errorf("reserve %d bytes: %w", size, err)
	}
}
