package rawsock

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"testing"
	"time"
)

// pair returns two ends of a connection, wrapped.
func pair(t testing.TB) (near, far net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if near, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if far, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { near.Close(); far.Close() })
	return near, far
}

// What goes in at one end comes out at the other, also more than the system holds,
// from both sides at once, and then the end.
func TestConn(t *testing.T) {
	near, far := pair(t)
	near, far = Wrap(near), Wrap(far)
	sent := make([]byte, 8<<20)
	for i := range sent {
		sent[i] = byte(rand.Uint32())
	}
	errs := make(chan error, 4)
	for _, c := range []net.Conn{near, far} {
		go func() {
			n, err := c.Write(sent)
			if err == nil && n != len(sent) {
				err = io.ErrShortWrite
			}
			errs <- errors.Join(err, c.(interface{ CloseWrite() error }).CloseWrite())
		}()
		go func() {
			got, err := io.ReadAll(struct{ io.Reader }{c})
			if err == nil && !bytes.Equal(got, sent) {
				err = errors.New("other bytes arrived")
			}
			errs <- err
		}()
	}
	for range cap(errs) {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

// A read that waits ends with its deadline and with the connection, as another's does.
func TestConnEnds(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(near, far net.Conn) error
		want error
	}{
		{"deadline", func(near, _ net.Conn) error { return near.SetReadDeadline(time.Unix(1, 0)) }, os.ErrDeadlineExceeded},
		{"closed here", func(near, _ net.Conn) error { return near.Close() }, net.ErrClosed},
		{"closed there", func(_, far net.Conn) error { return far.Close() }, io.EOF},
	} {
		t.Run(c.name, func(t *testing.T) {
			near, far := pair(t)
			near = Wrap(near)
			read := make(chan error)
			go func() {
				_, err := near.Read(make([]byte, 1))
				read <- err
			}()
			if err := c.end(near, far); err != nil {
				t.Fatal(err)
			}
			err := <-read
			if !errors.Is(err, c.want) {
				t.Errorf("got %v", err)
			}
			var timeout net.Error
			if c.name == "deadline" && (!errors.As(err, &timeout) || !timeout.Timeout()) {
				t.Errorf("%v is not known for a deadline", err)
			}
		})
	}
}

// Writing to who has gone is an error of the connection.
func TestConnLost(t *testing.T) {
	near, far := pair(t)
	near = Wrap(near)
	_ = far.(*net.TCPConn).SetLinger(0)
	far.Close()
	var err error
	for err == nil {
		_, err = near.Write(make([]byte, 1<<16))
	}
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "write" {
		t.Errorf("got %v", err)
	}
}

// Reading and writing leave no garbage.
func TestConnAllocates(t *testing.T) {
	near, far := pair(t)
	near, far = Wrap(near), Wrap(far)
	p := make([]byte, 10)
	if n := testing.AllocsPerRun(100, func() {
		if _, err := near.Write(p); err != nil {
			t.Fatal(err)
		}
		if _, err := far.Read(p); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations for a write and a read", n)
	}
}
