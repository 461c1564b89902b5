//go:build linux

package epoll

import (
	"errors"
	"io"
	"net"
	"testing"
	"time"
)

// pair returns both ends of a connection.
func pair(t testing.TB) (near, far *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	b, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	return a.(*net.TCPConn), b.(*net.TCPConn)
}

func watched(t *testing.T) (p *Poller, s *Socket, near, far *net.TCPConn) {
	t.Helper()
	p, err := New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	near, far = pair(t)
	if s, err = NewSocket(near); err != nil {
		t.Fatal(err)
	}
	if err := p.Add(s, 1<<40+7); err != nil {
		t.Fatal(err)
	}
	return p, s, near, far
}

// wait returns the one event that comes.
func wait(t *testing.T, p *Poller) Event {
	t.Helper()
	events := make([]Event, 4)
	n, err := p.Wait(events)
	if err != nil || n != 1 || events[0].ID != 1<<40+7 {
		t.Fatalf("%v, %v, want one event", events[:n], err)
	}
	return events[0]
}

// What arrives is told once, read without waiting, and told again when there is
// more; the end of the other side comes behind it.
func TestSocketIsToldOfWhatArrives(t *testing.T) {
	p, s, _, far := watched(t)
	buf := make([]byte, 100)
	if _, err := s.Read(buf); !errors.Is(err, ErrAgain) {
		t.Fatalf("a read of nothing: %v", err)
	}
	for _, text := range []string{"one", "two"} {
		if _, err := far.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		if e := wait(t, p); e.HungUp {
			t.Error("the other side is still there")
		}
		if n := s.Unread(); n != len(text) {
			t.Errorf("%d bytes are unread, want %d", n, len(text))
		}
		if n, err := s.Read(buf); err != nil || string(buf[:n]) != text {
			t.Errorf("%q, %v", buf[:n], err)
		}
	}
	far.Close()
	if e := wait(t, p); !e.HungUp {
		t.Error("the other side is gone")
	}
	if _, err := s.Read(buf); !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %v", err)
	}
}

// A socket that was removed is not told of, and is one for a goroutine; added again
// it is told of at once, since something has arrived.
func TestRemovedSocketIsQuiet(t *testing.T) {
	p, s, near, far := watched(t)
	if err := p.Remove(s); err != nil {
		t.Fatal(err)
	}
	told := make(chan Event)
	go func() {
		events := make([]Event, 1)
		for {
			if n, err := p.Wait(events); err != nil || n == 0 {
				close(told)
				return
			}
			told <- events[0]
		}
	}()
	if _, err := far.Write([]byte("quiet")); err != nil {
		t.Fatal(err)
	}
	_ = near.SetReadDeadline(time.Now().Add(10 * time.Second))
	buf := make([]byte, 3)
	if n, err := io.ReadFull(near, buf); err != nil || string(buf[:n]) != "qui" { // as ever; "et" is left
		t.Fatalf("%q, %v", buf[:n], err)
	}
	select {
	case e := <-told:
		t.Errorf("told of %v", e)
	default:
	}
	if err := p.Add(s, 9); err != nil {
		t.Fatal(err)
	}
	if e := <-told; e.ID != 9 {
		t.Errorf("told of %v", e)
	}
	p.Close()
	if _, more := <-told; more {
		t.Error("told something after the end")
	}
}

// A client that does not read takes as much as fits, and nobody waits for it.
func TestWriteDoesNotWait(t *testing.T) {
	_, s, near, far := watched(t)
	_ = near.SetWriteBuffer(64 << 10)
	_ = far.SetReadBuffer(64 << 10)
	data, sent := make([]byte, 1<<20), 0
	for {
		n, err := s.Write(data)
		if sent += n; errors.Is(err, ErrAgain) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	go func() { _ = near.CloseWrite() }()
	if n, err := io.Copy(io.Discard, far); err != nil || int(n) != sent {
		t.Errorf("%d bytes and %v arrived, %d were sent", n, err, sent)
	}
}

// A connection that was closed, by whomever, fails.
func TestClosedSocketFails(t *testing.T) {
	_, s, near, _ := watched(t)
	near.Close()
	if _, err := s.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a read: %v", err)
	}
	if _, err := s.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a write: %v", err)
	}
}

// A batch does for each socket what the socket would do alone, whatever becomes of the
// others.
func TestBatchIsAsEachAlone(t *testing.T) {
	b := NewBatch()
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	var ops, outs []Op
	var fars []*net.TCPConn
	for i := range 6 {
		near, far := pair(t)
		s, err := NewSocket(near)
		if err != nil {
			t.Fatal(err)
		}
		ops = append(ops, Op{Socket: s, Buf: make([]byte, 4)})
		fars = append(fars, far)
		switch i {
		case 1: // says nothing
		case 2:
			far.Close()
		case 3:
			near.Close()
		case 4:
			_ = near.SetWriteBuffer(64 << 10)
			_ = far.SetReadBuffer(64 << 10)
			fallthrough
		default:
			if _, err := far.Write([]byte("longer")); err != nil {
				t.Fatal(err)
			}
		}
	}
	b.Read(ops)
	for i, want := range []error{nil, ErrAgain, io.EOF, net.ErrClosed, nil, nil} {
		o := ops[i]
		if !errors.Is(o.Err, want) || o.Err == nil && string(o.Buf[:o.N]) != "long" || o.Err != nil && o.N != 0 {
			t.Errorf("read %d: %q, %v", i, o.Buf[:o.N], o.Err)
		}
	}
	for i, o := range ops {
		outs = append(outs, Op{Socket: o.Socket, Buf: []byte("reply")})
		if i == 4 {
			outs[i].Buf = make([]byte, 16<<20)
		}
	}
	b.Write(outs)
	for i, o := range outs {
		switch i {
		case 2: // it may be known by now that nobody is there
		case 3:
			if !errors.Is(o.Err, net.ErrClosed) || o.N != 0 {
				t.Errorf("a write to one that is closed: %d, %v", o.N, o.Err)
			}
		case 4:
			if !errors.Is(o.Err, ErrAgain) || o.N == 0 {
				t.Errorf("a write of more than fits: %d, %v", o.N, o.Err)
			}
		default:
			got := make([]byte, 5)
			if _, err := io.ReadFull(fars[i], got); err != nil || o.Err != nil || o.N != 5 || string(got) != "reply" {
				t.Errorf("write %d: %d, %v; arrived: %q, %v", i, o.N, o.Err, got, err)
			}
		}
	}
}

// BenchmarkBatch is a message of 36 bytes to each of 50 sockets, and one from each.
func BenchmarkBatch(b *testing.B) {
	const many = 50
	batch, out, in := NewBatch(), make([]Op, many), make([]Op, many)
	b.Cleanup(func() { batch.Close() })
	for i := range many {
		near, far := pair(b)
		from, err := NewSocket(near)
		if err != nil {
			b.Fatal(err)
		}
		to, err := NewSocket(far)
		if err != nil {
			b.Fatal(err)
		}
		out[i], in[i] = Op{Socket: from, Buf: make([]byte, 36)}, Op{Socket: to, Buf: make([]byte, 4<<10)}
	}
	b.Run("alone", func(b *testing.B) {
		for b.Loop() {
			for i := range many {
				if _, err := out[i].Socket.Write(out[i].Buf); err != nil {
					b.Fatal(err)
				}
			}
			for i := range many {
				if _, err := in[i].Socket.Read(in[i].Buf); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
	b.Run("together", func(b *testing.B) {
		for b.Loop() {
			batch.Write(out)
			batch.Read(in)
			for i := range many {
				if out[i].Err != nil || in[i].Err != nil || in[i].N != 36 {
					b.Fatal(out[i].Err, in[i].Err, in[i].N)
				}
			}
		}
	})
}
