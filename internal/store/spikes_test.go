package store

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"tutti/internal/spike"
)

// slowDisk is a file system that does something before each fsync of its new files.
type slowDisk struct {
	*vfs.MemFS
	sync func()
}

type slowDiskFile struct {
	vfs.File
	sync func()
}

func (d slowDisk) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := d.MemFS.Create(name, c)
	return slowDiskFile{f, d.sync}, err
}

func (f slowDiskFile) Sync() error {
	f.sync()
	return f.File.Sync()
}

func (f slowDiskFile) SyncData() error { return f.Sync() }

// A fsync of the log that takes long is noted.
func TestSlowFsyncIsNoted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var slow atomic.Bool
		cfg := testConfig(slowDisk{vfs.NewCrashableMem(), func() {
			if slow.Load() {
				time.Sleep(150 * time.Millisecond)
			}
		}})
		cfg.Spikes = spike.New(func() int64 { return 0 })
		cfg.Spikes.Keep(100)
		if err := cfg.FS.MkdirAll(cfg.Dir, 0o755); err != nil {
			t.Fatal(err)
		}
		l, err := OpenLog(cfg)
		if err != nil {
			t.Fatal(err)
		}
		slow.Store(true)
		if err := l.Create(testShard, 1, 10, 1); err != nil {
			t.Fatal(err)
		}
		slow.Store(false)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if h := cfg.Spikes.All()[spike.Fsync]; h.Worst != 150 {
			t.Errorf("%v", cfg.Spikes.All())
		}
	})
}

// So is what Pebble tells of compactions, and of writes that wait for them.
func TestCompactionsAndStallsAreNoted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := spike.New(func() int64 { return 0 })
		log.Keep(100)
		o := &pebble.Options{EventListener: &pebble.EventListener{}}
		new(stalls).watch(o, log)
		o.EventListener.CompactionEnd(pebble.CompactionInfo{TotalDuration: 200 * time.Millisecond})
		o.EventListener.WriteStallBegin(pebble.WriteStallBeginInfo{})
		time.Sleep(300 * time.Millisecond)
		o.EventListener.WriteStallEnd()
		if list := log.All(); list[spike.Compaction].Worst != 200 || list[spike.Stall].Worst != 300 {
			t.Errorf("%v", list)
		}
	})
}
