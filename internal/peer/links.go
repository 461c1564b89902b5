package peer

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"tutti/internal/cluster"
)

// Class is what a connection is for.
type Class byte

// The classes.
const (
	Control Class = iota
	Bulk
	classes
	// Stream connections carry one snapshot each.
	Stream Class = 16
)

const (
	helloTimeout = 5 * time.Second
	pingEvery    = time.Second
	// silenceMax is how long a connection may carry nothing, pings included,
	// before it is taken for dead.
	silenceMax   = 4 * time.Second
	writeTimeout = 5 * time.Second
	redialMin    = 50 * time.Millisecond
	redialMax    = time.Second
)

// queueMax bounds the bytes that wait for a peer, by class.
var queueMax = [classes]int{Control: 4 << 20, Bulk: 64 << 20}

// Config says who this node is and how it reaches its peers.
type Config struct {
	Node        cluster.NodeID
	Incarnation uint64 // number of starts of the node
	Nonce       uint64 // of this start
	Cluster     string
	Listener    net.Listener
	// Dial connects to a peer; the connection is secured and has been verified
	// to end at that peer.
	Dial func(ctx context.Context, node cluster.NodeID) (net.Conn, error)
	// Secure turns an accepted connection into a verified one and says whose
	// it is.
	Secure func(ctx context.Context, conn net.Conn) (net.Conn, cluster.NodeID, error)
	// Wall is the wall clock in milliseconds.
	Wall func() int64
	// Mono is a clock that never jumps. Nil: the machine's.
	Mono func() time.Duration
	// Frame takes a frame from a peer; the payload is its own. It must not
	// block: it runs on the goroutine that reads the connection.
	Frame func(from cluster.NodeID, kind Kind, payload []byte)
	// Stream takes a stream a peer opened; it is closed on return.
	Stream func(from cluster.NodeID, s *Conn)
	// Room is what peers are told of this node's disk. Nil: plenty.
	Room func() Room
	// Hello may refuse a peer, for instance one that has been restored from an
	// old image. Nil accepts all.
	Hello func(h Hello) error
	// Changed is called when the link to a peer went up or down. Nil: nobody asks.
	Changed func(node cluster.NodeID, up bool)
	Logger  *slog.Logger
}

// Links is the links of one node to its peers.
type Links struct {
	cfg    Config
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	// links is replaced as a whole, so that finding one takes no lock.
	links atomic.Pointer[map[cluster.NodeID]*link]

	mu      sync.Mutex                  // guards conns, streams, closed, and changes of links
	conns   map[net.Conn]struct{}       // accepted ones, to be closed at the end
	streams map[net.Conn]cluster.NodeID // opened ones and their peers
	closed  bool

	clocks clocks
	seats  seats
}

// link is what this node sends to one peer.
type link struct {
	node  cluster.NodeID
	heard atomic.Int64  // when something last came from the peer, in ns of a monotonic clock
	room  atomic.Uint32 // Room on the peer's disk, by its last ping
	lanes [classes]*lane
}

// lane is the frames that wait for one connection.
type lane struct {
	mu   sync.Mutex // guards buf, conn, busy
	buf  []byte
	conn net.Conn // nil: down
	busy bool     // somebody writes
	// failed is why Flush could not write.
	failed error
	wake   chan struct{} // capacity 1
	knock  chan struct{} // capacity 1: the peer has dialled us, so it can be dialled
	max    int
	// waiting tells how much lies in the send buffer of conn's socket; nil if
	// there is none to ask.
	waiting func() int
	spare   []byte
	moved   time.Time // when the write deadline was last moved on
}

// New returns links that neither accept nor connect yet: what takes their
// frames may have to be built first.
func New(cfg Config) *Links {
	ctx, cancel := context.WithCancel(context.Background())
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Mono == nil {
		start := time.Now()
		cfg.Mono = func() time.Duration { return time.Since(start) }
	}
	l := &Links{cfg: cfg, ctx: ctx, cancel: cancel, conns: make(map[net.Conn]struct{}), streams: make(map[net.Conn]cluster.NodeID)}
	l.links.Store(&map[cluster.NodeID]*link{})
	return l
}

// Start starts to accept peers. Connect adds the peers to send to.
func (l *Links) Start() { l.wg.Go(l.accept) }

// Connect starts to keep connections to a peer.
func (l *Links) Connect(node cluster.NodeID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || node == l.cfg.Node || l.link(node) != nil {
		return
	}
	k := &link{node: node}
	k.heard.Store(time.Now().UnixNano())
	for c := range classes {
		k.lanes[c] = &lane{wake: make(chan struct{}, 1), knock: make(chan struct{}, 1), max: queueMax[c]}
		l.wg.Go(func() { l.send(k, c) })
	}
	links := maps.Clone(*l.links.Load())
	links[node] = k
	l.links.Store(&links)
}

// Close closes all connections and returns when all goroutines have ended.
func (l *Links) Close() {
	l.mu.Lock()
	l.closed = true
	l.cancel()
	l.cfg.Listener.Close()
	for c := range l.conns {
		c.Close()
	}
	l.mu.Unlock()
	l.wg.Wait()
}

func (l *Links) link(node cluster.NodeID) *link { return (*l.links.Load())[node] }

// Send queues a frame whose payload build appends, and reports whether it was
// queued. It never blocks.
func (l *Links) Send(to cluster.NodeID, class Class, kind Kind, build func(dst []byte) []byte) bool {
	q := l.queue(to, class, kind, build)
	if q == nil {
		return false
	}
	q.signal()
	return true
}

// Queue is Send for an event loop that calls Flush at the end of its cycle.
func (l *Links) Queue(to cluster.NodeID, class Class, kind Kind, build func(dst []byte) []byte) bool {
	return l.queue(to, class, kind, build) != nil
}

func (l *Links) queue(to cluster.NodeID, class Class, kind Kind, build func(dst []byte) []byte) *lane {
	k := l.link(to)
	if k == nil {
		return nil
	}
	q := k.lanes[class]
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.conn == nil || len(q.buf) > q.max {
		return nil
	}
	q.buf = appendFrame(q.buf, kind, build)
	return q
}

func (q *lane) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// flushMax is how much may lie in the send buffer of a socket after Flush has
// written to it on its caller's goroutine: less than the smallest buffer, so the
// write can't block. (Asking the socket costs a system call. Without it, frames
// that the sender goroutine had just put there made the event loop wait for a
// busy peer: 270 ms in one cycle.)
const flushMax = 12 << 10

// Flush sends what Queue has queued. Small frames are written here and now:
// waking another goroutine for them was measured to cost more than the write.
func (l *Links) Flush() {
	for _, k := range *l.links.Load() {
		for _, q := range k.lanes {
			q.flush()
		}
	}
}

func (q *lane) flush() {
	q.mu.Lock()
	if len(q.buf) == 0 || q.busy || q.conn == nil {
		q.mu.Unlock()
		return // whoever is busy looks again
	}
	if len(q.buf) > flushMax || q.waiting != nil && q.waiting()+len(q.buf) > flushMax {
		q.mu.Unlock()
		q.signal()
		return
	}
	conn, buf := q.take()
	q.mu.Unlock()
	if err := q.put(conn, buf); err != nil {
		q.mu.Lock()
		q.failed = err
		q.mu.Unlock()
		q.signal() // its sender dials again
	}
}

// take takes what waits and makes the lane busy; q.mu is held.
func (q *lane) take() (net.Conn, []byte) {
	buf := q.buf
	q.buf, q.spare = q.spare[:0], nil
	q.busy = true
	// Setting a deadline for every write would cost more than it gives: it is
	// moved on when half of it has passed.
	if now := time.Now(); now.Sub(q.moved) > writeTimeout/2 {
		q.moved = now
		_ = q.conn.SetWriteDeadline(now.Add(writeTimeout))
	}
	return q.conn, buf
}

// put writes what take took.
func (q *lane) put(conn net.Conn, buf []byte) error {
	_, err := conn.Write(buf)
	q.mu.Lock()
	q.busy = false
	if cap(buf) <= 4<<20 { // a rare large frame must not stay in memory
		q.spare = buf[:0]
	}
	more := len(q.buf) > 0
	q.mu.Unlock()
	if more {
		q.signal()
	}
	return err
}

// Up reports whether both connections to a peer stand.
func (l *Links) Up(node cluster.NodeID) bool {
	k := l.link(node)
	if k == nil {
		return false
	}
	for _, q := range k.lanes {
		q.mu.Lock()
		up := q.conn != nil
		q.mu.Unlock()
		if !up {
			return false
		}
	}
	return true
}

// send keeps one connection to a peer and writes what waits for it.
func (l *Links) send(k *link, class Class) {
	pause := redialMin
	for l.ctx.Err() == nil {
		conn, err := l.dial(k.node, class)
		if err == nil {
			began := time.Now()
			l.setConn(k, class, conn)
			err = l.write(k, k.lanes[class], conn)
			l.setConn(k, class, nil)
			conn.Close()
			if time.Since(began) > redialMax { // else the peer refuses us
				pause = redialMin
			}
		}
		if l.ctx.Err() != nil {
			return
		}
		l.cfg.Logger.Debug("peer connection ended", slog.Uint64("peer", uint64(k.node)), slog.Any("error", err))
		select {
		case <-l.ctx.Done():
		case <-time.After(pause):
			pause = min(2*pause, redialMax)
		case <-k.lanes[class].knock:
			// A node that comes back must not wait for the rest of a pause that
			// grew while it was away: its clients wait with it.
			pause = redialMin
		}
	}
}

func (l *Links) setConn(k *link, class Class, conn net.Conn) {
	q := k.lanes[class]
	q.mu.Lock()
	q.conn, q.moved, q.failed, q.waiting = conn, time.Time{}, nil, nil
	if conn != nil {
		q.waiting = sendQueue(conn)
	}
	q.buf = nil // as a network loses what is under way
	q.mu.Unlock()
	if class != Bulk {
		return
	}
	if conn == nil {
		l.breakStreams(k.node)
	}
	if l.cfg.Changed != nil {
		l.cfg.Changed(k.node, conn != nil)
	}
}

func (l *Links) dial(node cluster.NodeID, class Class) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(l.ctx, helloTimeout)
	defer cancel()
	conn, err := l.cfg.Dial(ctx, node)
	if err != nil {
		return nil, err
	}
	h := l.hello(class)
	_ = conn.SetWriteDeadline(time.Now().Add(helloTimeout))
	if _, err := conn.Write(appendFrame(nil, kindHello, h.encode)); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// write sends what waits until the connection fails or the peer falls silent.
func (l *Links) write(k *link, q *lane, conn net.Conn) error {
	stop := context.AfterFunc(l.ctx, func() { conn.Close() })
	defer stop()
	k.heard.Store(time.Now().UnixNano())
	ping := time.NewTicker(pingEvery)
	defer ping.Stop()
	gone := make(chan struct{})
	l.wg.Go(func() {
		// Nothing comes this way, so a read ends with the connection: that a
		// process was killed shows at once, not when writing fails.
		_, _ = conn.Read(make([]byte, 1))
		close(gone)
	})
	for {
		select {
		case <-l.ctx.Done():
			return l.ctx.Err()
		case <-gone:
			return errors.New("the peer closed the connection")
		case <-q.wake:
		case <-ping.C:
			if time.Now().UnixNano()-k.heard.Load() > int64(silenceMax) {
				return errors.New("the peer is silent")
			}
			q.mu.Lock()
			q.buf = appendFrame(q.buf, kindPing, l.ping().encode)
			q.mu.Unlock()
		}
		q.mu.Lock()
		if err := q.failed; err != nil {
			q.mu.Unlock()
			return err
		}
		if q.busy || len(q.buf) == 0 {
			q.mu.Unlock()
			continue
		}
		conn, buf := q.take()
		q.mu.Unlock()
		if err := q.put(conn, buf); err != nil {
			return err
		}
	}
}

func (l *Links) accept() {
	for {
		conn, err := l.cfg.Listener.Accept()
		if err != nil {
			if l.ctx.Err() == nil && !errors.Is(err, net.ErrClosed) {
				l.cfg.Logger.Warn("accept peer", slog.Any("error", err))
				select {
				case <-l.ctx.Done():
				case <-time.After(redialMin): // out of descriptors, for instance
				}
				continue
			}
			return
		}
		l.mu.Lock()
		if l.closed {
			l.mu.Unlock()
			conn.Close()
			return
		}
		l.conns[conn] = struct{}{}
		l.mu.Unlock()
		l.wg.Go(func() {
			err := l.serve(conn)
			l.cfg.Logger.Debug("peer connection ended", slog.String("remote", conn.RemoteAddr().String()), slog.Any("error", err))
			conn.Close()
			l.mu.Lock()
			delete(l.conns, conn)
			l.mu.Unlock()
		})
	}
}

// serve reads one accepted connection to its end.
func (l *Links) serve(raw net.Conn) error {
	ctx, cancel := context.WithTimeout(l.ctx, helloTimeout)
	defer cancel()
	_ = raw.SetDeadline(time.Now().Add(helloTimeout))
	conn, from, err := l.cfg.Secure(ctx, raw)
	if err != nil {
		return fmt.Errorf("secure: %w", err)
	}
	r := bufio.NewReaderSize(conn, 64<<10)
	kind, payload, err := readFrame(r)
	if err != nil {
		return err
	}
	h, err := decodeHello(payload)
	switch {
	case err != nil:
		return err
	case kind != kindHello || h.Node != from || h.Cluster != l.cfg.Cluster:
		return fmt.Errorf("%w: hello of node %d of cluster %q from node %d", ErrFrame, h.Node, h.Cluster, from)
	}
	// First, so that what Hello notes is not of one who is then refused.
	if err := l.seats.take(h); err != nil {
		l.cfg.Logger.Warn("peer refused", slog.Any("error", err))
		return err
	}
	defer l.seats.leave(h)
	if l.cfg.Hello != nil {
		if err := l.cfg.Hello(h); err != nil {
			return err
		}
	}
	_ = raw.SetDeadline(time.Time{})
	l.clocks.sample(from, h.Wall-l.cfg.Mono().Milliseconds())
	if h.Class == Stream {
		l.cfg.Stream(from, &Conn{c: conn, r: r})
		return nil
	}
	if k := l.link(from); k != nil {
		for _, q := range k.lanes {
			select {
			case q.knock <- struct{}{}:
			default:
			}
		}
	}
	return l.receive(from, conn, r)
}

func (l *Links) receive(from cluster.NodeID, conn net.Conn, r *bufio.Reader) error {
	for {
		_ = conn.SetReadDeadline(time.Now().Add(silenceMax))
		kind, payload, err := readFrame(r)
		if err != nil {
			return err
		}
		if k := l.link(from); k != nil {
			k.heard.Store(time.Now().UnixNano())
		}
		switch {
		case kind == kindPing:
			p, err := decodePing(payload)
			if err != nil {
				return err
			}
			l.pinged(from, p)
		case kind < 16:
			return fmt.Errorf("%w: kind %d", ErrFrame, kind)
		default:
			l.cfg.Frame(from, kind, payload)
		}
	}
}
