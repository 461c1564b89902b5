package netfault

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// Limits.
const (
	// connsMax is how many connections one forwarder carries; more are reset.
	// Behind a cut, those that their ends have given up count too.
	connsMax = 128
	// segmentBytes and segmentsMax bound what one direction of a connection
	// holds: 256 KiB. Behind them TCP's own flow control stops the sender.
	segmentBytes = 16 << 10
	segmentsMax  = 16
	// dialTimeout bounds the wait for a host that neither takes nor refuses a
	// connection, such as a stopped process with a full backlog.
	dialTimeout = 5 * time.Second
)

// Path is how one direction between two hosts behaves. The zero value passes
// bytes on as fast as they come.
type Path struct {
	Cut           bool          // bytes are held, connections stay
	Delay, Jitter time.Duration // every byte takes Delay and up to Jitter more, in order
	// BytesPerSecond limits all connections of the path together; 0: no limit.
	BytesPerSecond int64
	// TamperBytes is the mean distance of flipped bits; 0: none.
	TamperBytes int64
}

// Switch carries connections between hosts. Its methods may be called by any
// goroutine.
type Switch struct {
	seed uint64
	wg   sync.WaitGroup

	mu     sync.Mutex // guards what follows
	paths  map[route]*path
	fronts map[net.Listener]struct{}
	conns  map[*conn]struct{}
	closed bool
}

type route struct{ from, to string }

// New returns a switch without hosts.
func New(seed uint64) *Switch {
	return &Switch{seed: seed, paths: make(map[route]*path), fronts: make(map[net.Listener]struct{}), conns: make(map[*conn]struct{})}
}

// Connect opens a forwarder by which host from reaches host to, which listens
// on target, and returns the address to dial instead.
func (s *Switch) Connect(from, to, target string) (addr string, err error) {
	return s.Listen("127.0.0.1:0", to, target, func(net.Addr) (string, error) { return from, nil })
}

// Listen opens a forwarder at addr by which all hosts reach host to. Who names
// the host that dialled, given the address it dialled from; connections of
// which it knows no host are reset.
func (s *Switch) Listen(addr, to, target string, who func(remote net.Addr) (from string, err error)) (string, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return "", fmt.Errorf("forward to %s: %w", to, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		l.Close()
		return "", net.ErrClosed
	}
	s.fronts[l] = struct{}{}
	f := &forwarder{s: s, listener: l, to: to, target: target, who: who, slots: make(chan struct{}, connsMax)}
	s.wg.Go(f.accept)
	return l.Addr().String(), nil
}

// Set changes one direction between two hosts.
func (s *Switch) Set(from, to string, f func(p *Path)) { s.path(from, to).set(f) }

// CutOne cuts one direction.
func (s *Switch) CutOne(from, to string) { s.Set(from, to, func(p *Path) { p.Cut = true }) }

// Cut cuts both directions.
func (s *Switch) Cut(a, b string) {
	s.CutOne(a, b)
	s.CutOne(b, a)
}

// Heal undoes all faults of all paths.
func (s *Switch) Heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.paths {
		p.set(func(p *Path) { *p = Path{} })
	}
}

// Reset breaks the connections between two hosts, as a firewall does that has
// forgotten them: both ends see them reset, cut or not.
func (s *Switch) Reset(a, b string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		if c.from == a && c.to == b || c.from == b && c.to == a {
			c.reset()
		}
	}
}

// Close ends all connections and returns when all goroutines have ended.
func (s *Switch) Close() {
	s.mu.Lock()
	s.closed = true
	for l := range s.fronts {
		l.Close()
	}
	for c := range s.conns {
		c.reset()
	}
	s.mu.Unlock()
	s.wg.Wait()
}

func (s *Switch) path(from, to string) *path {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.paths[route{from, to}]
	if p == nil {
		p = &path{changed: make(chan struct{})}
		s.paths[route{from, to}] = p
	}
	return p
}

// forwarder takes connections to one host.
type forwarder struct {
	s        *Switch
	listener net.Listener
	to       string
	target   string
	who      func(net.Addr) (string, error)
	slots    chan struct{} // one for each connection
}

func (f *forwarder) accept() {
	for {
		near, err := f.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // out of descriptors, for instance
			time.Sleep(10 * time.Millisecond)
			continue
		}
		select {
		case f.slots <- struct{}{}:
			f.s.wg.Go(func() {
				f.serve(near)
				<-f.slots
			})
		default:
			abort(near)
		}
	}
}

// serve carries one connection to its end.
func (f *forwarder) serve(near net.Conn) {
	from, err := f.who(near.RemoteAddr())
	if err != nil {
		abort(near)
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	c := &conn{from: from, to: f.to, near: near, cancel: cancel, done: ctx.Done()}
	if !f.s.add(c) {
		abort(near)
		return
	}
	defer f.s.remove(c)
	out, back := f.s.path(from, f.to), f.s.path(f.to, from)
	// A connection is made by packets in both directions.
	if !out.open(c.done) || !back.open(c.done) {
		return
	}
	dialer := net.Dialer{Timeout: dialTimeout}
	far, err := dialer.DialContext(ctx, "tcp", f.target)
	if err != nil || !c.join(far) {
		abort(near)
		return
	}
	n := out.count()
	there, andBack := newPipe(c, out, near, far, f.s.seed, n), newPipe(c, back, far, near, f.s.seed, n)
	there.twin, andBack.twin = andBack, there
	var wg sync.WaitGroup
	wg.Go(there.run)
	andBack.run()
	wg.Wait()
}

func (s *Switch) add(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.conns[c] = struct{}{}
	}
	return !s.closed
}

func (s *Switch) remove(c *conn) {
	c.close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}

// conn is one connection through the switch.
type conn struct {
	from, to string
	near     net.Conn

	mu     sync.Mutex // guards far, ended
	far    net.Conn   // nil: not yet dialled
	ended  bool
	cancel context.CancelFunc // closes done
	done   <-chan struct{}    // closed when it is over for both directions
}

// join adds the far side, unless the connection has been reset meanwhile.
func (c *conn) join(far net.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		abort(far)
		return false
	}
	c.far = far
	return true
}

func (c *conn) close() { c.end(func(side net.Conn) { _ = side.Close() }) } // nobody is left to tell

func (c *conn) reset() { c.end(abort) }

func (c *conn) end(how func(net.Conn)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return
	}
	c.ended = true
	c.cancel()
	how(c.near)
	if c.far != nil {
		how(c.far)
	}
}

// abort closes a connection so that the other end sees it reset.
func abort(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	_ = c.Close() // with what it says nothing can be done
}
