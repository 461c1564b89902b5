package netfault

import (
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// path is one direction between two hosts.
type path struct {
	mu      sync.Mutex // guards what follows
	now     Path
	changed chan struct{} // closed at the next change
	conns   uint64        // dialled in this direction so far
	free    time.Time     // when the bytes that were let through have left
}

func (p *path) set(f func(p *Path)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f(&p.now)
	p.free = time.Time{}
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *path) get() (Path, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.now, p.changed
}

// count numbers the connections that were dialled in this direction.
func (p *path) count() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns++
	return p.conns
}

// open waits until the path is not cut; false: done was closed.
func (p *path) open(done <-chan struct{}) bool {
	for {
		now, changed := p.get()
		if !now.Cut {
			return true
		}
		select {
		case <-changed:
		case <-done:
			return false
		}
	}
}

// take reserves the time that n bytes need on the path, and returns when they
// will have passed.
func (p *path) take(n int) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if p.now.BytesPerSecond <= 0 {
		return now
	}
	if p.free.Before(now) {
		p.free = now
	}
	p.free = p.free.Add(time.Duration(float64(n) / float64(p.now.BytesPerSecond) * float64(time.Second)))
	return p.free
}

// segment is what one read brought, or the end of the stream.
type segment struct {
	data []byte
	due  time.Time // not to leave earlier
	end  error     // nil: more follows; io.EOF or why the reading failed
}

// pipe is one direction of one connection.
type pipe struct {
	conn     *conn
	path     *path
	src, dst net.Conn
	queue    chan segment  // segmentsMax
	twin     *pipe         // the other direction
	over     chan struct{} // closed when this one has ended

	delays *rand.Rand // jitter, one draw a segment
	flips  *rand.Rand // distances of flipped bits
	next   int64      // bytes that pass before the next flipped bit; -1: not drawn
}

func newPipe(c *conn, p *path, src, dst net.Conn, seed, number uint64) *pipe {
	// The names of the hosts make the two directions differ.
	mix := seed
	for _, b := range []byte(c.from + ">" + c.to) {
		mix = mix*1099511628211 ^ uint64(b)
	}
	if src != c.near {
		mix = ^mix
	}
	return &pipe{conn: c, path: p, src: src, dst: dst, queue: make(chan segment, segmentsMax), over: make(chan struct{}), next: -1,
		delays: rand.New(rand.NewPCG(mix, 2*number)), flips: rand.New(rand.NewPCG(mix, 2*number+1))}
}

// run carries bytes until the stream ends or the connection does.
func (p *pipe) run() {
	var wg sync.WaitGroup
	wg.Go(p.read)
	p.write()
	close(p.over)
	wg.Wait()
}

func (p *pipe) read() {
	defer close(p.queue)
	var last time.Time
	for {
		buf := make([]byte, segmentBytes)
		n, err := p.src.Read(buf)
		now, _ := p.path.get()
		due := time.Now().Add(now.Delay)
		if now.Jitter > 0 {
			due = due.Add(time.Duration(p.delays.Int64N(int64(now.Jitter))))
		}
		if due.Before(last) {
			due = last
		}
		last = due
		if n > 0 && !p.put(segment{data: buf[:n], due: due}) {
			return
		}
		if err != nil {
			p.put(segment{due: due, end: err})
			return
		}
	}
}

func (p *pipe) put(s segment) bool {
	select {
	case p.queue <- s:
		return true
	case <-p.conn.done:
		return false
	}
}

func (p *pipe) write() {
	for s := range p.queue {
		if !p.hold(s) {
			return
		}
		if s.end != nil {
			p.finish(s.end)
			return
		}
		now, _ := p.path.get()
		p.tamper(s.data, now.TamperBytes)
		if _, err := p.dst.Write(s.data); err != nil {
			// The receiver is gone. Word of it travels the other direction, which
			// may be cut; until then the sender meets a full window.
			select {
			case <-p.twin.over:
			case <-p.conn.done:
			}
			p.conn.reset()
			return
		}
	}
}

// hold waits until a segment may leave; false: the connection is over. A
// change of the path counts at once, also for what waits already.
func (p *pipe) hold(s segment) bool {
	var passed time.Time // when the rate lets it leave
	for {
		now, changed := p.path.get()
		then := passed
		if now.BytesPerSecond <= 0 {
			then = time.Time{}
		}
		if (now.Delay > 0 || now.Jitter > 0) && s.due.After(then) {
			then = s.due
		}
		d := time.Until(then)
		switch {
		case now.Cut:
			d = forever
		case d > 0:
		case passed.IsZero():
			passed = p.path.take(len(s.data))
			continue
		default:
			return true
		}
		t := time.NewTimer(d)
		select {
		case <-t.C:
		case <-changed:
		case <-p.conn.done:
			t.Stop()
			return false
		}
		t.Stop()
	}
}

const forever = time.Duration(math.MaxInt64)

// finish passes the end of the stream on: a half-close as such, anything else
// as a reset.
func (p *pipe) finish(end error) {
	if half, ok := p.dst.(*net.TCPConn); ok && errors.Is(end, io.EOF) {
		_ = half.CloseWrite()
		return
	}
	p.conn.reset()
}

// tamper flips bits of data at distances that average mean bytes.
func (p *pipe) tamper(data []byte, mean int64) {
	if mean <= 0 {
		p.next = -1
		return
	}
	at := int64(0)
	for {
		if p.next < 0 {
			p.next = p.flips.Int64N(2*mean - 1)
		}
		if at+p.next >= int64(len(data)) {
			p.next -= int64(len(data)) - at
			return
		}
		at += p.next
		data[at] ^= 1 << p.flips.UintN(8)
		at++
		p.next = -1
	}
}
