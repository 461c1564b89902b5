package peer

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"math"
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
	// Oldest and Newest are the versions of the formats that this node speaks.
	// Zero: those of package cluster.
	Oldest, Newest cluster.Version
	Listener       net.Listener
	// Dial connects to a peer; the connection is secured and has been verified
	// to end at that peer. Where a peer is now is for Dial to know.
	Dial func(ctx context.Context, node cluster.NodeID) (net.Conn, error)
	// Secure turns an accepted connection into a verified one and says whose
	// it is.
	Secure func(ctx context.Context, conn net.Conn) (net.Conn, cluster.NodeID, error)
	// Stranger serves a connection that Secure let in as nobody's, node 0: one of
	// a machine that wants to become a node. It returns when ctx ends, or conn is
	// closed. Nil: such a connection is refused.
	Stranger func(ctx context.Context, conn net.Conn)
	// Wall is the wall clock in milliseconds.
	Wall func() int64
	// Mono is a clock that never jumps. Nil: the machine's.
	Mono func() time.Duration
	// Room is what peers are told of this node's disk. Nil: plenty.
	Room func() Room
	// Hello may refuse a peer, for instance one that has been restored from an
	// old image; with a RefusedError it tells the peer why. Nil accepts all.
	Hello func(h Hello) error
	// Refused is called again and again while a peer refuses this process, because
	// another one goes by this node's name. It must not block. Nil: nobody asks.
	Refused func(t Twin)
	// Changed is called when the link to a peer went up or down: when both of its
	// connections stand, and when the first of them does not any more. It must not
	// block. Nil: nobody asks.
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

	mux mux

	mu      sync.Mutex               // guards what follows, and changes of links
	conns   map[net.Conn]*inbound    // accepted ones, to be closed at the end
	streams map[net.Conn]*link       // opened ones and their peers
	parting map[cluster.NodeID]*link // forgotten ones whose goroutines have not ended yet
	closed  bool

	clocks   clocks
	seats    seats
	refusals refusals
	// Twins are second processes that go by the name of a node.
	Twins Twins
}

// link is what this node sends to one peer, from Connect until Forget or Close.
type link struct {
	node    cluster.NodeID
	ctx     context.Context // of its goroutines
	cancel  context.CancelFunc
	senders atomic.Int32  // how many of its goroutines have not ended
	ended   chan struct{} // closed when all have

	heard atomic.Int64  // when something last came from the peer, or a connection to it was made, in ns of a monotonic clock
	spoke atomic.Int64  // when a frame of the peer last came, after its hello was accepted; at first when the link began
	room  atomic.Uint32 // Room on the peer's disk, by its last ping
	lanes [classes]*lane

	mu    sync.Mutex // guards up, and orders what Changed is told
	up    bool       // Changed was told so last
	tally tally
	trips trips
}

// lane is the frames that wait for one connection.
type lane struct {
	tally *tally // of its link

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
	if cfg.Newest == 0 {
		cfg.Oldest, cfg.Newest = cluster.Oldest, cluster.Newest
	}
	l := &Links{cfg: cfg, ctx: ctx, cancel: cancel, conns: make(map[net.Conn]*inbound), streams: make(map[net.Conn]*link),
		parting: make(map[cluster.NodeID]*link)}
	l.Twins.cfg = &l.cfg
	l.links.Store(&map[cluster.NodeID]*link{})
	return l
}

// Start starts to accept peers. What takes their frames has been registered with
// Handle and HandleStream before. Connect adds the peers to send to.
func (l *Links) Start() {
	l.mux.started = true
	l.wg.Go(l.accept)
}

// Connect starts to keep connections to a peer.
func (l *Links) Connect(node cluster.NodeID) {
	now := l.cfg.Mono() // not under the lock: in a simulation a paused node's clock answers nobody
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || node == l.cfg.Node || l.link(node) != nil {
		return
	}
	k := &link{node: node, ended: make(chan struct{})}
	k.senders.Store(int32(classes))
	k.ctx, k.cancel = context.WithCancel(l.ctx)
	k.heard.Store(time.Now().UnixNano())
	k.spoke.Store(int64(now))
	before := l.parting[node]
	for c := range classes {
		k.lanes[c] = &lane{tally: &k.tally, wake: make(chan struct{}, 1), knock: make(chan struct{}, 1), max: queueMax[c]}
	}
	// Before it can come up: who is told that by Changed sends over it at once.
	links := maps.Clone(*l.links.Load())
	links[node] = k
	l.links.Store(&links)
	for c := range classes { // each looks at the other's lane
		l.wg.Go(func() {
			if before != nil {
				<-before.ended // so that Changed is told in order
			}
			l.send(k, c)
			if k.senders.Add(-1) == 0 {
				l.part(k)
			}
		})
	}
}

// Forget ends the link to a peer that is no member any more: frames that wait
// for it are dropped, all connections with it are closed, those it has opened
// too, and what it has told of itself is gone. The caller has changed the member
// list before, which Secure and Dial ask, so none comes back. Connect makes a
// link anew. Forget does not wait for goroutines, so handlers may call it.
func (l *Links) Forget(node cluster.NodeID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	if k := l.link(node); k != nil {
		links := maps.Clone(*l.links.Load())
		delete(links, node)
		l.links.Store(&links)
		k.cancel()
		l.parting[node] = k
	}
	for conn, in := range l.conns {
		// Also who has not proved yet who he is: he may have been found on the
		// member list before it was changed. The others dial again.
		if in.from == node || in.from == 0 {
			in.gone.Store(true)
			delete(l.conns, conn)
			conn.Close()
		}
	}
	l.refusals.end(node)
	l.seats.forget(node)
	l.clocks.forget(node)
}

// part notes that all goroutines of a link have ended.
func (l *Links) part(k *link) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.parting[k.node] == k {
		delete(l.parting, k.node)
	}
	close(k.ended)
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
	return Offer(l, to, class, kind, math.MaxInt, build)
}

// Offer is Send for what had better be lost than wait behind more than waitingMax
// bytes.
func Offer(l *Links, to cluster.NodeID, class Class, kind Kind, waitingMax int, build func(dst []byte) []byte) bool {
	q := l.queue(to, class, kind, waitingMax, build)
	if q == nil {
		return false
	}
	q.signal()
	return true
}

// Queue is Send for an event loop that calls Flush at the end of its cycle.
func (l *Links) Queue(to cluster.NodeID, class Class, kind Kind, build func(dst []byte) []byte) bool {
	return l.queue(to, class, kind, math.MaxInt, build) != nil
}

func (l *Links) queue(to cluster.NodeID, class Class, kind Kind, waitingMax int, build func(dst []byte) []byte) *lane {
	k := l.link(to)
	if k == nil {
		return nil
	}
	q := k.lanes[class]
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.conn == nil {
		q.tally.lostDown.Add(1)
		return nil
	}
	if len(q.buf) > min(q.max, waitingMax) {
		q.tally.lostFull.Add(1)
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
	n, err := conn.Write(buf)
	q.tally.sent.Add(uint64(n))
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
	return k != nil && k.connected()
}

// connected reports whether both connections of a link stand.
func (k *link) connected() bool {
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

// Silent returns how long ago a frame of a peer came last: pings come every
// second. What it has sent does not count while it is refused. For one that this
// node has no link to it is as long as anything can be.
func (l *Links) Silent(node cluster.NodeID) time.Duration {
	k := l.link(node)
	if k == nil {
		return math.MaxInt64
	}
	return l.cfg.Mono() - time.Duration(k.spoke.Load())
}

// send keeps one connection to a peer and writes what waits for it.
func (l *Links) send(k *link, class Class) {
	pause := redialMin
	for k.ctx.Err() == nil {
		conn, err := l.dial(k.ctx, k)
		if err == nil {
			began := time.Now()
			// The hello is the first of what waits, so that the lane takes frames
			// before the peer can have heard of it: an answer to what the peer asks
			// on hearing it must not be lost.
			l.setConn(k, class, conn, appendFrame(nil, kindHello, l.hello(class).encode))
			err = l.write(k, k.lanes[class], conn)
			l.setConn(k, class, nil, nil)
			conn.Close()
			if time.Since(began) > redialMax { // else the peer refuses us
				pause = redialMin
			}
		}
		if k.ctx.Err() != nil {
			return
		}
		l.cfg.Logger.Debug("peer connection ended", slog.Uint64("peer", uint64(k.node)), slog.Any("error", err))
		select {
		case <-k.ctx.Done():
		case <-time.After(pause):
			pause = min(2*pause, redialMax)
		case <-k.lanes[class].knock:
			// A node that comes back must not wait for the rest of a pause that
			// grew while it was away: its clients wait with it.
			pause = redialMin
		}
	}
}

// setConn makes conn the connection of a lane, and first what it sends first;
// nil: none.
func (l *Links) setConn(k *link, class Class, conn net.Conn, first []byte) {
	q := k.lanes[class]
	q.mu.Lock()
	q.conn, q.moved, q.failed, q.waiting = conn, time.Time{}, nil, nil
	if conn != nil {
		q.waiting = sendQueue(conn)
		q.tally.connected.Add(1)
	}
	q.buf = first // what waited is gone, as a network loses what is under way
	q.mu.Unlock()
	q.signal()
	if class == Bulk && conn == nil {
		l.breakStreams(k)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if up := k.connected(); up != k.up {
		k.up = up
		if l.cfg.Changed != nil {
			l.cfg.Changed(k.node, up)
		}
	}
}

// dial connects to a peer, unless ctx or the link ends before.
func (l *Links) dial(ctx context.Context, k *link) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, helloTimeout)
	defer cancel()
	defer context.AfterFunc(k.ctx, cancel)()
	return l.cfg.Dial(ctx, k.node)
}

// write sends what waits until the connection fails or the peer falls silent.
func (l *Links) write(k *link, q *lane, conn net.Conn) error {
	stop := context.AfterFunc(k.ctx, func() { conn.Close() })
	defer stop()
	k.heard.Store(time.Now().UnixNano())
	control := q == k.lanes[Control]
	if control {
		l.AskClock(k.node)
	}
	ping := time.NewTicker(pingEvery)
	defer ping.Stop()
	gone := make(chan struct{})
	l.wg.Go(func() {
		k.lookBack(l, conn)
		close(gone)
	})
	for {
		select {
		case <-k.ctx.Done():
			return k.ctx.Err()
		case <-gone:
			return errors.New("the peer closed the connection")
		case <-q.wake:
		case <-ping.C:
			if time.Now().UnixNano()-k.heard.Load() > int64(silenceMax) {
				return errors.New("the peer is silent")
			}
			q.mu.Lock()
			q.buf = appendFrame(q.buf, kindPing, l.cfg.ping().encode)
			q.mu.Unlock()
			if control {
				l.AskClock(k.node)
			}
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
