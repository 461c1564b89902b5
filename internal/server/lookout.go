package server

import (
	"errors"
	"net"
	"os"
	"sync/atomic"
	"time"
)

// Seeing a client go while its command waits. The goroutine that serves the
// client is the one that waits, so nobody reads, and only who reads is told that
// the other side has closed. A goroutine for each connection that always reads
// would cost a hand-over for each pipeline; so one begins to read only when a
// command has waited for long (see wait), and ends with the wait.

// aheadMax is how much a lookout reads: a client that has sent more is noticed
// to be gone only after the wait.
const aheadMax = 64 << 10

// lookout reads on behalf of a reader that has no time. Of its methods the
// goroutine that serves the connection calls all, and none at once.
type lookout struct {
	nc       net.Conn
	received *atomic.Int64   // counts bytes
	lost     func(why error) // told when the client is gone

	done  chan struct{} // closed when nobody reads any more; nil: nobody does
	buf   []byte        // what has come; of whom reads until done is closed
	timed bool          // a read deadline is set, from which reading has to recover
}

// begin starts to read.
func (l *lookout) begin() {
	_ = l.nc.SetReadDeadline(time.Time{})
	l.done = make(chan struct{})
	go l.read()
}

func (l *lookout) read() {
	defer close(l.done)
	var b [4 << 10]byte
	for len(l.buf) < aheadMax {
		n, err := l.nc.Read(b[:])
		l.received.Add(int64(n))
		l.buf = append(l.buf, b[:n]...)
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
	if l.done == nil {
		return
	}
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
