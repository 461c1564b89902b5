package server

import "time"

// Waiting on behalf of a client. Whatever a command waits for (its shard, the
// end of CLIENT PAUSE, later what another client pushes), it waits for it here,
// so that it gives up as soon as there is nobody left to answer.

// lookAfter is how long a command waits before somebody looks whether its client
// is still there. Nearly all commands are answered sooner and cost a timer that
// never fires.
const lookAfter = 50 * time.Millisecond

// patience is how the commands of one client wait, one at a time.
type patience struct {
	gone   <-chan struct{} // closed when the client is gone
	client *lookout        // nil: somebody else looks
	quiet  *quiet          // of the client's session
	look   *time.Timer     // made by the first wait
}

// outcome says how a wait ended.
type outcome int

const (
	arrived   outcome = iota
	expired           // the time was over
	abandoned         // the client is gone: the connection has ended
)

// receive waits for a value, until expire has something, which may be nil, or the
// client is gone.
func receive[T any](w *patience, from <-chan T, expire <-chan time.Time) (value T, how outcome) {
	var look <-chan time.Time
	// Who has CLIENT REPLY OFF may send all it has and go: that is executed.
	if w.client != nil && *w.quiet != replyOff {
		look = w.begin()
		defer w.end()
	}
	select {
	case value = <-from:
		return value, arrived
	case <-expire:
		return value, expired
	case <-w.gone:
		return value, abandoned
	case <-look:
		w.client.begin()
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

// begin returns what tells that it is time to look.
func (w *patience) begin() <-chan time.Time {
	if w.look == nil {
		w.look = time.NewTimer(lookAfter)
	} else {
		w.look.Reset(lookAfter)
	}
	return w.look.C
}

func (w *patience) end() {
	w.look.Stop()
	w.client.end()
}
