package store

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	pb "go.etcd.io/raft/v3/raftpb"
)

// blockDisk is a disk whose room is taken by what is allocated: what is written
// within it takes none.
type blockDisk struct {
	vfs.FS
	mu    sync.Mutex // guards what follows
	left  int64
	shown int64            // what it says is left, until it has refused something; 0: the truth
	quota error            // what it says to who wants more, while it says that there is plenty; nil: it has no quota
	bare  bool             // room can't be reserved
	taken bool             // somebody takes all the room, and what becomes free
	files map[string]int64 // name -> bytes allocated
}

type blockFile struct {
	vfs.File
	disk   *blockDisk
	name   string
	offset int64
}

func (d *blockDisk) take(name string, end int64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	more := max(0, end-d.files[name])
	if more > d.left || d.taken && more > 0 {
		d.shown = 0
		return cmp.Or(d.quota, error(syscall.ENOSPC))
	}
	d.left -= more
	d.files[name] += more
	return nil
}

// hog takes all the room that is left, just after somebody has looked at it. It
// returns how much that was.
func (d *blockDisk) hog() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.shown, d.left = d.left, 0
	return d.shown
}

func (d *blockDisk) give(n int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.left, d.shown = d.left+n, 0
}

// takeAll has somebody take all the room, and what becomes free, or give it back:
// files that are deleted beside the test give theirs back at any time.
func (d *blockDisk) takeAll(taken bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.taken = taken
}

func (d *blockDisk) move(from, to string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.left += d.files[to]
	delete(d.files, to)
	if n, ok := d.files[from]; ok && to != "" {
		d.files[to] = n
		delete(d.files, from)
	}
}

func (d *blockDisk) wrap(f vfs.File, name string, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return &blockFile{File: f, disk: d, name: name}, nil
}

func (d *blockDisk) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	d.move("", name)
	f, err := d.FS.Create(name, c)
	return d.wrap(f, name, err)
}

func (d *blockDisk) OpenReadWrite(name string, c vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	f, err := d.FS.OpenReadWrite(name, c, opts...)
	return d.wrap(f, name, err)
}

func (d *blockDisk) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	d.move(from, to)
	f, err := d.FS.ReuseForWrite(from, to, c)
	return d.wrap(f, to, err)
}

func (d *blockDisk) Rename(from, to string) error { d.move(from, to); return d.FS.Rename(from, to) }
func (d *blockDisk) Remove(name string) error     { d.move("", name); return d.FS.Remove(name) }

func (d *blockDisk) GetDiskUsage(string) (vfs.DiskUsage, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.quota != nil {
		return vfs.DiskUsage{AvailBytes: 1 << 40}, nil
	}
	return vfs.DiskUsage{AvailBytes: uint64(cmp.Or(d.shown, d.left))}, nil
}

func (f *blockFile) Preallocate(offset, length int64) error {
	if f.disk.bare {
		return syscall.ENOTSUP
	}
	return f.disk.take(f.name, offset+length)
}

func (f *blockFile) Write(p []byte) (int, error) {
	if err := f.disk.take(f.name, f.offset+int64(len(p))); err != nil {
		return 0, err
	}
	n, err := f.File.Write(p)
	f.offset += int64(n)
	return n, err
}

// Somebody takes the rest of the disk between two looks at it, and then the log
// begins a new file: nothing that it takes on until it knows may fail.
func TestLogOnADiskThatFillsAtOnce(t *testing.T) {
	for before := range 16 { // entries; a few of them fill a memtable
		if testing.Short() && before%8 != 5 {
			continue // each fills 1 GiB, which is slow under the race detector
		}
		t.Run(fmt.Sprint(before), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { fillAtOnce(t, before) })
		})
	}
}

func fillAtOnce(t *testing.T, before int) {
	disk := &blockDisk{FS: vfs.NewMem(), left: 1 << 30, files: make(map[string]int64)}
	if err := disk.MkdirAll(testDir, 0o755); err != nil {
		t.Fatal(err)
	}
	cfg := Config{FS: disk, Dir: testDir, Small: true, MemtableBytes: 1 << 20}
	cfg.Fatal = func(err error) { t.Errorf("the node ended: %v", err) }
	cfg.Space = WatchSpace(cfg)
	defer cfg.Space.Close()
	log, err := OpenLog(cfg)
	if err == nil {
		err = log.Create(testShard, 1, 10, 1)
	}
	if err != nil {
		t.Fatal(err)
	}
	index := uint64(10)
	write := func() {
		index++
		log.do(&Append{Shard: testShard, Entries: []*pb.Entry{{Index: new(index), Term: new(uint64(1)), Data: make([]byte, 64<<10)}}})
	}
	for range before {
		write()
	}
	rest := disk.hog()
	for n := 0; !cfg.Space.Exhausted(); n++ {
		if write(); n == 1000 {
			t.Fatalf("%d entries were written to a full disk", n)
		}
	}
	disk.give(rest)
	for start := time.Now(); cfg.Space.Exhausted(); time.Sleep(time.Millisecond) {
		if time.Since(start) > 10*time.Second {
			t.Fatal("still exhausted")
		}
	}
	for range 40 {
		write()
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
}

// A disk with a quota says that there is room until it refuses a write. Nothing
// that the log and the state take on then may fail, whatever they need next: the
// node is full until the quota lets it have enough again.
func TestQuota(t *testing.T) {
	for _, bare := range []bool{false, true} {
		for _, quota := range []error{syscall.ENOSPC, syscall.EDQUOT} {
			for _, before := range []int{1, 12} { // entries; a few of them fill a memtable
				if testing.Short() && (errors.Is(quota, syscall.ENOSPC) || before == 1) {
					continue // each writes 300 MiB, which is slow under the race detector
				}
				t.Run(fmt.Sprint(quota, " bare ", bare, " after ", before), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { quotaReached(t, quota, bare, before) })
				})
			}
		}
	}
}

func quotaReached(t *testing.T, quota error, bare bool, before int) {
	disk := &blockDisk{FS: vfs.NewMem(), left: 300 << 20, quota: quota, bare: bare, files: make(map[string]int64)}
	if err := disk.MkdirAll(testDir, 0o755); err != nil {
		t.Fatal(err)
	}
	cfg := Config{FS: disk, Dir: testDir, Small: true, MemtableBytes: 1 << 20}
	cfg.Fatal = func(err error) { t.Errorf("the node ended: %v", err) }
	cfg.Space = WatchSpace(cfg)
	log, err := OpenLog(cfg)
	if err == nil {
		err = log.Create(testShard, 1, 10, 1)
	}
	if err != nil {
		t.Fatal(err)
	}
	state, err := OpenState(cfg)
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * spaceEvery) // the ballast is made
	index, random := uint64(10), rand.NewChaCha8([32]byte{})
	write := func() {
		index++
		log.do(&Append{Shard: testShard, Entries: []*pb.Entry{{Index: new(index), Term: new(uint64(1)), Data: make([]byte, 64<<10)}}})
		w := NewWriteSet(1, 0)
		w.Put(fmt.Appendf(nil, "%c%08d", 1, index), noise(random, 64<<10))
		b := state.NewBatch()
		_, err := b.Apply(testShard, Applied{Index: index - 1, Term: 1}, index, 1, w)
		if err == nil {
			err = b.Commit()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for range before {
		write()
	}
	if cfg.Space.Full() {
		t.Fatal("full already")
	}
	disk.mu.Lock()
	rest := disk.left
	disk.left = 0
	disk.mu.Unlock()
	for n := 0; !cfg.Space.Full(); n++ {
		if write(); n == 1000 {
			t.Fatalf("%d entries were written beyond the quota", n)
		}
	}
	// The ballast is room for deletes, which need little.
	// The watcher gives it back, and finds it, after it has said that the disk is full.
	for start := time.Now(); cfg.Space.Tight(); time.Sleep(time.Millisecond) {
		if time.Since(start) > 2*spaceEvery {
			t.Fatal("the ballast is no room")
		}
	}
	write()
	// Somebody takes that, too. Whoever writes then all the same, waits.
	disk.takeAll(true)
	wrote := make(chan struct{})
	go func() {
		defer close(wrote)
		for range 60 {
			write()
		}
	}()
	time.Sleep(20 * spaceEvery)
	if !cfg.Space.Exhausted() {
		t.Error("there is nothing left, and appends are taken")
	}
	select {
	case <-wrote:
		t.Error("60 entries were written without room")
	default:
	}
	disk.give(rest)
	disk.takeAll(false)
	<-wrote
	time.Sleep(2 * spaceEvery) // the next trial is due
	if cfg.Space.Full() || cfg.Space.Exhausted() {
		t.Error("it is still full")
	}
	for range 40 {
		write()
	}
	if last := log.last[testShard]; last != index {
		t.Errorf("the log ends at %d, want %d", last, index)
	}
	if err := state.Settle(testShard); err != nil {
		t.Fatal(err)
	}
	if at, err := state.Applied(testShard); err != nil || at.Index != index {
		t.Errorf("the state ends at %d, want %d, %v", at.Index, index, err)
	}
	cfg.Space.Close()
	if err := errors.Join(log.Close(), state.Close()); err != nil {
		t.Fatal(err)
	}
}

// noise is n bytes that can't be compressed.
func noise(r *rand.ChaCha8, n int) []byte {
	b := make([]byte, n)
	_, _ = r.Read(b)
	return b
}
