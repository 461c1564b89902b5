package server

import (
	"errors"
	"net"
	"os"
	"sync"
	"time"

	"tutti/internal/server/epoll"
)

// fedSocket is the socket of a connection that no poller knows, as those of a
// simulation: a goroutine reads ahead, and tells the loop. So what loops do with
// their clients is exercised where faults can be made.
type fedSocket struct {
	nc net.Conn
	c  *conn

	mu     sync.Mutex // guards all below
	buf    []byte     // what has come
	err    error      // behind it
	paused bool
	room   sync.Cond     // buf has got shorter, or nobody is to read any more
	done   chan struct{} // closed when nobody reads any more
}

// feedWrite is how long a write may take, for a transport that can't be asked
// whether it takes something now.
const feedWrite = time.Millisecond

// readAhead is posted to a loop when there is something to read.
type readAhead struct {
	c *conn
	e epoll.Event
}

func newFedSocket(c *conn) *fedSocket {
	f := &fedSocket{nc: c.nc, c: c}
	f.room.L = &f.mu
	return f
}

// Watch starts to read.
func (f *fedSocket) Watch() error {
	_ = f.nc.SetReadDeadline(time.Time{})
	f.paused, f.err, f.done = false, nil, make(chan struct{})
	f.c.s.wg.Go(f.feed)
	return nil
}

func (f *fedSocket) feed() {
	defer close(f.done)
	var b [4 << 10]byte
	for {
		f.mu.Lock()
		for len(f.buf) > aheadMax && !f.paused {
			f.room.Wait()
		}
		paused := f.paused
		f.mu.Unlock()
		if paused {
			return
		}
		n, err := f.nc.Read(b[:])
		f.mu.Lock()
		f.buf = append(f.buf, b[:n]...)
		if !f.paused {
			f.err = err
		}
		f.mu.Unlock()
		f.c.seat.loop.post(readAhead{f.c, epoll.Event{ID: f.c.id, HungUp: err != nil}})
		if err != nil {
			return
		}
	}
}

// Unwatch ends the reading. What has come goes to whoever reads next.
func (f *fedSocket) Unwatch() {
	if f.done == nil {
		return
	}
	f.mu.Lock()
	f.paused = true
	f.room.Signal()
	f.mu.Unlock()
	_ = f.nc.SetReadDeadline(time.Unix(1, 0))
	<-f.done
	f.c.in.ahead.buf, f.buf = append(f.c.in.ahead.buf, f.buf...), nil
	f.c.in.ahead.timed = true
}

func (f *fedSocket) Read(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := copy(p, f.buf)
	if f.buf = f.buf[n:]; n > 0 {
		f.room.Signal()
		return n, nil
	}
	if f.err != nil {
		return 0, f.err
	}
	return 0, epoll.ErrAgain
}

func (f *fedSocket) Write(p []byte) (int, error) {
	_ = f.nc.SetWriteDeadline(time.Now().Add(feedWrite))
	n, err := f.nc.Write(p)
	_ = f.nc.SetWriteDeadline(time.Time{})
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = epoll.ErrAgain
	}
	return n, err
}

func (f *fedSocket) Unread() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.buf)
}
