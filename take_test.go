package tutti

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestTakeGathers looks at how many tasks a round that claims ahead asks for: those whose
// handlers are about to end count as well.
func TestTakeGathers(t *testing.T) {
	const concurrency, ahead = 2, 8
	for _, c := range []struct {
		name     string
		handling int32
		ahead    int
		frees    int // after the first
		want     int
		waits    time.Duration
	}{
		{"others end at once", concurrency, ahead, 4, 5, 0},
		{"few others end", concurrency, ahead, 2, 3, batchWait},
		{"no other ends", concurrency, ahead, 0, 1, batchWait},
		{"no handler runs", 0, ahead, 0, 1, 0},
		{"claims nothing ahead", concurrency, 0, 0, 1, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &worker{cfg: WorkConfig{Concurrency: concurrency, Ahead: c.ahead}, slots: make(chan struct{}, concurrency+ahead)}
				w.handling.Store(c.handling)
				for range cap(w.slots) {
					w.slots <- struct{}{}
				}
				began, took := time.Now(), make(chan int, 1)
				go func() { took <- w.take(t.Context()) }()
				for range 1 + c.frees {
					synctest.Wait() // it waits for the next one
					w.give(1)
				}
				if got := <-took; got != c.want {
					t.Errorf("took %d, of which %d were free at once or nearly so", got, c.want)
				}
				if waited := time.Since(began); waited != c.waits {
					t.Errorf("waited for %v, not %v", waited, c.waits)
				}
			})
		})
	}
}
