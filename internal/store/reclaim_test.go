package store

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"tutti/internal/keyspace"
)

// On a full disk the room of what is deleted comes back, whichever way rows that were late
// take to Pebble, and though whoever looks for room looks before they are there.
func TestRoomOfWhatIsDeletedLate(t *testing.T) {
	for _, c := range []struct {
		name  string
		write func(t *testing.T, s *State)
	}{
		{"written back", func(_ *testing.T, s *State) { WriteBack(s, testShard, 1) }},
		{"settled", func(t *testing.T, s *State) {
			if err := s.Settle(testShard); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { deletedLate(t, c.write) })
		})
	}
}

func deletedLate(t *testing.T, write func(t *testing.T, s *State)) {
	disk := vfs.NewMem()
	if err := disk.MkdirAll(testDir, 0o755); err != nil {
		t.Fatal(err)
	}
	cfg := Config{FS: disk, Dir: testDir, Small: true, Fatal: func(err error) { t.Errorf("the node ended: %v", err) }}
	cfg.Space = &Space{cfg: cfg, reserve: reserveSmall}
	cfg.Space.left.Store(unknownBytes)
	s, err := OpenState(cfg)
	if err != nil {
		t.Fatal(err)
	}
	s.late.max = lateBytes
	const rows, size = 1000, 1 << 10
	random := rand.NewChaCha8([32]byte{})
	row := func(i int) []byte { return append(keyspace.SlotPrefix(nil, 1), fmt.Sprintf("m%04d", i)...) }
	at := applied(t, s, Applied{Index: 10, Term: 1}, func(w *WriteSet) {
		for i := range rows {
			w.Put(row(i), noise(random, size))
		}
	})
	if err := s.Settle(testShard); err != nil {
		t.Fatal(err)
	}
	if err := s.db.Compact(t.Context(), []byte{0}, []byte{0xff}, false); err != nil {
		t.Fatal(err)
	}
	takes := func() int64 {
		all := s.db.Metrics().Total()
		return all.TablesSize
	}
	if n := takes(); n < rows*size {
		t.Fatalf("tables of %d bytes hold %d", n, rows*size)
	}
	cfg.Space.full.Store(true)
	applied(t, s, at, func(w *WriteSet) {
		for i := range rows {
			w.Delete(row(i))
		}
	})
	if s.reclaimer.deleted.Load() {
		t.Error("whoever looks for room is told of what Pebble does not have yet")
	}
	time.Sleep(2 * reclaimEvery) // virtual, as all sleeps here: whoever looks for room has
	if n := takes(); n < rows*size {
		t.Fatalf("tables of %d bytes are left before what was deleted can be there", n)
	}
	write(t, s)
	time.Sleep(2 * reclaimEvery)
	for range 2 { // as the loop of the shard does, now idle: what was deleted lies below no snapshot any more
		WriteBack(s, testShard, 1)
	}
	time.Sleep(2 * reclaimEvery)
	if n := takes(); n > rows*size/10 {
		t.Errorf("tables of %d bytes are left, though all rows are deleted", n)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
