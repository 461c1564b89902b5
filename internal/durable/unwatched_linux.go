package durable

import (
	"errors"
	"os"
	"runtime"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// syncer has the kernel sync files (io_submit(2)) and tell of the end by a descriptor
// that Go's poller waits for.
type syncer struct {
	mu    sync.Mutex      // held while a sync is under way: there is one at a time
	ring  uintptr         // aio_context_t
	ended *os.File        // eventfd(2)
	fd    uint32          // its descriptor, which File.Fd would make blocking
	raw   syscall.RawConn // of ended
	count uint64          // what ended said
	take  func(fd uintptr) bool
}

// syncRequest is struct iocb of linux/aio_abi.h.
type syncRequest struct {
	_       uint64    // aio_data
	_       [2]uint32 // aio_key, aio_rw_flags, in the order of the processor
	opcode  uint16
	_       int16 // aio_reqprio
	fd      uint32
	_       [4]uint64 // aio_buf, aio_nbytes, aio_offset, aio_reserved2
	flags   uint32
	eventFD uint32
}

// syncEnd is struct io_event of linux/aio_abi.h.
type syncEnd struct {
	_      [2]uint64 // data, obj
	result int64
	_      int64 // res2
}

const (
	opDataSync     = 3 // IOCB_CMD_FDSYNC
	flagsTellEvent = 1 // IOCB_FLAG_RESFD
)

// newSyncer returns nil if the system has no such thing, or forbids it.
func newSyncer() *syncer {
	s := &syncer{}
	if _, _, errno := unix.Syscall(unix.SYS_IO_SETUP, 1, uintptr(unsafe.Pointer(&s.ring)), 0); errno != 0 {
		return nil
	}
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		_ = s.destroy()
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
	r := &syncRequest{opcode: opDataSync, fd: uint32(fd), flags: flagsTellEvent, eventFD: s.fd}
	_, _, errno := unix.RawSyscall(unix.SYS_IO_SUBMIT, s.ring, 1, uintptr(unsafe.Pointer(&r)))
	runtime.KeepAlive(r)
	if errno != 0 {
		return false, nil
	}
	for {
		if err := s.raw.Read(s.take); err != nil {
			return true, err
		}
		var end syncEnd
		n, _, errno := unix.RawSyscall6(unix.SYS_IO_GETEVENTS, s.ring, 0, 1, uintptr(unsafe.Pointer(&end)), 0, 0)
		switch {
		case errno != 0 && errno != unix.EINTR:
			return true, os.NewSyscallError("io_getevents", errno)
		case errno == 0 && n == 1 && end.result < 0:
			return true, os.NewSyscallError("fdatasync", syscall.Errno(-end.result))
		case errno == 0 && n == 1:
			return true, nil
		}
	}
}

func (s *syncer) close() error {
	if s == nil {
		return nil
	}
	return errors.Join(s.ended.Close(), s.destroy())
}

func (s *syncer) destroy() error {
	if _, _, errno := unix.Syscall(unix.SYS_IO_DESTROY, s.ring, 0, 0); errno != 0 {
		return os.NewSyscallError("io_destroy", errno)
	}
	return nil
}

// unwatchedWrite is write(2), which says how much it has written.
func unwatchedWrite(fd uintptr, p []byte) int {
	n, _, errno := unix.RawSyscall(unix.SYS_WRITE, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
	if errno != 0 {
		return 0
	}
	return int(n)
}
