package peer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"tutti/internal/cluster"
)

// memberList is what node 1 asks whether node 2 is a member.
type memberList struct{ has atomic.Bool }

// ask makes a node dial and let in node 2 only while it is a member.
func (m *memberList) ask(c *Config) {
	dial, secure := c.Dial, c.Secure
	c.Dial = func(ctx context.Context, to cluster.NodeID) (net.Conn, error) {
		if to == 2 && !m.has.Load() {
			return nil, errors.New("node 2 is no member")
		}
		return dial(ctx, to)
	}
	c.Secure = func(ctx context.Context, conn net.Conn) (net.Conn, cluster.NodeID, error) {
		conn, from, err := secure(ctx, conn)
		if from == 2 && !m.has.Load() {
			return nil, 0, errors.New("node 2 is no member")
		}
		return conn, from, err
	}
}

// three starts three nodes that know each other; node 1 asks a member list.
func three(t *testing.T) (m *memberList, nodes [4]*testPeer) {
	t.Helper()
	n := newTestNet()
	m = &memberList{}
	m.has.Store(true)
	nodes[1] = n.start(1, 1, m.ask, func(c *Config) { c.Room = func() Room { return RoomFull } })
	nodes[2] = n.start(2, 1, func(c *Config) { c.Room = func() Room { return RoomTight } })
	nodes[3] = n.start(3, 1)
	for i := range 3 {
		for j := range 3 {
			nodes[i+1].links.Connect(cluster.NodeID(j + 1))
		}
	}
	time.Sleep(pingEvery + time.Millisecond)
	synctest.Wait()
	return m, nodes
}

func closeAll(nodes [4]*testPeer) {
	for _, p := range nodes[1:] {
		p.links.Close()
	}
}

// TestForget removes a node: at once nothing of it is left, and nobody else
// notices.
func TestForget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, nodes := three(t)
		a, b, c := nodes[1], nodes[2], nodes[3]
		out, err := a.links.OpenStream(t.Context(), 2)
		if err != nil {
			t.Fatal(err)
		}
		in, err := b.links.OpenStream(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(out.WriteFrame(40, text("x")), in.WriteFrame(40, text("y"))); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if wall, ok := a.links.MedianWall([]cluster.NodeID{2}); !ok || a.links.Room(2) != RoomTight {
			t.Fatalf("node 2 shows %d, room %d", wall, a.links.Room(2))
		}
		began := time.Now()
		m.has.Store(false)
		a.links.Forget(2)
		a.links.Forget(2) // once more is nothing
		if a.links.Up(2) || a.links.Send(2, Control, 20, text("x")) || a.links.Queue(2, Bulk, 20, text("x")) {
			t.Error("frames for a forgotten node are taken")
		}
		if len(a.links.seats.taken) != 1 {
			t.Error("another start of it would be refused")
		}
		if _, err := a.links.OpenStream(t.Context(), 2); err == nil {
			t.Error("a stream to a forgotten node")
		}
		synctest.Wait()
		if _, ok := a.links.MedianWall([]cluster.NodeID{2}); ok || a.links.Room(2) != RoomPlenty || len(a.links.seats.taken) != 1 {
			t.Errorf("its clock is known %v, its room %d, %d seats are taken", ok, a.links.Room(2), len(a.links.seats.taken))
		}
		b.mu.Lock()
		if b.links.Up(1) || !slices.Contains(b.ups, "1 false") {
			t.Errorf("its own connections stand: %v", b.ups)
		}
		b.mu.Unlock()
		if _, _, err := out.ReadFrame(); err == nil {
			t.Error("a stream to it goes on")
		} else if _, _, err = in.ReadFrame(); err == nil {
			if _, _, err = in.ReadFrame(); err == nil { // the first is the answer
				t.Error("a stream of it goes on")
			}
		}
		if d := time.Since(began); d > 0 {
			t.Errorf("it took %v", d)
		}
		time.Sleep(20 * time.Second) // it knocks, and is not let in
		synctest.Wait()
		if b.links.Up(1) || len(a.links.seats.taken) != 1 || len(a.links.parting) > 0 {
			t.Errorf("it came back: up %v, seats %v, parting %v", b.links.Up(1), a.links.seats.taken, a.links.parting)
		}
		if _, ok := a.links.MedianWall([]cluster.NodeID{2}); ok {
			t.Error("its clock is known again")
		}
		if got := fmt.Sprint(c.ups); got != "[1 true 2 true]" && got != "[2 true 1 true]" || slices.Contains(a.ups, "3 false") {
			t.Errorf("another link broke: %v, %v", got, a.ups)
		}
		if err := errors.Join(out.Close(), in.Close()); err != nil {
			t.Log(err)
		}
		closeAll(nodes)
	})
}

// TestForgetAndConnect takes a node in again, under a new start, while the end of
// the old link is still under way.
func TestForgetAndConnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, nodes := three(t)
		a, b := nodes[1], nodes[2]
		for range 3 {
			a.links.Forget(2)
			a.links.Connect(2)
		}
		time.Sleep(redialMax + pingEvery)
		synctest.Wait()
		if !a.links.Up(2) || !b.links.Up(1) || a.links.Room(2) != RoomTight || len(a.links.parting) > 0 {
			t.Errorf("up %v and %v, room %d, parting %v", a.links.Up(2), b.links.Up(1), a.links.Room(2), a.links.parting)
		}
		var told []string
		for _, s := range a.ups {
			if s == "2 true" || s == "2 false" {
				told = append(told, s)
			}
		}
		for i, s := range told {
			if want := []string{"2 true", "2 false"}[i%2]; s != want || len(told)%2 == 0 {
				t.Errorf("told %v", told)
				break
			}
		}
		a.links.Send(2, Bulk, 20, text("again"))
		b.want(t, "1: 20 again")
		b.links.Send(1, Bulk, 20, text("and back"))
		a.want(t, "2: 20 and back")
		s, err := a.links.OpenStream(t.Context(), 2)
		if err != nil {
			t.Fatal(err)
		}
		a.links.breakStreams(&link{node: 2}) // as the old link does when it ends
		if err := s.WriteFrame(40, text("rows")); err != nil {
			t.Error(err)
		}
		b.want(t, "stream of 1: rows")
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		closeAll(nodes)
	})
}

// TestForgottenConnectionIsLate lets connections of a forgotten node end late:
// they neither bring back what it told nor touch those of its next start.
func TestForgottenConnectionIsLate(t *testing.T) {
	l := New(Config{Node: 1, Wall: func() int64 { return 0 }})
	in := &inbound{from: 2}
	in.gone.Store(true)
	in.pinged(l, ping{wall: 5})
	if wall, ok := l.MedianWall([]cluster.NodeID{2}); ok {
		t.Errorf("its clock shows %d", wall)
	}
	old, err := l.seats.take(Hello{Node: 2, Incarnation: 1})
	if err != nil {
		t.Fatal(err)
	}
	l.seats.forget(2)
	if _, err := l.seats.take(Hello{Node: 2, Incarnation: 2}); err != nil {
		t.Fatal(err)
	}
	l.seats.leave(2, old)
	if _, err := l.seats.take(Hello{Node: 2, Incarnation: 3}); err == nil {
		t.Error("the seat of start 2 was given away")
	}
}

// TestForgetDuringHandshake forgets a node between the question whether it is a
// member and the end of its handshake: the answer has become wrong.
func TestForgetDuringHandshake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newTestNet()
		hello := frame(kindHello, Hello{Class: Bulk, Newest: 1, Oldest: 1, Node: 2, Cluster: "c"}.encode(nil))
		asked, goOn := make(chan bool), make(chan bool)
		a := n.start(1, 1, func(c *Config) {
			secure := c.Secure
			c.Secure = func(ctx context.Context, conn net.Conn) (net.Conn, cluster.NodeID, error) {
				conn, from, err := secure(ctx, conn)
				hello := make([]byte, len(hello))
				if _, err := io.ReadFull(conn, hello); err != nil {
					t.Error(err)
				}
				asked <- true
				<-goOn
				return early{conn, bytes.NewReader(hello)}, from, err
			}
		})
		c, err := n.dial(t.Context(), 2, 1)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write(hello); err != nil {
			t.Fatal(err)
		}
		<-asked
		a.links.Forget(2)
		close(goOn)
		synctest.Wait()
		if len(a.seen) > 0 {
			t.Error("it was let in")
		}
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Error("answered")
		}
		a.links.Close()
	})
}

// early is a connection of which something has been read during the handshake,
// as TLS may.
type early struct {
	net.Conn
	first *bytes.Reader
}

func (e early) Read(b []byte) (int, error) {
	if e.first.Len() > 0 {
		return e.first.Read(b)
	}
	return e.Conn.Read(b)
}

// TestForgetFromHandler forgets a peer in the handler of its own frame, as a
// change of the map may come.
func TestForgetFromHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newTestNet()
		var a *testPeer
		got := 0
		a = n.start(1, 1, func(c *Config) {
			c.Dial = func(context.Context, cluster.NodeID) (net.Conn, error) { return nil, errors.New("no") }
		})
		b := n.start(2, 1)
		a.links.mux.frames[50] = func(from cluster.NodeID, _ []byte) { got++; a.links.Forget(from) }
		b.links.Connect(1)
		synctest.Wait()
		for range 3 { // one write, so they are all read before the connection ends
			b.links.Queue(1, Bulk, 50, text("x"))
		}
		b.links.Flush()
		synctest.Wait()
		if got != 1 {
			t.Errorf("%d frames of a forgotten peer came through", got-1)
		}
		a.links.Close()
		b.links.Close()
	})
}

// TestForgetDropsWhatWaits has a frame wait for a peer that does not read.
func TestForgetDropsWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newTestNet()
		a := n.start(1, 1)
		stuck := &testPeer{id: 2, accept: make(chan net.Conn, 2), closed: make(chan struct{})}
		n.nodes[2] = stuck
		a.links.Connect(2)
		conns := []net.Conn{<-stuck.accept, <-stuck.accept}
		k := a.links.link(2)
		for _, c := range conns { // the hellos only
			if _, err := c.Read(make([]byte, 1000)); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		for range 2 { // one under way, one behind it
			if !a.links.Send(2, Bulk, 20, text("waits")) {
				t.Fatal("not queued")
			}
			synctest.Wait()
		}
		began := time.Now()
		a.links.Forget(2)
		<-k.ended // not for the write that is stuck
		for _, q := range k.lanes {
			if q.conn != nil || len(q.buf) > 0 {
				t.Errorf("%d bytes wait still", len(q.buf))
			}
		}
		for _, c := range conns {
			if _, err := io.Copy(io.Discard, c); err != nil { // to its end
				t.Log(err)
			}
			c.Close()
		}
		if d := time.Since(began); d > 0 {
			t.Errorf("it took %v", d)
		}
		a.links.Close()
		stuck.Close()
	})
}
