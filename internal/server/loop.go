package server

import (
	"fmt"
	"sync"
	"time"

	"tutti/internal/router"
	"tutti/internal/server/epoll"
)

// loop serves many clients from one goroutine. Each time it wakes it takes what has
// arrived from all of them, sends their writes to each shard as one group and has
// their reads evaluated over one view, and writes what was answered meanwhile. It
// never waits for a client, a shard or a lock that is held for long: whatever may
// take its time goes to a goroutine, with its client.
type loop struct {
	s *Server

	mu     sync.Mutex // guards inbox, closed and, until there is one, poller
	inbox  []any
	closed bool
	poller *epoll.Poller // of TCP
	wake   chan struct{} // capacity 1: a signal

	ready  chan []epoll.Event // what the poller has told; its memory is given back by taken
	taken  chan struct{}
	ended  chan struct{} // closed when the loop has ended
	events []epoll.Event // of the watch

	// What follows belongs to the loop's goroutine.
	clients  map[uint64]*conn // those it serves, by id
	now      time.Time        // when it woke
	gathered []*conn          // whose commands are to be sent before it sleeps again
	taking   []any            // the inbox that it works on
	spare    spares
	idle     idle
	room     *lookRoom
	transfer transfer
}

// What others post into a loop.
type (
	seated  struct{ c *conn } // the client is the loop's
	ended   struct{ c *conn } // the client has been cut off
	overdue struct {          // its commands had been under way for long when it hung up
		c     *conn
		trips int
	}
	wrote struct {
		g      *together
		result router.Result
	}
	looked struct {
		r   *readers
		got viewed
	}
	dismissed struct{} // clients are asked to leave
)

func newLoop(s *Server) *loop {
	return &loop{s: s, room: newLookRoom(), transfer: transfer{batch: epoll.NewBatch()}, wake: make(chan struct{}, 1), ready: make(chan []epoll.Event), taken: make(chan struct{}), ended: make(chan struct{}),
		clients: make(map[uint64]*conn), events: make([]epoll.Event, eventsMax)}
}

// eventsMax is of how many sockets a loop is told at once.
const eventsMax = 512

// post puts something into the inbox; it never waits. It reports false if the loop
// has ended: then it takes nothing.
func (l *loop) post(x any) bool {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return false
	}
	l.inbox = append(l.inbox, x)
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
	return true
}

// use gives the loop a poller, which it closes.
func (l *loop) use(p *epoll.Poller) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.poller = p; l.closed {
		p.Close()
	}
}

// watch waits for sockets.
func (l *loop) watch() {
	for {
		n, err := l.poller.Wait(l.events)
		if err != nil {
			return // it has been closed
		}
		select {
		case l.ready <- l.events[:n]:
		case <-l.ended:
			return
		}
		select {
		case <-l.taken:
		case <-l.ended:
			return
		}
	}
}

// run is the loop, until the server ends.
func (l *loop) run() {
	defer l.end()
	for {
		var events []epoll.Event
		select {
		case events = <-l.ready:
		case <-l.wake:
		case <-l.s.ctx.Done():
			return
		}
		l.now = time.Now()
		l.takeInbox()
		for _, e := range events {
			if c := l.clients[e.ID]; c != nil {
				l.told(c, e)
			}
		}
		if events != nil {
			l.taken <- struct{}{}
		}
		turns(l)
		l.send()
	}
}

func (l *loop) takeInbox() {
	l.mu.Lock()
	l.taking, l.inbox = l.inbox, l.taking[:0]
	l.mu.Unlock()
	for i, x := range l.taking {
		l.taking[i] = nil
		l.take(x)
	}
	reply(l)
}

func (l *loop) take(x any) {
	switch x := x.(type) {
	case seated:
		l.seat(x.c)
	case ended:
		switch t := &x.c.seat; {
		case !t.here:
		case t.waits != nil:
			endAsleep(x.c)
			l.drop(x.c)
		default:
			l.drop(x.c)
		}
	case stirred:
		x.look(l)
	case overdue:
		l.missed(x)
	case readAhead:
		if x.c.seat.here {
			l.told(x.c, x.e)
		}
	case sleepy:
		reply(l) // who has just been answered is not idle
		l.dropIdle()
	case wrote:
		l.wrote(x.g, x.result)
	case looked:
		l.look(x.r, x.got)
	case dismissed:
		for _, c := range l.clients {
			if !c.seat.busy { // the others go when they have been answered
				l.handOver(c)
			}
		}
	default:
		panic(fmt.Sprintf("server: %T in the inbox of a loop", x))
	}
}

// seat takes a client that waits for nothing.
func (l *loop) seat(c *conn) {
	t := &c.seat
	t.here, t.readable, t.hungUp = true, false, false
	if t.waits != nil {
		watchAsleep(l, c)
		return
	}
	c.in.rd.Draw(&l.spare.read)
	l.rest(c)
	l.clients[c.id] = c
	if c.left() || c.in.leaving() || t.sock.Watch() != nil {
		l.handOver(c)
	}
}

// told takes what the poller tells of a client.
func (l *loop) told(c *conn, e epoll.Event) {
	t := &c.seat
	if t.waits != nil {
		toldAsleep(l, c, e)
		return
	}
	t.readable = true
	if e.HungUp && !t.hungUp {
		t.hungUp = true
		if t.busy {
			l.missLater(c)
		}
	}
	if !t.busy && !t.due {
		t.due = true
		l.transfer.due = append(l.transfer.due, c)
	}
}

// missLater sees to it that a client that hung up while its commands are under way
// is cut off if that takes long: a group may wait for a leader for seconds.
func (l *loop) missLater(c *conn) {
	x := overdue{c, c.seat.trips}
	time.AfterFunc(patrolEvery, func() { l.post(x) })
}

// missed cuts off a client that has hung up, unless it has sent much that is still
// to be executed, which a goroutine would not know either.
func (l *loop) missed(x overdue) {
	switch t := &x.c.seat; {
	case !t.here || !t.busy:
	case t.trips != x.trips || t.sock.Unread() > aheadMax:
		l.missLater(x.c)
	default:
		x.c.end(errHungUp)
	}
}

// handOver gives a client to a goroutine, with all that is to be done for it.
func (l *loop) handOver(c *conn) {
	l.unseat(c)
	go c.seat.resume()
}

// drop ends a client. What it has under way is executed, and answered to nobody.
func (l *loop) drop(c *conn) {
	c.nc.Close() // first: nobody is to wait for it
	l.unseat(c)
	l.s.forget(c)
}

func (l *loop) unseat(c *conn) {
	c.seat.here = false
	c.seat.sock.Unwatch()
	c.in.rd.Draw(nil)
	// The turn has taken what was read for it: a reader that rests has room for more
	// than earlyMax. But of who is refused since all clients together hold too much.
	c.seat.early = nil
	delete(l.clients, c.id)
}

// rest has a client that waits for nothing hold as little as possible.
func (l *loop) rest(c *conn) {
	c.in.rd.Rest()
	l.spare.takeBack(c)
	l.idles(c)
}

// end ends the loop and its clients.
func (l *loop) end() {
	l.mu.Lock()
	l.closed = true
	rest, poller := l.inbox, l.poller
	l.inbox = nil
	l.mu.Unlock()
	close(l.ended)
	if poller != nil {
		defer poller.Close()
	}
	defer l.transfer.batch.Close()
	if l.idle.timer != nil {
		l.idle.timer.Stop()
	}
	for _, x := range rest {
		switch x := x.(type) {
		case seated:
			l.clients[x.c.id] = x.c
		case looked:
			x.got.release()
		}
	}
	for _, c := range l.clients {
		c.nc.Close()
		l.unseat(c)
		endAsleep(c)
		l.s.forget(c)
	}
}
