package store

import (
	"strings"
	"sync"
	"testing"

	pb "go.etcd.io/raft/v3/raftpb"
)

// A log that was cut gives its disk back when it rests, and goes on as before, also
// for those who read meanwhile.
func TestLogRest(t *testing.T) {
	l := newTestLog(t)
	add := func(from, to uint64) {
		list := entriesFrom(from, to, 2)
		for _, e := range list {
			e.Data = make([]byte, 256<<10)
		}
		l.log.do(&Append{Shard: testShard, Entries: list, Hard: &pb.HardState{Term: new(uint64(2)), Vote: new(uint64(1)), Commit: new(from)}})
		l.shard.Appended(list)
	}
	for i := range uint64(20) {
		add(11+10*i, 20+10*i)
	}
	if err := l.shard.Truncate(205); err != nil {
		t.Fatal(err)
	}
	before := onDisk(t, l)
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for range 200 {
				if _, err := l.shard.entry(210); err != nil {
					t.Error(err)
					return
				}
				l.log.Usage()
			}
		})
	}
	for range 3 {
		if err := l.log.Rest(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	readers.Wait()
	if after := onDisk(t, l); after > 10<<20 || after >= before {
		t.Errorf("%d bytes on the disk, %d before", after, before)
	}
	add(211, 211)
	for _, at := range []string{"at once", "after a crash"} {
		if at == "after a crash" {
			if err := l.crash(); err != nil {
				t.Fatal(err)
			}
		}
		list, err := l.shard.Entries(206, 212, 100<<20)
		if err != nil || len(list) != 6 || list[5].GetIndex() != 211 {
			t.Fatalf("%s: %d entries, %v", at, len(list), err)
		}
	}
}

// onDisk is how many bytes the files of the log store have.
func onDisk(t *testing.T, l *testLog) (size int64) {
	t.Helper()
	dir := l.fs.PathJoin(testDir, "log")
	names, err := l.fs.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		info, err := l.fs.Stat(l.fs.PathJoin(dir, name))
		if err != nil || strings.HasPrefix(name, "LOCK") {
			continue // removed meanwhile
		}
		size += info.Size()
	}
	return size
}
