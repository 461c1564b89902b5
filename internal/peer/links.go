package peer

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"
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
	Node        uint64
	Incarnation uint64
	Cluster     string
	Listener    net.Listener
	// Dial connects to a peer; the connection is secured and has been verified
	// to end at that peer.
	Dial func(ctx context.Context, node uint64) (net.Conn, error)
	// Secure turns an accepted connection into a verified one and says whose
	// it is.
	Secure func(ctx context.Context, conn net.Conn) (net.Conn, uint64, error)
	// Wall is the wall clock in milliseconds.
	Wall func() int64
	// Frame takes a frame from a peer; the payload is its own. It must not
	// block: it runs on the goroutine that reads the connection.
	Frame func(from uint64, kind Kind, payload []byte)
	// Stream takes a stream a peer opened; it is closed on return.
	Stream func(from uint64, s *Conn)
	// Hello may refuse a peer, for instance one that has been restored from an
	// old image. Nil accepts all.
	Hello func(h Hello) error
	// Changed is called when the link to a peer went up or down. Nil: nobody asks.
	Changed func(node uint64, up bool)
	Logger  *slog.Logger
}

// Links is the links of one node to its peers.
type Links struct {
	cfg    Config
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu     sync.Mutex // guards links, conns, closed
	links  map[uint64]*link
	conns  map[net.Conn]struct{} // accepted ones, to be closed at the end
	closed bool

	clocks clocks
}

// link is what this node sends to one peer.
type link struct {
	node  uint64
	heard atomic.Int64 // when something last came from the peer, in ns of a monotonic clock
	lanes [classes]*lane
}

// lane is the frames that wait for one connection.
type lane struct {
	mu   sync.Mutex // guards buf, up
	buf  []byte
	up   bool
	wake chan struct{} // capacity 1
	max  int
}

// New returns links that neither accept nor connect yet: what takes their
// frames may have to be built first.
func New(cfg Config) *Links {
	ctx, cancel := context.WithCancel(context.Background())
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Links{cfg: cfg, ctx: ctx, cancel: cancel, links: make(map[uint64]*link), conns: make(map[net.Conn]struct{})}
}

// Start starts to accept peers. Connect adds the peers to send to.
func (l *Links) Start() { l.wg.Go(l.accept) }

// Connect starts to keep connections to a peer.
func (l *Links) Connect(node uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || node == l.cfg.Node || l.links[node] != nil {
		return
	}
	k := &link{node: node}
	k.heard.Store(time.Now().UnixNano())
	for c := range classes {
		k.lanes[c] = &lane{wake: make(chan struct{}, 1), max: queueMax[c]}
		l.wg.Go(func() { l.send(k, c) })
	}
	l.links[node] = k
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

func (l *Links) link(node uint64) *link {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.links[node]
}

// Send queues a frame whose payload build appends, and reports whether it was
// queued. It never blocks.
func (l *Links) Send(to uint64, class Class, kind Kind, build func(dst []byte) []byte) bool {
	k := l.link(to)
	if k == nil {
		return false
	}
	q := k.lanes[class]
	q.mu.Lock()
	if !q.up || len(q.buf) > q.max {
		q.mu.Unlock()
		return false
	}
	q.buf = appendFrame(q.buf, kind, build)
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
	return true
}

// Up reports whether both connections to a peer stand.
func (l *Links) Up(node uint64) bool {
	k := l.link(node)
	if k == nil {
		return false
	}
	for _, q := range k.lanes {
		q.mu.Lock()
		up := q.up
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
			pause = redialMin
			l.setUp(k, class, true)
			err = l.write(k, k.lanes[class], conn)
			l.setUp(k, class, false)
			conn.Close()
		}
		if l.ctx.Err() != nil {
			return
		}
		l.cfg.Logger.Debug("peer connection ended", slog.Uint64("peer", k.node), slog.Any("error", err))
		select {
		case <-l.ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, redialMax)
	}
}

func (l *Links) setUp(k *link, class Class, up bool) {
	q := k.lanes[class]
	q.mu.Lock()
	q.up = up
	if !up {
		q.buf = nil // as a network loses what is under way
	}
	q.mu.Unlock()
	if class == Bulk && l.cfg.Changed != nil {
		l.cfg.Changed(k.node, up)
	}
}

func (l *Links) dial(node uint64, class Class) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(l.ctx, helloTimeout)
	defer cancel()
	conn, err := l.cfg.Dial(ctx, node)
	if err != nil {
		return nil, err
	}
	h := Hello{Class: class, Node: l.cfg.Node, Incarnation: l.cfg.Incarnation, Wall: l.cfg.Wall(), Cluster: l.cfg.Cluster}
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
	var spare []byte
	for {
		select {
		case <-l.ctx.Done():
			return l.ctx.Err()
		case <-q.wake:
		case <-ping.C:
			if time.Now().UnixNano()-k.heard.Load() > int64(silenceMax) {
				return errors.New("the peer is silent")
			}
			q.mu.Lock()
			q.buf = appendFrame(q.buf, kindPing, func(dst []byte) []byte { return be.AppendUint64(dst, uint64(l.cfg.Wall())) })
			q.mu.Unlock()
		}
		q.mu.Lock()
		buf := q.buf
		q.buf = spare[:0]
		q.mu.Unlock()
		if len(buf) > 0 {
			_ = conn.SetWriteDeadline(time.Now().Add(writeTimeout))
			if _, err := conn.Write(buf); err != nil {
				return err
			}
		}
		if spare = buf; cap(spare) > 4<<20 {
			spare = nil // a rare large frame must not stay in memory
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
	if l.cfg.Hello != nil {
		if err := l.cfg.Hello(h); err != nil {
			return err
		}
	}
	_ = raw.SetDeadline(time.Time{})
	l.clocks.sample(from, h.Wall-l.cfg.Wall())
	if h.Class == Stream {
		l.cfg.Stream(from, &Conn{c: conn, r: r})
		return nil
	}
	return l.receive(from, conn, r)
}

func (l *Links) receive(from uint64, conn net.Conn, r *bufio.Reader) error {
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
		case kind == kindPing && len(payload) == 8:
			l.clocks.sample(from, int64(be.Uint64(payload))-l.cfg.Wall())
		case kind < 16:
			return fmt.Errorf("%w: kind %d", ErrFrame, kind)
		default:
			l.cfg.Frame(from, kind, payload)
		}
	}
}
