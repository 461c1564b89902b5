package rawsock

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// Wrap returns c so that its Read and Write are calls of this package. What is no
// connection of TCP is returned as it is.
func Wrap(c net.Conn) net.Conn {
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return c
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return c // closed: it says so itself
	}
	w := &conn{TCPConn: tcp, raw: raw}
	w.in.try = func(fd uintptr) bool { return w.in.call(Read, fd) }
	w.out.try = func(fd uintptr) bool { return w.out.call(Write, fd) }
	return w
}

// conn is a connection of TCP; see Wrap.
type conn struct {
	*net.TCPConn
	raw     syscall.RawConn
	in, out half
}

// half is one direction of a connection.
type half struct {
	mu  sync.Mutex // who reads, or writes
	buf []byte
	n   int
	err error
	try func(fd uintptr) (done bool) // made once, as it would be garbage otherwise
}

// call works on what is left of buf, and says false if that has to wait.
func (h *half) call(f func(fd uintptr, p []byte) (int, error), fd uintptr) bool {
	for {
		n, err := f(fd, h.buf[h.n:])
		switch {
		case err == nil:
			h.n += n
			h.err = nil
			return true
		case errors.Is(err, unix.EAGAIN):
			return false
		case !errors.Is(err, unix.EINTR):
			h.err = err
			return true
		}
	}
}

// Read implements net.Conn.
func (c *conn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	h := &c.in
	h.mu.Lock()
	defer h.mu.Unlock()
	h.buf, h.n, h.err = p, 0, nil
	defer func() { h.buf = nil }()
	if err := c.raw.Read(h.try); err != nil {
		return 0, err
	}
	if h.err != nil {
		return 0, c.failed("read", h.err)
	}
	if h.n == 0 {
		return 0, io.EOF
	}
	return h.n, nil
}

// Write implements net.Conn.
func (c *conn) Write(p []byte) (int, error) {
	h := &c.out
	h.mu.Lock()
	defer h.mu.Unlock()
	h.buf, h.n, h.err = p, 0, nil
	defer func() { h.buf = nil }()
	for h.n < len(p) {
		if err := c.raw.Write(h.try); err != nil {
			return h.n, err
		}
		if h.err != nil {
			return h.n, c.failed("write", h.err)
		}
	}
	return h.n, nil
}

// failed is the error of a call as the net package words it.
func (c *conn) failed(call string, err error) error {
	return &net.OpError{Op: call, Net: "tcp", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: os.NewSyscallError(call, err)}
}
