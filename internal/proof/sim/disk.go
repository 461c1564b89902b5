package sim

import (
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// disk is the disk of one machine, until its next power cut: what is left then
// is another disk.
type disk struct {
	mem  *vfs.MemFS
	gate *gate
	room *room

	mu     sync.Mutex // guards what follows
	delay  time.Duration
	opened bool // the stores are: little happens under locks any more
	// left is how many changes may yet be made before the power goes; 0: any
	// number. They count from the first one to a path that contains from. cut
	// is called then, and after is the disk as it was.
	left  int
	from  string
	cut   func()
	keep  int
	rand  *rand.Rand
	after *vfs.MemFS

	fail    failure
	failed  string // the file of the last injected failure of a fsync
	retried string // a file that was fsynced after that had failed
	lies    string // folder whose fsyncs do nothing
	struck  int    // operations that failed
	// ended says that the node is gone; leaves is what was still to fail then.
	ended  bool
	leaves failure
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
	return reusing{errorfs.Wrap(platter{d.mem, d}, errorfs.InjectorFunc(func(op errorfs.Op) error {
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
		if op.Kind == errorfs.OpCreate {
			d.anew(op.Path)
		}
		if isSync(op.Kind) && strings.HasSuffix(op.Path, ".log") {
			d.mu.Lock()
			delay := d.delay
			d.mu.Unlock()
			if delay > 0 && !rotates() { // which it does under a lock
				time.Sleep(delay)
				d.gate.pass()
			}
		}
		err := d.strike(op)
		if d.drags(op, err) {
			time.Sleep(tryAgain)
		}
		return err
	}))}
}

// reusing makes a write-ahead log that is used again a file like any other.
// errorfs hands it out bare, so that from the second log on no fsync would take
// time, be held or fail.
type reusing struct{ vfs.FS }

func (f reusing) ReuseForWrite(oldname, newname string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if err := f.Rename(oldname, newname); err != nil {
		return nil, err
	}
	return f.OpenReadWrite(newname, c)
}

// tryAgain is how long it takes at least to read or write a table if that fails,
// or if the node has ended. Pebble tries again at once what fails in the
// background, and goes on with that until it is closed: were it to take no time,
// no time would pass any more.
const tryAgain = 10 * time.Millisecond

func (d *disk) drags(op errorfs.Op, err error) bool {
	switch op.Kind {
	case errorfs.OpFileRead, errorfs.OpFileReadAt, errorfs.OpFileWrite, errorfs.OpFileWriteAt:
	default:
		return false // may come under a lock
	}
	d.mu.Lock()
	drags := d.opened && (err != nil || d.ended) && class(op.Path) == "table"
	d.mu.Unlock()
	return drags && !holdsUp()
}

// setDelay makes fsyncs of the log take delay; 0 before the node's stores are
// closed, which lets a held one go.
func (d *disk) setDelay(delay time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.delay, d.opened = delay, d.opened || delay > 0
	if delay == 0 {
		d.gate.set(false)
	}
}

// syncDir keeps the order in which entries of a folder were made, as journaling
// file systems do. Pebble relies on that in one place: the marker that names a
// new manifest is made after it, with one fsync of the folder for both. MemFS
// would keep the one and lose the other.
func (d *disk) syncDir(dir string) {
	if d.lie(dir) {
		return
	}
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
	if d.left--; d.left == 0 && d.after == nil {
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

// stop ends the life of the disk: what the node does from now on changes
// nothing that anybody will see, and does not fail. It returns what is left,
// which survivor makes unless the disk has ended before, and what is still to
// fail there.
func (d *disk) stop(survivor func() *vfs.MemFS) (*vfs.MemFS, failure) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.after == nil {
		d.after = survivor()
	}
	if !d.ended {
		d.ended, d.leaves = true, d.fail
		d.left, d.fail, d.lies = 0, failure{}, ""
	}
	return d.after, d.leaves
}

// gone reports whether the disk has ended, and how it looked then.
func (d *disk) gone() (*vfs.MemFS, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.after, d.after != nil
}

// crash returns the disk as it is after a power cut now, with a random part of
// what was not synced.
func (d *disk) crash(r *rand.Rand, keepPercent int) *vfs.MemFS {
	return d.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: keepPercent, RNG: r})
}
