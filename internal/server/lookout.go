package server

import (
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Seeing a client go while its command waits. The goroutine that serves the
// client is the one that waits, so nobody reads, and only who reads is told that
// the other side has closed. A goroutine for each connection that always reads
// would cost a hand-over for each pipeline, and a timer for each wait nearly as
// much. So one timer goes round all clients whose commands wait, and who has
// waited for a whole round gets a lookout, which reads until the wait ends. Only whose
// command has found nothing, and waits at its shard, gets one at once: what it waits for
// may come at any moment, and would be lost with a client that has gone.

// patrolEvery is the time between two rounds: somebody looks for a client after
// one or two of them.
const patrolEvery = 40 * time.Millisecond

// patrol knows the clients whose commands wait.
type patrol struct {
	round atomic.Uint64 // the number of the next one
	awake atomic.Int64  // how many goroutines wait with commands that may fall asleep

	mu      sync.Mutex // guards all below
	timer   *time.Timer
	waiting []*patience // seen since the last round, or waiting in it; each once
	closed  bool
}

func (t *patrol) init() { t.round.Store(1) }

// see is told of the beginning of a wait. Most clients wait many times between two
// rounds: the first one counts.
func (t *patrol) see(w *patience) {
	round := t.round.Load()
	if w.round == round {
		return
	}
	w.round = round
	t.mu.Lock()
	defer t.mu.Unlock()
	if w.listed {
		return
	}
	w.listed = true
	if t.waiting = append(t.waiting, w); len(t.waiting) == 1 {
		t.arm()
	}
}

// look is a round. Who has waited since the last one gets a lookout; who waits in
// this one stays for the next.
func (t *patrol) look() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.round.Add(1) // before the states are read: whoever begins to wait from now on is seen again
	still := t.waiting[:0]
	for _, w := range t.waiting {
		switch state := w.state.Load(); {
		case state&1 == 0:
			w.listed = false
		case state == w.seen:
			w.listed = false
			w.look(state)
		default:
			w.seen = state
			still = append(still, w)
		}
	}
	clear(t.waiting[len(still):])
	if t.waiting = still; len(still) > 0 {
		t.arm()
	}
}

// arm sets the time of the next round. t.mu is held.
func (t *patrol) arm() {
	switch {
	case t.closed:
	case t.timer == nil:
		t.timer = time.AfterFunc(patrolEvery, t.look)
	default:
		t.timer.Reset(patrolEvery)
	}
}

// close ends the rounds. Who waits is not looked for any more.
func (t *patrol) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed = true; t.timer != nil {
		t.timer.Stop()
	}
}

// aheadMax is how much a lookout reads: a client that has sent more is noticed
// to be gone only after the wait.
const aheadMax = 64 << 10

// How much it reads at once: at first, and from a client that has sent more.
const (
	lookoutMin = 128
	lookoutMax = 4 << 10
)

// lookout reads on behalf of a reader that has no time.
type lookout struct {
	nc       net.Conn
	received *atomic.Int64   // counts bytes
	lost     func(why error) // told when the client is gone

	mu    sync.Mutex    // guards done: begin is called by the patrol, all else by who serves the client
	done  chan struct{} // closed when nobody reads any more; nil: nobody does
	buf   []byte        // what has come; of whom reads until done is closed
	timed bool          // a read deadline is set, from which reading has to recover
}

// begin starts to read. l.mu is held.
func (l *lookout) begin() {
	_ = l.nc.SetReadDeadline(time.Time{})
	l.done = make(chan struct{})
	go l.read()
}

func (l *lookout) read() {
	defer close(l.done)
	// Most send nothing while they wait, and thousands may: none has much memory
	// for what may come.
	b := make([]byte, lookoutMin)
	for len(l.buf) < aheadMax {
		n, err := l.nc.Read(b)
		l.received.Add(int64(n))
		l.buf = append(l.buf, b[:n]...)
		if n == len(b) {
			b = make([]byte, lookoutMax)
		}
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded): // from end, or from a node that drains
			return
		case err != nil:
			// A client that has only closed its own direction is no exception:
			// nothing tells it from one that is gone, and Redis drops it too.
			l.lost(err)
			return
		}
	}
}

// end makes it stop, and returns when it has.
func (l *lookout) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = l.nc.SetReadDeadline(time.Unix(1, 0))
	<-l.done
	l.done, l.timed = nil, true
}

// take moves to p what has been read.
func (l *lookout) take(p []byte) int {
	n := copy(p, l.buf)
	if l.buf = l.buf[n:]; len(l.buf) == 0 {
		l.buf = nil
	}
	return n
}
