package server

import (
	"sync/atomic"
	"time"
)

// Waiting on behalf of a client. Whatever a command waits for (its shard, the
// end of CLIENT PAUSE, later what another client pushes), it waits for it here,
// so that it gives up as soon as there is nobody left to answer.

// patience is how the commands of one client wait, one at a time.
type patience struct {
	gone   <-chan struct{} // closed when the client is gone
	patrol *patrol         // nil: somebody else has the client watched
	quiet  *quiet          // of the client's session

	client *lookout
	round  uint64 // before which the patrol was last told of this client
	listed bool   // by the patrol, whose mutex guards it
	seen   uint64 // the state in the last round, likewise
	// state counts the beginnings and the ends of waits, so that it is odd while a
	// command waits, and has the bit looking while the client is looked at.
	state atomic.Uint64
	// nap is who is told, instead of the lookout, when it is time to look: the wait may
	// be left to a loop. nil: nobody.
	nap atomic.Pointer[chan struct{}]
}

const looking = 1 << 63

// outcome says how a wait ended.
type outcome int

const (
	arrived   outcome = iota
	expired           // the time was over
	abandoned         // the client is gone: the connection has ended
	sleeps            // the client is to fall asleep, and waits on
)

// receive waits for a value, until expire has something, which may be nil, or the
// client is gone.
func receive[T any](w *patience, from <-chan T, expire <-chan time.Time) (value T, how outcome) {
	// Who has CLIENT REPLY OFF may send all it has and go: that is executed.
	if w.patrol != nil && *w.quiet != replyOff {
		w.begin()
		defer w.end()
	}
	select {
	case value = <-from:
		return value, arrived
	case <-expire:
		return value, expired
	case <-w.gone:
		return value, abandoned
	}
}

// receiveOr is receive for a command that may wait for long, whose end has a reason.
func receiveOr[T any](w *patience, from <-chan T, b *blocking) (why ending, value T, how outcome) {
	if w.patrol != nil && *w.quiet != replyOff {
		awake := w.patrol.awake.Add(1)
		defer w.patrol.awake.Add(-1)
		if nap := b.nap; nap != nil {
			w.nap.Store(&nap)
			defer w.nap.Store(nil)
			if awake > awakeMax {
				w.look(w.state.Load())
			}
		}
		w.begin()
		defer w.end()
		if b.parked.Load() { // whoever was told of that may have come before the wait
			w.watch()
		}
	}
	select {
	case value = <-from:
		return why, value, arrived
	case why = <-b.stop:
		return why, value, expired
	case <-w.gone:
		return why, value, abandoned
	case <-b.nap:
		return why, value, sleeps
	}
}

func (w *patience) begin() {
	w.state.Add(1)
	w.patrol.see(w)
}

func (w *patience) end() {
	if state := w.state.Add(1); state&looking != 0 {
		w.client.end()
		w.state.Store(state &^ looking)
	}
}

// watch has the client looked at from now on if a command waits, without waiting for the
// patrol. Any goroutine may call it.
func (w *patience) watch() {
	if state := w.state.Load(); state&1 != 0 {
		w.look(state)
	}
}

// look begins to look for the client if it still is in the wait that state says.
func (w *patience) look(state uint64) {
	if nap := w.nap.Load(); nap != nil {
		select {
		case *nap <- struct{}{}:
		default: // it has been told
		}
		return
	}
	// Whoever has the lock has begun to look, or ends the wait.
	if state&looking != 0 || !w.client.mu.TryLock() {
		return
	}
	defer w.client.mu.Unlock()
	if w.state.CompareAndSwap(state, state|looking) {
		w.client.begin()
	}
}
