package epoll

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"tutti/internal/rawsock"
)

// Poller knows sockets by ids and tells which of them are ready. Wait is for one
// goroutine; Add and Remove are for any.
type Poller struct {
	file *os.File // of the epoll descriptor
	raw  syscall.RawConn
	buf  []unix.EpollEvent
}

// eventsMax is how many sockets are told of at once. What is ready beyond it is
// told next.
const eventsMax = 512

// New returns a Poller of no sockets.
func New() (*Poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("create an epoll descriptor: %w", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil { // for os.NewFile to register it
		unix.Close(fd)
		return nil, fmt.Errorf("set up an epoll descriptor: %w", err)
	}
	p := &Poller{file: os.NewFile(uintptr(fd), "epoll"), buf: make([]unix.EpollEvent, eventsMax)}
	if p.raw, err = p.file.SyscallConn(); err != nil {
		p.file.Close()
		return nil, fmt.Errorf("set up an epoll descriptor: %w", err)
	}
	return p, nil
}

// Close ends Wait. The sockets are left as they are.
func (p *Poller) Close() error { return p.file.Close() }

// Add has Wait tell of a socket under an id: at once if it is ready, and then
// whenever more arrives. What has not been read when more arrives is not told of
// again for itself.
func (p *Poller) Add(s *Socket, id uint64) error {
	event := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLET&0xffffffff, Fd: int32(uint32(id)), Pad: int32(uint32(id >> 32))}
	return p.control(s, unix.EPOLL_CTL_ADD, &event)
}

// Remove ends what Add has begun. What Wait has returned already may still tell of
// the socket. A socket that is closed needs no Remove.
func (p *Poller) Remove(s *Socket) error { return p.control(s, unix.EPOLL_CTL_DEL, nil) }

func (p *Poller) control(s *Socket, op int, event *unix.EpollEvent) error {
	var failed error
	err := s.raw.Control(func(fd uintptr) {
		failed = p.raw.Control(func(ep uintptr) {
			if err := unix.EpollCtl(int(ep), op, int(fd), event); err != nil {
				failed = err
			}
		})
	})
	return errors.Join(err, failed)
}

// Wait waits until sockets are ready, fills events and returns how many there are.
// An error says that the Poller was closed.
func (p *Poller) Wait(events []Event) (n int, err error) {
	var failed error
	err = p.raw.Read(func(fd uintptr) (done bool) {
		n, failed = rawsock.Ready(fd, p.buf[:min(len(p.buf), len(events))])
		if errors.Is(failed, unix.EINTR) {
			n, failed = 0, nil
		}
		return n > 0 || failed != nil
	})
	if err = errors.Join(err, failed); err != nil {
		return 0, err
	}
	for i, e := range p.buf[:n] {
		events[i] = Event{ID: uint64(uint32(e.Fd)) | uint64(uint32(e.Pad))<<32, HungUp: e.Events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0}
	}
	return n, nil
}

// Socket reads and writes a connection without waiting, beside whoever else uses
// it. It is for one goroutine at a time.
type Socket struct {
	raw syscall.RawConn
	// What the functions below work on; they are made once, as each would be
	// garbage otherwise.
	buf         []byte
	n           int
	err         error
	read, write func(fd uintptr)
}

// NewSocket returns the socket of a connection. It closes with it.
func NewSocket(nc *net.TCPConn) (*Socket, error) {
	raw, err := nc.SyscallConn()
	if err != nil {
		return nil, err
	}
	s := &Socket{raw: raw}
	s.read = func(fd uintptr) { s.n, s.err = rawsock.Read(fd, s.buf) }
	s.write = func(fd uintptr) { s.n, s.err = rawsock.Write(fd, s.buf) }
	return s, nil
}

// Read reads what has arrived. ErrAgain: nothing has.
func (s *Socket) Read(p []byte) (int, error) {
	n, err := s.do(s.read, p)
	if n == 0 && err == nil && len(p) > 0 {
		return 0, io.EOF
	}
	return n, err
}

// Write writes as much as the connection takes. With less than all of it comes
// ErrAgain, or what ended the connection.
func (s *Socket) Write(p []byte) (int, error) {
	done := 0
	for done < len(p) {
		n, err := s.do(s.write, p[done:])
		if done += n; err != nil {
			return done, err
		}
	}
	return done, nil
}

// do calls f for as long as signals interrupt it. The descriptor can't be closed,
// nor used for another file, meanwhile.
func (s *Socket) do(f func(fd uintptr), p []byte) (int, error) {
	s.buf = p
	defer func() { s.buf = nil }()
	for {
		if err := s.raw.Control(f); err != nil {
			return 0, err
		}
		switch {
		case s.err == nil:
			return s.n, nil
		case errors.Is(s.err, unix.EAGAIN):
			return 0, ErrAgain
		case !errors.Is(s.err, unix.EINTR):
			return 0, os.NewSyscallError("socket", s.err)
		}
	}
}

// Unread returns how many bytes have arrived that were not read.
func (s *Socket) Unread() int {
	n := 0
	_ = s.raw.Control(func(fd uintptr) { n, _ = rawsock.Unread(fd) })
	return n
}
