package sim

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Network carries bytes between hosts, in order within a connection as TCP
// does: loss shows as delay, a cut as silence. Nothing is told to the two ends
// of a connection that a cut separates; what they sent arrives when the cut has
// healed, if they have not given up.
type Network struct {
	mu        sync.Mutex // guards everything here and in all connections
	changed   *sync.Cond // a route, host or listener changed
	rand      *rand.Rand
	hosts     map[string]*host
	routes    map[route]*Path
	listeners map[string]*listener
	conns     map[*Conn]struct{}
	closed    bool
	frames    FrameCount
}

type route struct{ from, to string }

type host struct{ down, paused bool }

// Path is how one direction between two hosts behaves.
type Path struct {
	Cut           bool
	Delay, Jitter time.Duration
	Loss          float64 // share of writes that must be sent again
	// BytesMax, if not 0, is the longest write that passes, as through a tunnel
	// with a smaller packet size that nobody was told of: what is longer stays,
	// and with it all that the connection carries behind it.
	BytesMax int
	// Frames befalls the frames of peers.
	Frames Frames
}

const (
	delayDefault  = 100 * time.Microsecond
	jitterDefault = 200 * time.Microsecond
	// retransmit is how long a lost write takes more, per loss.
	retransmit = 200 * time.Millisecond
	// windowBytes is what may be under way and unread in one direction.
	windowBytes = 1 << 20
)

// NewNetwork returns a network without faults.
func NewNetwork(r *rand.Rand) *Network {
	n := &Network{rand: r, hosts: make(map[string]*host), routes: make(map[route]*Path),
		listeners: make(map[string]*listener), conns: make(map[*Conn]struct{})}
	n.changed = sync.NewCond(&n.mu)
	return n
}

// path returns the behaviour of a direction; mu is held.
func (n *Network) path(from, to string) *Path {
	p := n.routes[route{from, to}]
	if p == nil {
		p = &Path{Delay: delayDefault, Jitter: jitterDefault}
		n.routes[route{from, to}] = p
	}
	return p
}

func (n *Network) host(name string) *host {
	h := n.hosts[name]
	if h == nil {
		h = &host{}
		n.hosts[name] = h
	}
	return h
}

// Set changes one direction between two hosts.
func (n *Network) Set(from, to string, f func(p *Path)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f(n.path(from, to))
	n.stir()
}

// Heal undoes all faults of all directions.
func (n *Network) Heal() {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.routes)
	n.stir()
}

// FrameCount returns what has happened to frames.
func (n *Network) FrameCount() FrameCount {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.frames
}

// stir wakes whatever a change may have freed; mu is held.
func (n *Network) stir() {
	n.changed.Broadcast()
	for c := range n.conns {
		c.in.pump()
	}
}

// Pause holds everything from and to a host, or lets it go.
func (n *Network) Pause(name string, paused bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.host(name).paused = paused
	n.stir()
}

// Down takes a host from the network: its connections and listeners are gone.
// If polite, the other ends learn of it, as when an operating system outlives a
// process; else they hear nothing more, as after a power cut.
func (n *Network) Down(name string, polite bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.host(name).down = true
	for addr, l := range n.listeners {
		if hostOf(addr) == name {
			l.close()
		}
	}
	for c := range n.conns {
		if c.local != name {
			continue
		}
		if polite {
			c.out.push(segment{reset: true})
		} else if p := n.path(name, c.remote); p.Cut || p.BytesMax > 0 {
			c.out.wait = nil // nobody will send it again
		}
		c.die()
	}
	n.changed.Broadcast()
}

// Up brings a host back.
func (n *Network) Up(name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.host(name).down = false
	n.stir()
}

// Reset breaks the connections between two hosts, as a firewall does that
// forgets them.
func (n *Network) Reset(a, b string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for c := range n.conns {
		if c.local == a && c.remote == b || c.local == b && c.remote == a {
			c.broken = true
			c.wake()
		}
	}
}

// held counts the connections with another host that one has not closed.
func (n *Network) held(host, with string) (count int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for c := range n.conns {
		if c.local == host && c.remote == with {
			count++
		}
	}
	return count
}

// Close ends all connections: nothing moves any more.
func (n *Network) Close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.closed = true
	for _, l := range n.listeners {
		l.close()
	}
	for c := range n.conns {
		c.die()
	}
	n.changed.Broadcast()
}

// passable reports whether bytes from one host reach the other now; mu is held.
func (n *Network) passable(from, to string) bool {
	a, b := n.host(from), n.host(to)
	return !n.path(from, to).Cut && !b.down && !a.paused && !b.paused
}

// sealed is Dial from a host for connections that are then secured, so that nobody
// can tell the frames in them.
func (n *Network) sealed(from string) func(ctx context.Context, addr string) (net.Conn, error) {
	return func(ctx context.Context, addr string) (net.Conn, error) { return n.dial(ctx, from, addr, true) }
}

// Dial connects host from to addr. It waits as long as ctx allows while the
// two can't reach each other.
func (n *Network) Dial(ctx context.Context, from, addr string) (net.Conn, error) {
	return n.dial(ctx, from, addr, false)
}

func (n *Network) dial(ctx context.Context, from, addr string, sealed bool) (net.Conn, error) {
	to := hostOf(addr)
	stop := context.AfterFunc(ctx, func() {
		n.mu.Lock()
		n.changed.Broadcast()
		n.mu.Unlock()
	})
	defer stop()
	n.mu.Lock()
	trip := n.delay(from, to) + n.delay(to, from)
	n.mu.Unlock()
	select {
	case <-time.After(trip):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for {
		switch {
		case ctx.Err() != nil:
			return nil, fmt.Errorf("dial %s: %w", addr, ctx.Err())
		case n.closed || n.host(from).down:
			return nil, fmt.Errorf("dial %s: %w", addr, net.ErrClosed)
		case n.passable(from, to) && n.passable(to, from):
			l := n.listeners[addr]
			if l == nil || l.closed {
				return nil, fmt.Errorf("dial %s: %w", addr, syscall.ECONNREFUSED)
			}
			near, far := n.pair(from, to)
			if near.sealed, far.sealed = sealed, sealed; !sealed {
				near.frames, far.frames = newFramer(addr, true, &n.frames), newFramer(addr, false, &n.frames)
			}
			l.queue = append(l.queue, far)
			l.cond.Signal()
			return near, nil
		}
		n.changed.Wait()
	}
}

func (n *Network) delay(from, to string) time.Duration {
	p := n.path(from, to)
	d := p.Delay
	if p.Jitter > 0 {
		d += time.Duration(n.rand.Int64N(int64(p.Jitter)))
	}
	for p.Loss > 0 && n.rand.Float64() < p.Loss {
		d += retransmit
	}
	return d
}

// Listen opens addr. If the host is down, what listens there is dead without
// knowing it, and in nobody's way.
func (n *Network) Listen(addr string) (net.Listener, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if l := n.listeners[addr]; l != nil && !l.closed {
		return nil, fmt.Errorf("listen on %s: %w", addr, syscall.EADDRINUSE)
	}
	l := &listener{net: n, addr: address(addr), cond: sync.NewCond(&n.mu)}
	if !n.host(hostOf(addr)).down {
		n.listeners[addr] = l
	}
	return l, nil
}

type listener struct {
	net    *Network
	addr   address
	cond   *sync.Cond
	queue  []*Conn
	closed bool
}

func (l *listener) Accept() (net.Conn, error) {
	l.net.mu.Lock()
	defer l.net.mu.Unlock()
	for len(l.queue) == 0 && !l.closed {
		l.cond.Wait()
	}
	if l.closed {
		return nil, net.ErrClosed
	}
	c := l.queue[0]
	l.queue = l.queue[1:]
	return c, nil
}

func (l *listener) close() {
	if l.closed {
		return
	}
	l.closed = true
	for _, c := range l.queue {
		c.out.push(segment{reset: true})
		c.die()
	}
	l.queue = nil
	l.cond.Broadcast()
}

func (l *listener) Close() error {
	l.net.mu.Lock()
	defer l.net.mu.Unlock()
	l.close()
	return nil
}

func (l *listener) Addr() net.Addr { return l.addr }

type address string

func (a address) Network() string { return "sim" }
func (a address) String() string  { return string(a) }

func hostOf(addr string) string {
	name, _, _ := strings.Cut(addr, ":")
	return name
}

// errTimeout is what a passed deadline gives.
var errTimeout = os.ErrDeadlineExceeded

var errReset = errors.Join(syscall.ECONNRESET)
