package peer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"tutti/internal/cluster"
)

// testNet joins nodes by pipes.
type testNet struct {
	mu    sync.Mutex
	nodes map[cluster.NodeID]*testPeer
	down  map[cluster.NodeID]bool
	conns []net.Conn
}

// pipe is one end of a connection that knows who dialed.
type pipe struct {
	net.Conn
	from cluster.NodeID
}

func (p pipe) RemoteAddr() net.Addr { return &net.TCPAddr{} }

// testPeer is a node with links, and what it has seen.
type testPeer struct {
	net    *testNet
	id     cluster.NodeID
	links  *Links
	accept chan net.Conn
	closed chan struct{}
	frames chan string
	wall   atomic.Int64
	log    testLog

	mu    sync.Mutex
	ups   []string
	hello error
	seen  []Hello
}

// testLog is what a node has logged.
type testLog struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *testLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

// count returns how often a text was logged.
func (l *testLog) count(s string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), s)
}

func (p *testPeer) Accept() (net.Conn, error) {
	select {
	case c := <-p.accept:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *testPeer) Close() error   { close(p.closed); return nil }
func (p *testPeer) Addr() net.Addr { return &net.TCPAddr{} }

func (n *testNet) dial(ctx context.Context, from, to cluster.NodeID) (net.Conn, error) {
	n.mu.Lock()
	p, down := n.nodes[to], n.down[to] || n.down[from]
	n.mu.Unlock()
	if p == nil || down {
		return nil, errors.New("nobody listens")
	}
	here, there := net.Pipe()
	select {
	case p.accept <- pipe{there, from}:
	case <-p.closed:
		return nil, errors.New("nobody listens")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	n.mu.Lock()
	n.conns = append(n.conns, here)
	n.mu.Unlock()
	return here, nil
}

// cut breaks all connections.
func (n *testNet) cut() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, c := range n.conns {
		c.Close()
	}
	n.conns = nil
}

// start starts a node that takes frames of kinds 20 to 39 and streams of kind 40.
// change may alter its configuration.
func (n *testNet) start(id cluster.NodeID, incarnation uint64, change ...func(c *Config)) *testPeer {
	p := &testPeer{net: n, id: id, accept: make(chan net.Conn), closed: make(chan struct{}), frames: make(chan string, 10_000)}
	p.wall.Store(1000 * int64(id))
	cfg := Config{Node: id, Logger: slog.New(slog.NewTextHandler(&p.log, nil)), Incarnation: incarnation, Cluster: "c", Listener: p,
		Dial:   func(ctx context.Context, to cluster.NodeID) (net.Conn, error) { return n.dial(ctx, id, to) },
		Secure: func(_ context.Context, c net.Conn) (net.Conn, cluster.NodeID, error) { return c, c.(pipe).from, nil },
		Wall:   p.wall.Load,
		Hello: func(h Hello) error {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.seen = append(p.seen, h)
			return p.hello
		},
		Changed: func(node cluster.NodeID, up bool) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.ups = append(p.ups, fmt.Sprint(node, up))
		},
	}
	for _, f := range change {
		f(&cfg)
	}
	p.links = New(cfg)
	for kind := Kind(20); kind < 40; kind++ {
		p.links.Handle(kind, func(from cluster.NodeID, payload []byte) {
			p.frames <- fmt.Sprintf("%d: %d %.20s", from, kind, payload)
		})
	}
	p.links.HandleStream(40, func(from cluster.NodeID, first []byte, s *Conn) {
		p.frames <- fmt.Sprintf("stream of %d: %s", from, first)
		_ = s.WriteFrame(41, text("thanks"))
		_, last, err := s.ReadFrame()
		p.frames <- fmt.Sprintf("stream of %d: %s %v", from, last, err != nil)
	})
	n.mu.Lock()
	n.nodes[id] = p
	n.mu.Unlock()
	p.links.Start()
	return p
}

func newTestNet() *testNet {
	return &testNet{nodes: make(map[cluster.NodeID]*testPeer), down: make(map[cluster.NodeID]bool)}
}

// pair starts two nodes that know each other.
func pair(t *testing.T) (n *testNet, a, b *testPeer) {
	n = newTestNet()
	a, b = n.start(1, 1), n.start(2, 1)
	a.links.Connect(2)
	a.links.Connect(2) // once more is nothing
	a.links.Connect(1) // nor is a node itself
	b.links.Connect(1)
	synctest.Wait()
	if !a.links.Up(2) || !b.links.Up(1) || a.links.Up(3) {
		t.Fatal("not up")
	}
	return n, a, b
}

func text(s string) func(dst []byte) []byte {
	return func(dst []byte) []byte { return append(dst, s...) }
}

func (p *testPeer) want(t *testing.T, want string) {
	t.Helper()
	select {
	case got := <-p.frames:
		if got != want {
			t.Errorf("node %d got %q, want %q", p.id, got, want)
		}
	case <-time.After(10 * time.Second):
		t.Errorf("node %d got nothing, want %q", p.id, want)
	}
}

func TestLinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := pair(t)
		for _, class := range []Class{Control, Bulk} {
			for i := range 100 {
				if !a.links.Send(2, class, 20, text(fmt.Sprint("m", i))) {
					t.Fatal("not sent")
				}
			}
			for i := range 100 {
				b.want(t, fmt.Sprintf("1: 20 m%d", i))
			}
		}
		// An event loop queues, then flushes: small ones at once, large ones by
		// the sender.
		for i, size := range []int{10, flushMax + 1, 10, chunkBytes * 2} {
			if !b.links.Queue(1, Bulk, Kind(30+i), func(dst []byte) []byte { return append(dst, bytes.Repeat([]byte{'x'}, size)...) }) {
				t.Fatal("not queued")
			}
			b.links.Flush()
			a.want(t, fmt.Sprintf("2: %d %.*s", 30+i, min(size, 20), "xxxxxxxxxxxxxxxxxxxx"))
		}
		if a.links.Send(9, Bulk, 20, text("")) || a.links.Queue(9, Bulk, 20, text("")) {
			t.Error("sent to an unknown node")
		}
		a.links.Close()
		b.links.Close()
		if a.links.Send(2, Bulk, 20, text("")) {
			t.Error("sent after Close")
		}
	})
}

// TestReconnect breaks connections, lets a node be away, and back.
func TestReconnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, a, b := pair(t)
		n.cut()
		synctest.Wait()
		a.mu.Lock()
		if len(a.ups) < 2 || a.ups[1] != "2 false" {
			t.Errorf("a broken connection is noticed late: %v", a.ups)
		}
		a.mu.Unlock()
		time.Sleep(2 * redialMin)
		synctest.Wait()
		if !a.links.Up(2) || !b.links.Up(1) {
			t.Error("not up again")
		}
		a.links.Send(2, Bulk, 20, text("again"))
		b.want(t, "1: 20 again")
		b.links.Close()
		time.Sleep(20 * time.Second)
		if a.links.Up(2) || a.links.Send(2, Bulk, 20, text("lost")) {
			t.Error("up with a node that is gone")
		}
		b = n.start(2, 2)
		b.links.Connect(1)
		time.Sleep(redialMax + time.Millisecond)
		synctest.Wait()
		a.links.Send(2, Bulk, 20, text("welcome"))
		b.want(t, "1: 20 welcome")
		a.mu.Lock()
		// Its two connections may come back one before the other breaks, so how
		// often it went is not said; but it is never told the same twice.
		for i, told := range a.ups {
			if want := fmt.Sprint(2, i%2 == 0); told != want {
				t.Errorf("links changed: %v", a.ups)
			}
		}
		if len(a.ups) < 5 || len(a.ups)%2 == 0 {
			t.Errorf("links changed: %v", a.ups)
		}
		a.mu.Unlock()
		a.links.Close()
		b.links.Close()
	})
}

// TestClocks checks that hellos and pings tell the peers' clocks.
func TestClocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := pair(t)
		both := []cluster.NodeID{1, 2}
		if wall, ok := a.links.MedianWall([]cluster.NodeID{2}); wall != 2000 || !ok {
			t.Errorf("node 2 shows %d, %v", wall, ok)
		}
		if wall, ok := b.links.MedianWall(both); wall != 1000 || !ok {
			t.Errorf("the lower of two clocks is %d, %v", wall, ok)
		}
		a.wall.Store(70_000) // the others see the jump with the next ping
		time.Sleep(pingEvery + time.Millisecond)
		synctest.Wait()
		if wall, ok := b.links.MedianWall(both[:1]); wall < 69_990 || !ok {
			t.Errorf("node 1 shows %d, %v", wall, ok)
		}
		a.links.Close()
		b.links.Close()
	})
}

// TestSilence takes a peer that accepts and says nothing for dead.
func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newTestNet()
		a := n.start(1, 1)
		mute := &testPeer{id: 2, accept: make(chan net.Conn), closed: make(chan struct{})}
		n.nodes[2] = mute
		a.links.Connect(2)
		go func() {
			for {
				c, err := mute.Accept()
				if err != nil {
					return
				}
				go func() { // reads all, answers nothing
					for b := make([]byte, 1000); err == nil; {
						_, err = c.Read(b)
					}
				}()
			}
		}()
		synctest.Wait()
		if !a.links.Up(2) {
			t.Error("not up")
		}
		time.Sleep(silenceMax + pingEvery + time.Millisecond)
		synctest.Wait()
		a.mu.Lock()
		if len(a.ups) < 2 || a.ups[1] != "2 false" {
			t.Errorf("links changed: %v", a.ups)
		}
		a.mu.Unlock()
		a.links.Close()
		mute.Close()
	})
}

// TestFullLane lets a peer stop reading: what does not fit is dropped, nobody
// blocks, and the other lane goes on.
func TestFullLane(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newTestNet()
		a := n.start(1, 1)
		stuck := &testPeer{id: 2, accept: make(chan net.Conn, 2), closed: make(chan struct{})}
		n.nodes[2] = stuck
		a.links.Connect(2)
		conns := []net.Conn{<-stuck.accept, <-stuck.accept}
		for _, c := range conns { // the hellos only
			b := make([]byte, 8)
			if _, err := c.Read(b); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Read(make([]byte, be.Uint32(b))); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		chunk := make([]byte, 1<<20)
		send := func() bool {
			return a.links.Send(2, Bulk, 20, func(dst []byte) []byte { return append(dst, chunk...) })
		}
		send()
		synctest.Wait() // for the sender to be stuck with the first
		sent := 0
		for range 200 {
			if send() {
				sent++
			}
		}
		if sent != queueMax[Bulk]>>20 {
			t.Errorf("%d MiB were queued", sent)
		}
		if !a.links.Send(2, Control, 20, text("urgent")) {
			t.Error("the other lane is full too")
		}
		a.links.Close() // does not wait for the writes
		for _, c := range conns {
			c.Close()
		}
		stuck.Close()
	})
}

// TestIntruders sends what closes a connection.
func TestIntruders(t *testing.T) {
	hello := func(h Hello) []byte { return frame(kindHello, h.encode(nil)) }
	good := Hello{Class: Bulk, Newest: cluster.Newest, Oldest: cluster.Oldest, Node: 2, Incarnation: 1, Cluster: "c"}
	damaged := frame(20, []byte("x"))
	damaged[8]++
	other := func(f func(h *Hello)) []byte {
		h := good
		f(&h)
		return hello(h)
	}
	for name, bytes := range map[string][]byte{
		"no hello":           frame(20, []byte("x")),
		"hello as something": frame(20, good.encode(nil)),
		"of another node":    other(func(h *Hello) { h.Node = 3 }),
		"of another cluster": other(func(h *Hello) { h.Cluster = "d" }),
		"wrong checksum":     append(hello(good), damaged...),
		"wrong length":       append(hello(good), 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0),
		"second hello":       append(hello(good), hello(good)...),
		"short ping":         append(hello(good), frame(kindPing, []byte("x"))...),
		"hello without name": append(hello(good), frame(kindHello, nil)...),
		"nothing":            nil,
		"half a hello":       hello(good)[:9],
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newTestNet()
				a := n.start(1, 1)
				c, err := n.dial(t.Context(), 2, 1)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := c.Write(bytes); err != nil && len(bytes) < 100 {
					t.Log(err) // closed before the end
				}
				start := time.Now()
				if _, err := c.Read(make([]byte, 1)); err == nil {
					t.Error("answered")
				}
				if d := time.Since(start); d > helloTimeout || d > 0 && len(bytes) > 9 {
					t.Errorf("closed after %v", d)
				}
				if len(a.frames) > 0 {
					t.Errorf("a frame came through: %s", <-a.frames)
				}
				a.links.Close()
			})
		})
	}
}

// TestHelloRefused does not let a peer in that Hello refuses, nor does it dial
// like mad.
func TestHelloRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newTestNet()
		a, b := n.start(1, 1), n.start(2, 7)
		a.hello = errors.New("an old copy")
		b.links.Connect(1)
		time.Sleep(20 * time.Second)
		a.mu.Lock()
		if got := len(a.seen); got < 10 || got > 60 || a.seen[0].Incarnation != 7 {
			t.Errorf("%d hellos in 20 s", got)
		}
		a.mu.Unlock()
		a.links.Close()
		b.links.Close()
	})
}

// TestStream sends a frame each way over a stream of its own, and ends one with
// the links.
func TestStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := pair(t)
		s, err := a.links.OpenStream(t.Context(), 2)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.WriteFrame(40, text("rows")); err != nil {
			t.Fatal(err)
		}
		b.want(t, "stream of 1: rows")
		if kind, payload, err := s.ReadFrame(); kind != 41 || string(payload) != "thanks" || err != nil {
			t.Errorf("answer is %d %s, %v", kind, payload, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		b.want(t, "stream of 1:  true")
		if _, err := a.links.OpenStream(t.Context(), 9); err == nil {
			t.Error("a stream to nobody")
		}
		open, err := a.links.OpenStream(t.Context(), 2)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		ended := make(chan error)
		go func() {
			_, _, err := open.ReadFrame()
			ended <- err
		}()
		synctest.Wait()
		a.links.Close()
		if err := <-ended; err == nil || time.Since(start) > time.Second {
			t.Errorf("the stream ended after %v: %v", time.Since(start), err)
		}
		b.links.Close()
	})
}

// A clock may take its time, as that of a paused node in a simulation does: nobody
// may ask it while others wait for a lock.
func TestClockIsNotAskedUnderTheLock(t *testing.T) {
	var l *Links
	l = New(Config{Node: 1, Mono: func() time.Duration {
		if !l.mu.TryLock() {
			t.Error("the clock is asked under the lock of the links")
			return 0
		}
		l.mu.Unlock()
		return 0
	}, Dial: func(ctx context.Context, node cluster.NodeID) (net.Conn, error) {
		return nil, errors.New("nobody there")
	},
		Wall: func() int64 { return 0 }})
	l.Connect(2)
	l.Silent(2)
	CountLinks(l)
	l.Forget(2)
}
