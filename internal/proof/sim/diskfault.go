package sim

import (
	"runtime"
	"strings"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// failure is what fails on a disk.
type failure struct {
	op   string        // "sync", "write", "read"; empty: nothing
	on   string        // class of file, see class; empty: any that may fail
	err  syscall.Errno // EIO, ENOSPC
	once bool          // one operation; a second fsync would succeed, as on Linux
}

// class says what a file of a node is for. Manifests, markers and options are
// classes of their own that never fail: Pebble ends the process under its own
// locks then, which a node among others in one process can't do.
func class(path string) string {
	base := path[strings.LastIndexByte(path, '/')+1:]
	small := strings.TrimSuffix(strings.TrimSuffix(base, ".new"), ".2")
	switch {
	case strings.HasSuffix(base, ".log"):
		return "wal"
	case strings.HasSuffix(base, ".sst"), strings.HasSuffix(base, ".blob"):
		return "table"
	case strings.HasPrefix(base, "MANIFEST"):
		return "manifest"
	case base == "vow", small == "counters", small == "starts", small == "node.json", small == "map":
		return small
	}
	return ""
}

func isSync(k errorfs.OpKind) bool { return k == errorfs.OpFileSync || k == errorfs.OpFileSyncData }

// strike fails an operation that is to fail.
func (d *disk) strike(op errorfs.Op) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if isSync(op.Kind) && op.Path == d.failed && d.after == nil {
		d.retried = op.Path
	}
	var kind string
	switch {
	case isSync(op.Kind):
		kind = "sync"
	case op.Kind == errorfs.OpFileWrite, op.Kind == errorfs.OpFileWriteAt:
		kind = "write"
	case op.Kind == errorfs.OpFileRead, op.Kind == errorfs.OpFileReadAt:
		kind = "read"
	}
	of := class(op.Path)
	if d.fail.op == "" || kind != d.fail.op || of == "" || of == "manifest" || d.fail.on != "" && of != d.fail.on {
		return nil
	}
	if d.fail.err == syscall.ENOSPC && of == "vow" {
		return nil // it is written in place
	}
	if of == "wal" && rotates() {
		return nil
	}
	err := d.fail.err
	d.struck++
	if kind == "sync" {
		d.failed = op.Path
	}
	if d.fail.once {
		d.fail = failure{}
	}
	return err
}

// rotates reports whether the caller closes a log to begin another. Pebble
// panics if that fails, which ends a process as it should, and would end the
// test with it.
func rotates() bool { return calledBy(".closeInternal", ".rotateWAL") }

// holdsUp reports whether others wait for the caller under a lock: for a table
// that is being opened, or to be cut out of the state.
func holdsUp() bool { return calledBy(".findOrCreateValue", ".exciseTable") }

// calledBy reports whether a function whose name ends like that is on the stack.
func calledBy(suffixes ...string) bool {
	var pcs [64]uintptr
	for frames := runtime.CallersFrames(pcs[:runtime.Callers(1, pcs[:])]); ; {
		f, more := frames.Next()
		for _, s := range suffixes {
			if strings.HasSuffix(f.Function, s) {
				return true
			}
		}
		if !more {
			return false
		}
	}
}

// setFail makes operations fail from now on.
func (d *disk) setFail(f failure) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fail = f
}

// repair ends all faults.
func (d *disk) repair() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fail, d.lies = failure{}, ""
}

// anew notes that a file was made anew: its fsync is of other data.
func (d *disk) anew(path string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.failed == path {
		d.failed = ""
	}
}

// faulty reports whether an error of the disk may come from an injected one,
// and which file was fsynced again after its fsync had failed.
func (d *disk) faulty() (struck bool, retried string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.struck > 0, d.retried
}

// setLies makes fsyncs below a folder do nothing and succeed; empty: none.
func (d *disk) setLies(dir string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lies = dir
}

func (d *disk) lie(path string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.lies != "" && strings.HasPrefix(path, d.lies)
}

// platter is the file system below the errors: its fsyncs may lie.
type platter struct {
	*vfs.MemFS
	d *disk
}

// hollow reports whether a file holds nothing: ballast, and what is written to try how much
// room there is. Where what the disk says of its room is made up, those take none either:
// copies of the disk would cost too much.
func hollow(name string) bool { return name == "ballast" || name == "trial" }

func (p platter) file(name string, f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return &platterFile{File: f, d: p.d, path: name, hollow: hollow(p.PathBase(name)) && p.d.room.made()}, nil
}

func (p platter) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := p.MemFS.Create(name, c)
	return p.file(name, f, err)
}

func (p platter) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	f, err := p.MemFS.Open(name, opts...)
	return p.file(name, f, err)
}

func (p platter) OpenReadWrite(name string, c vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	f, err := p.MemFS.OpenReadWrite(name, c, opts...)
	return p.file(name, f, err)
}

func (p platter) OpenDir(name string) (vfs.File, error) {
	f, err := p.MemFS.OpenDir(name)
	return p.file(name, f, err)
}

func (p platter) ReuseForWrite(oldname, newname string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := p.MemFS.ReuseForWrite(oldname, newname, c)
	return p.file(newname, f, err)
}

type platterFile struct {
	vfs.File
	d      *disk
	path   string
	hollow bool
}

func (f *platterFile) Write(p []byte) (int, error) {
	if f.hollow {
		return len(p), nil
	}
	return f.File.Write(p)
}

func (f *platterFile) Sync() error {
	if f.d.lie(f.path) {
		return nil
	}
	return f.File.Sync()
}

func (f *platterFile) SyncData() error {
	if f.d.lie(f.path) {
		return nil
	}
	return f.File.SyncData()
}
