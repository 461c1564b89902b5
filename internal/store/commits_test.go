package store

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	pb "go.etcd.io/raft/v3/raftpb"

	"tutti/internal/cluster"
)

// slowTables is a disk on which writing a table takes its time.
type slowTables struct{ vfs.FS }

func (d slowTables) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if c == categoryFlush {
		<-time.After(time.Minute)
	}
	return d.FS.Create(name, c)
}

// Replicas come and go while a commit waits for a flush. Nobody waits for them on
// a mutex then: time would stand still for ever, in here.
func TestReplicasBesideAStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := slowTables{vfs.NewMem()}
		if err := disk.MkdirAll(testDir, 0o755); err != nil {
			t.Fatal(err)
		}
		s, err := OpenState(Config{FS: disk, Dir: testDir, MemtableBytes: 256 << 10, Fatal: func(err error) { t.Errorf("the node ended: %v", err) }})
		if err != nil {
			t.Fatal(err)
		}
		others := make(chan error, 2)
		stalled := make(chan struct{})
		go func() {
			<-stalled
			others <- s.Create(cluster.Descriptor{ID: testShard + 1}, Applied{}, &pb.ConfState{})
		}()
		go func() {
			<-stalled
			others <- s.Drop(testShard+2, cluster.SlotRange{})
		}()
		go func() { // sees the stall, which time alone does not tell
			for s.Usage().Stalls == 0 {
				time.Sleep(time.Second)
			}
			close(stalled)
		}()
		random, at := rand.NewChaCha8([32]byte{}), Applied{}
		for i := uint64(1); ; i++ {
			w := NewWriteSet(1, 0)
			w.Put(fmt.Appendf(nil, "%c%08d", 1, i), noise(random, 32<<10))
			b := s.NewBatch()
			if at, err = b.Apply(testShard, at, i, 1, w); err == nil {
				err = b.Commit()
			}
			if err != nil {
				t.Fatal(err)
			}
			select {
			case <-stalled:
			default:
				continue
			}
			break
		}
		for range cap(others) {
			if err := <-others; err != nil {
				t.Error(err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// gatedTables is a disk on which no table is begun before the gate is open.
type gatedTables struct {
	vfs.FS
	begun, gate chan struct{}
}

func (d gatedTables) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if c == categoryFlush {
		select {
		case d.begun <- struct{}{}:
		case <-d.gate:
		}
		<-d.gate
	}
	return d.FS.Create(name, c)
}

// A replica goes while rows on both sides of its own are being flushed: the store
// throws that table away and writes another one, and the node goes on.
func TestDropBesideAFlush(t *testing.T) {
	disk := gatedTables{vfs.NewMem(), make(chan struct{}), make(chan struct{})}
	if err := disk.MkdirAll(testDir, 0o755); err != nil {
		t.Fatal(err)
	}
	s, err := OpenState(Config{FS: disk, Dir: testDir, Fatal: func(err error) { t.Errorf("the node ended: %v", err) }})
	if err != nil {
		t.Fatal(err)
	}
	random, at := rand.NewChaCha8([32]byte{}), Applied{}
	b := s.NewBatch()
	for i := uint64(1); i <= 400 && err == nil; i++ { // more than one table has
		w := NewWriteSet(1, 0)
		w.Put(fmt.Appendf(nil, "%c%08d", 1, i), noise(random, 32<<10))
		at, err = b.Apply(testShard, at, i, 1, w)
	}
	if err = errors.Join(err, b.Commit(), s.Settle(testShard)); err != nil {
		t.Fatal(err)
	}
	before := s.db.Metrics().Flush.Count
	flushed, err := s.db.AsyncFlush()
	if err != nil {
		t.Fatal(err)
	}
	<-disk.begun
	if err := s.Drop(testShard+1, cluster.SlotRange{}); err != nil {
		t.Error(err)
	}
	close(disk.gate)
	<-flushed
	if n := s.db.Metrics().Flush.Count - before; n != 2 { // those that were cancelled too
		t.Errorf("%d flushes, want one that is cancelled and one that is not", n)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = OpenState(Config{FS: disk, Dir: testDir}); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Applied(testShard); err != nil || got != at {
		t.Errorf("applied is %v, %v, want %v", got, err, at)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
