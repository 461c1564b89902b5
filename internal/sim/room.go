package sim

import (
	"sync"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// room bounds what fits on the disk of a machine. It outlives the node and the
// disk's crashes.
type room struct {
	mu     sync.Mutex // guards what follows
	size   int64      // of the disk in bytes; 0: it does not tell, and never is full
	used   int64
	writes int // since used was counted
}

// recount is after how many writes the bytes in use are counted again. In
// between a disk may hold a little more than it has room for.
const recount = 16

// Room makes the disk of node i one with that many bytes left.
func (c *Cluster) Room(i int, left int64) {
	m := c.machine(i)
	m.room.mu.Lock()
	defer m.room.mu.Unlock()
	m.room.used = bytesBelow(m.disk.mem, "/")
	m.room.size = m.room.used + left
}

// write fails if the disk has no room.
func (r *room) write(mem *vfs.MemFS) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.size == 0 {
		return nil
	}
	if r.writes++; r.writes >= recount || r.used >= r.size {
		r.writes, r.used = 0, bytesBelow(mem, "/")
	}
	if r.used >= r.size {
		return syscall.ENOSPC
	}
	return nil
}

// tell makes mem answer what room there is.
func (r *room) tell(mem *vfs.MemFS) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.size == 0 {
		return
	}
	r.used = bytesBelow(mem, "/")
	left := uint64(max(r.size-r.used, 0))
	mem.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: left, TotalBytes: uint64(r.size), UsedBytes: uint64(r.used)})
}

func bytesBelow(mem *vfs.MemFS, dir string) int64 {
	names, err := mem.List(dir)
	if err != nil {
		return 0 // gone meanwhile
	}
	var n int64
	for _, name := range names {
		path := mem.PathJoin(dir, name)
		switch info, err := mem.Stat(path); {
		case err != nil:
		case info.IsDir():
			n += bytesBelow(mem, path)
		default:
			n += info.Size()
		}
	}
	return n
}
