package sim

import (
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// disk is the disk of one machine.
type disk struct {
	mem  *vfs.MemFS
	gate *gate
	room *room

	mu    sync.Mutex // guards what follows
	delay time.Duration
	// left is how many changes may yet be made before the power goes; 0: any
	// number. They count from the first one to a path that contains from. cut
	// is called then, and after is the disk as it was.
	left  int
	from  string
	cut   func()
	keep  int
	rand  *rand.Rand
	after *vfs.MemFS
}

// syncDelay is how long the log's fsync takes on a healthy disk.
const syncDelay = 500 * time.Microsecond

// newDisk returns a disk whose fsyncs take no time: the node has yet to open
// its stores, which it does under locks of Pebble, as it closes them.
func newDisk(mem *vfs.MemFS, g *gate, r *room) *disk { return &disk{mem: mem, gate: g, room: r} }

// fs returns the file system that the node sees. Only fsyncs of write-ahead
// logs take time and can be held: others happen under locks of Pebble, and
// virtual time stands still while anybody waits for a lock.
func (d *disk) fs() vfs.FS {
	return errorfs.Wrap(d.mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpCreate && strings.HasPrefix(d.mem.PathBase(op.Path), "marker.") {
			d.syncDir(d.mem.PathDir(op.Path))
		}
		switch op.Kind {
		case errorfs.OpGetDiskUsage:
			d.room.tell(d.mem)
		case errorfs.OpFileWrite:
			if err := d.room.write(d.mem); err != nil {
				return err
			}
		}
		if op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			d.change(op.Path)
		}
		if (op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData) && strings.HasSuffix(op.Path, ".log") {
			d.mu.Lock()
			delay := d.delay
			d.mu.Unlock()
			if delay > 0 {
				time.Sleep(delay)
				d.gate.pass()
			}
		}
		return nil
	}))
}

// setDelay makes fsyncs of the log take delay; 0 before the node's stores are
// closed, which lets a held one go.
func (d *disk) setDelay(delay time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.delay = delay
	if delay == 0 {
		d.gate.set(false)
	}
}

// syncDir keeps the order in which entries of a folder were made, as journaling
// file systems do. Pebble relies on that in one place: the marker that names a
// new manifest is made after it, with one fsync of the folder for both. MemFS
// would keep the one and lose the other.
func (d *disk) syncDir(dir string) {
	f, err := d.mem.OpenDir(dir)
	if err != nil {
		return
	}
	_ = f.Sync()
	_ = f.Close()
}

// change counts a change that is about to be made.
func (d *disk) change(path string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.left == 0 || !strings.Contains(path, d.from) {
		return
	}
	d.from = ""
	if d.left--; d.left == 0 {
		d.cut()
		d.after = d.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: d.keep, RNG: d.rand})
	}
}

// cutAfter makes the power go before the n-th change, see left.
func (d *disk) cutAfter(n int, from string, keepPercent int, r *rand.Rand, cut func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.left, d.from, d.keep, d.rand, d.cut = n, from, keepPercent, r, cut
}

// gone returns the disk after the power cut, nil if there was none yet.
func (d *disk) gone() *vfs.MemFS {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.left = 0
	return d.after
}

// crash returns the disk as it is after a power cut now, with a random part of
// what was not synced.
func (d *disk) crash(r *rand.Rand, keepPercent int) *vfs.MemFS {
	return d.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: keepPercent, RNG: r})
}
