package server

import (
	"testing"
	"time"
)

// Who waits for memory has it as soon as somebody gives it back, is refused after a while,
// and at once where there will never be so much.
func TestBudgetAwait(t *testing.T) {
	var b budget
	b.max.Store(100)
	gone := make(chan struct{})
	if b.await(101, time.Hour, gone) || b.refused.Load() != 1 {
		t.Error("more than all")
	}
	if !b.await(80, 0, gone) || b.await(30, time.Millisecond, gone) || b.used.Load() != 80 {
		t.Error("used", b.used.Load())
	}
	for range 200 { // whoever comes first
		got := make(chan bool)
		go func() { got <- b.await(30, time.Hour, gone) }()
		b.Release(80)
		if !<-got {
			t.Fatal("refused")
		}
		b.Release(30)
		b.Force(80)
	}
	got := make(chan bool)
	go func() { got <- b.await(30, time.Hour, gone) }()
	close(gone)
	if <-got || b.used.Load() != 80 || b.waiting.Load() != 0 {
		t.Error("who has gone")
	}
	b.max.Store(0)
	if !b.await(1<<40, 0, gone) {
		t.Error("without a bound")
	}
}

// What is made counts before it is there, and until it is sent.
func TestRoomCounts(t *testing.T) {
	t.Parallel()
	var b budget
	b.max.Store(4 << 20)
	b.turns = newTurns(4 << 20)
	if cap(b.turns) != 1 {
		t.Fatal(cap(b.turns))
	}
	r := newRoom(&b, make(chan struct{}))
	r.begin()
	if !r.hasValue(1<<20) || !r.hasValue(1<<19) || b.used.Load() != 1<<20 {
		t.Error("values", b.used.Load())
	}
	if got := r.hasReplies(1<<20 + 1); got != 1<<20+readStep || b.used.Load() != int64(got)+1<<20 {
		t.Error("replies", got, b.used.Load())
	}
	began := time.Now()
	if got := r.hasReplies(4 << 20); got != 1<<20+readStep || time.Since(began) < readPatience {
		t.Error("more replies than memory", got)
	}
	began = time.Now()
	if r.hasReplies(4 << 20); time.Since(began) > readPatience/2 {
		t.Error("waits again")
	}
	if len(b.turns) != 1 {
		t.Error("no turn")
	}
	r.end()
	r.end()
	if len(b.turns) != 0 {
		t.Error("it keeps its turn")
	}
	unsent := held{of: &b}
	unsent.take(&r.held)
	if unsent.be(1 << 20); b.used.Load() != 1<<20-heldFree {
		t.Error("once they are there", b.used.Load())
	}
	if unsent.be(5 << 20); b.used.Load() != 5<<20-heldFree {
		t.Error("whatever there is", b.used.Load())
	}
	if unsent.release(); b.used.Load() != 0 || r.held.n != 0 {
		t.Error("left", b.used.Load())
	}
}
