package store

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"

	"tutti/internal/cluster"
	"tutti/internal/keyspace"
)

// hold keeps all from committing to Pebble until it is called again.
func hold(s *State) (release func()) {
	free, held := make(chan struct{}), make(chan struct{})
	go func() {
		_ = s.commits.exclusive(func() error {
			close(held)
			<-free
			return nil
		})
	}()
	<-held
	return func() { close(free) }
}

// applied applies one entry, and commits it.
func applied(t *testing.T, s *State, at Applied, write func(w *WriteSet)) Applied {
	t.Helper()
	b, w := s.NewBatch(), NewWriteSet(at.Time, 0)
	write(&w)
	at, err := b.Apply(testShard, at, at.Index+1, 1, w)
	if err := errors.Join(err, b.Commit()); err != nil {
		t.Fatal(err)
	}
	return at
}

// What is settled while older rows are still being written comes behind those: what was
// written again meanwhile, and what was removed, rows of replies too, which are new below
// the run that they are in, but not below a later one.
func TestSettledBehindWhatIsWritten(t *testing.T) {
	synctest.Test(t, settleBehindWhatIsWritten)
}

func settleBehindWhatIsWritten(t *testing.T) {
	s, _ := newTestState(t)
	s.late.max = lateBytes
	again, gone := append(keyspace.SlotPrefix(nil, 1), "magain"...), append(keyspace.SlotPrefix(nil, 1), "mgone"...)
	reply := RepliesRow(testShard, 1, 11)
	at := applied(t, s, Applied{Index: 10, Term: 1}, func(w *WriteSet) {
		w.Put(again, []byte("old"))
		w.Put(gone, []byte("old"))
		w.Put(reply, []byte("reply"))
	})
	s.commits.alone <- struct{}{} // who writes back wants it
	WriteBack(s, testShard, 1)
	late := s.late.of(testShard)
	if !late.writes() {
		t.Fatal("nothing is being written")
	}
	at = applied(t, s, at, func(w *WriteSet) {
		w.Put(again, []byte("new"))
		w.Delete(gone)
		w.Delete(reply)
	})
	b := s.NewBatch()
	b.shards = append(b.shards, target{id: testShard, late: late, top: late.top.Load()})
	if err := b.shards[0].settle(b.b); err != nil {
		t.Fatal(err)
	}
	if !b.Waits() {
		t.Error("the batch would be committed on the loop's goroutine, which then waits")
	}
	committed := make(chan error)
	go func() { committed <- b.Commit() }()
	synctest.Wait()
	if _, ok, err := s.Get(again, nil); ok || err != nil {
		t.Errorf("committed before what is older, %v", err)
	}
	<-s.commits.alone
	if err := <-committed; err != nil {
		t.Fatal(err)
	}
	if val, ok, err := s.Get(again, nil); string(val) != "new" || !ok || err != nil {
		t.Errorf("the row that was written again is %q, %v, %v", val, ok, err)
	}
	for _, row := range [][]byte{gone, reply} {
		if val, ok, err := s.Get(row, nil); ok || err != nil {
			t.Errorf("row %x is %q, %v, though it was removed", row, val, err)
		}
	}
	if got, err := s.Applied(testShard); got != at || err != nil {
		t.Errorf("applied is %+v, %v, want %+v", got, err, at)
	}
	if late.top.Load() != nil || len(late.runs) > 0 || s.late.held.Load() != 0 {
		t.Errorf("%d runs are late, %d bytes", len(late.runs), s.late.held.Load())
	}
}

// What is being written of a shard is there before the shard is dropped: nothing of it comes
// back.
func TestDropWaitsForWriteBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := newTestState(t)
		s.late.max = lateBytes
		row := append(keyspace.SlotPrefix(nil, 1), "mrow"...)
		applied(t, s, Applied{Index: 10, Term: 1}, func(w *WriteSet) { w.Put(row, []byte("value")) })
		release, dropped := hold(s), make(chan error)
		WriteBack(s, testShard, 1)
		go func() { dropped <- s.Drop(testShard, cluster.AllSlots) }()
		synctest.Wait()
		release()
		if err := <-dropped; err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if val, ok, err := s.Get(row, nil); ok || err != nil {
			t.Errorf("the row is %q, %v", val, err)
		}
		if got := mustApplied(t, s); got != (Applied{}) {
			t.Errorf("applied is %+v", got)
		}
	})
}

// What could not be written is not taken for written: it is there to be read, and written
// the next time.
func TestWhatWasNotWrittenStaysLate(t *testing.T) {
	s, _ := newTestState(t)
	s.late.max = lateBytes
	row := append(keyspace.SlotPrefix(nil, 1), "mrow"...)
	at := applied(t, s, Applied{Index: 10, Term: 1}, func(w *WriteSet) { w.Put(row, []byte("value")) })
	late := s.late.of(testShard)
	late.push(s)
	late.writing = &writeBack{runs: late.runs, err: errors.New("disk"), done: make(chan struct{})}
	close(late.writing.done)
	at = applied(t, s, at, func(*WriteSet) {})
	b := s.NewBatch()
	b.shards = append(b.shards, target{id: testShard, late: late, top: late.top.Load()})
	if err := b.shards[0].settle(b.b); err != nil {
		t.Fatal(err)
	}
	if err := b.Commit(); err == nil || mustApplied(t, s).Index != 10 {
		t.Errorf("%v, and what comes behind was written", err)
	}
	v := s.View(testShard, at, nil, func() {})
	defer v.Release()
	if val, ok, err := v.Get(row, nil); string(val) != "value" || !ok || err != nil {
		t.Errorf("the row is %q, %v, %v", val, ok, err)
	}
	mustSettle(t, s)
	if val, ok, err := s.Get(row, nil); string(val) != "value" || !ok || err != nil {
		t.Errorf("the row is settled as %q, %v, %v", val, ok, err)
	}
}

// What is late is bounded, of each shard and of all together, however much comes and
// however slow the disk is: whoever has more waits.
func TestWhatIsLateIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := newTestState(t)
		const size, shards = 1 << 10, 40
		s.late.max = 16 << 10
		s.late.back = backLimits{bytes: 256 << 10, log: 1 << 30, total: 1 << 20}
		apply := func(shard cluster.ShardID, at Applied, n int) Applied {
			for range n {
				var b *Batch
				b, at = lateBatch(t, s, shard, at, 8, size)
				if err := b.Commit(); err != nil {
					t.Error(err)
				}
			}
			return at
		}
		for shard := range cluster.ShardID(shards) { // none has enough to be written for itself
			apply(shard, Applied{}, 12)
			if held := s.late.held.Load(); held > 2*s.late.back.total+shards*int64(2*s.late.max) {
				t.Fatalf("%d bytes are late of %d shards", held, shard+1)
			}
		}
		mustSettle(t, s)
		release, done := hold(s), make(chan Applied)
		go func() { done <- apply(1, Applied{}, 200) }() // 1.6 MiB
		synctest.Wait()
		if held, most := s.late.held.Load(), int64(2*s.late.back.bytes+4*s.late.max); held < most/2 || held > most {
			t.Errorf("%d bytes are late while nothing can be written, at most %d are due", held, most)
		}
		release()
		at := <-done
		mustSettle(t, s)
		if got, err := s.Applied(1); got != at || err != nil {
			t.Errorf("applied is %+v, %v, want %+v", got, err, at)
		}
		if n := len(s.late.of(1).runs); n != 0 || s.late.held.Load() != 0 || s.late.total.Load() != 0 {
			t.Errorf("%d runs are left, %d and %d bytes", n, s.late.held.Load(), s.late.total.Load())
		}
	})
}

// Rows are written back when nothing more comes, after a while, and when the log has much
// for them; and then nothing is late.
func TestWhenRowsAreWrittenBack(t *testing.T) {
	s, _ := newTestState(t)
	s.late.max = lateBytes
	at := Applied{Index: 10, Term: 1}
	write := func() {
		at = applied(t, s, at, func(w *WriteSet) {
			w.Put(append(keyspace.SlotPrefix(nil, 1), "mrow"...), fmt.Append(nil, at.Index))
		})
	}
	late := s.late.of(testShard)
	written := func() bool {
		_ = late.finish(s)
		got, err := s.Applied(testShard)
		if err != nil {
			t.Fatal(err)
		}
		return got == at
	}
	write()
	if WriteBack(s, testShard, 1<<20) || written() {
		t.Error("written at once")
	}
	if WriteBack(s, testShard, 1<<20) || !written() {
		t.Error("not written though nothing came")
	}
	if !WriteBack(s, testShard, 1<<20) || late.top.Load() != nil {
		t.Error("something is late though all was written")
	}
	if WriteBack(s, testShard, 1<<20) {
		t.Error("told twice that nothing is late")
	}
	for look := range backAfter {
		write()
		if WriteBack(s, testShard, 1<<20); written() != (look == backAfter-1) {
			t.Errorf("look %d of %d: written is %v", look+1, backAfter, written())
		}
	}
	write()
	if WriteBack(s, testShard, 1); !written() {
		t.Error("not written though the log may not have so much")
	}
	s.late.back.log = 4 * paceEntry
	s.late.max = 1 // each entry is a run
	for range 10 {
		write()
		_ = late.finish(s)
	}
	if at.Index-mustApplied(t, s).Index > 4 {
		t.Errorf("%d entries are late", at.Index-mustApplied(t, s).Index)
	}
}

func mustApplied(t *testing.T, s *State) Applied {
	t.Helper()
	at, err := s.Applied(testShard)
	if err != nil {
		t.Fatal(err)
	}
	return at
}
