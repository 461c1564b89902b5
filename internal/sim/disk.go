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

	mu    sync.Mutex // guards what follows
	delay time.Duration
}

// syncDelay is how long the log's fsync takes on a healthy disk.
const syncDelay = 500 * time.Microsecond

// newDisk returns a disk whose fsyncs take no time: the node has yet to open
// its stores, which it does under locks of Pebble, as it closes them.
func newDisk(mem *vfs.MemFS, g *gate) *disk { return &disk{mem: mem, gate: g} }

// fs returns the file system that the node sees. Only fsyncs of write-ahead
// logs take time and can be held: others happen under locks of Pebble, and
// virtual time stands still while anybody waits for a lock.
func (d *disk) fs() vfs.FS {
	return errorfs.Wrap(d.mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
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

// crash returns the disk as it is after a power cut now, with a random part of
// what was not synced.
func (d *disk) crash(r *rand.Rand, keepPercent int) *vfs.MemFS {
	return d.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: keepPercent, RNG: r})
}
