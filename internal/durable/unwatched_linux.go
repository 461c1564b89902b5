package durable

import (
	"errors"
	"os"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"tutti/internal/aio"
)

// syncer has the kernel sync files (io_submit(2)) and tell of the end by a descriptor
// that Go's poller waits for.
type syncer struct {
	mu    sync.Mutex // held while a sync is under way: there is one at a time
	ring  *aio.Ring
	ended *os.File        // eventfd(2)
	fd    uint32          // its descriptor, which File.Fd would make blocking
	raw   syscall.RawConn // of ended
	count uint64          // what ended said
	take  func(fd uintptr) bool
}

// newSyncer returns nil if the system has no such thing, or forbids it.
func newSyncer() *syncer {
	ring, err := aio.New(1)
	if err != nil {
		return nil
	}
	s := &syncer{ring: ring}
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		_ = ring.Close()
		return nil
	}
	s.fd, s.ended = uint32(fd), os.NewFile(uintptr(fd), "eventfd")
	if s.raw, err = s.ended.SyscallConn(); err != nil {
		_ = s.close()
		return nil
	}
	s.take = func(fd uintptr) bool {
		_, _, errno := unix.RawSyscall(unix.SYS_READ, fd, uintptr(unsafe.Pointer(&s.count)), unsafe.Sizeof(s.count))
		return errno != unix.EAGAIN
	}
	return s
}

// sync is fdatasync(2). Not done: nothing was begun, as another one is under way, or
// the file can't be synced so.
func (s *syncer) sync(fd uintptr) (done bool, err error) {
	if s == nil || !s.mu.TryLock() {
		return false, nil
	}
	defer s.mu.Unlock()
	r := aio.DataSync(fd, s.fd)
	if _, err := s.ring.Submit([]*aio.Request{&r}); err != nil {
		return false, nil
	}
	for {
		if err := s.raw.Read(s.take); err != nil {
			return true, err
		}
		var ends [1]aio.End
		n, err := s.ring.Ends(0, ends[:])
		if err == nil && n == 0 {
			continue
		}
		if err == nil {
			if _, err = ends[0].Result(); err != nil {
				err = os.NewSyscallError("fdatasync", err)
			}
		}
		return true, err
	}
}

func (s *syncer) close() error {
	if s == nil {
		return nil
	}
	return errors.Join(s.ended.Close(), s.ring.Close())
}

// unwatchedWrite is write(2), which says how much it has written.
func unwatchedWrite(fd uintptr, p []byte) int {
	n, _, errno := unix.RawSyscall(unix.SYS_WRITE, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
	if errno != 0 {
		return 0
	}
	return int(n)
}
