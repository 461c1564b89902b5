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
	// quota says that it does not tell the truth of that: it says that there is
	// plenty and refuses what goes beyond size.
	quota bool
	// said, if not 0, is what the disk says it has left, whatever that is: a
	// ballast need not be written then.
	said uint64
}

// What a disk says that it has left.
const (
	// saidFull is below the reserve of a small node: writes are refused, but a
	// node that starts can flush what it replays. With much less it waits in
	// Open until there is room, as a process would.
	saidFull   = 40 << 20
	saidPlenty = 1 << 40
)

// say makes the disk say what it has left.
func (r *room) say(left uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.said = left
}

// made reports whether what the disk says is made up.
func (r *room) made() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.said != 0
}

// recount is after how many writes the bytes in use are counted again. In
// between a disk may hold a little more than it has room for.
const recount = 16

// Room makes the disk of node i one with that many bytes left.
func (c *Cluster) Room(i int, left int64) { c.machine(i).setRoom(left, false) }

// setRoom lets that many bytes more be written. A quota is one of which the disk
// says nothing: it says that there is plenty.
func (m *machine) setRoom(left int64, quota bool) {
	m.room.mu.Lock()
	defer m.room.mu.Unlock()
	m.room.used = bytesBelow(m.disk.mem, "/")
	m.room.size, m.room.quota = m.room.used+left, quota
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
	if r.said != 0 {
		mem.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: r.said, TotalBytes: saidPlenty, UsedBytes: saidPlenty - r.said})
		return
	}
	if r.size == 0 {
		return
	}
	if r.quota {
		mem.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: saidPlenty, TotalBytes: saidPlenty})
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
