package aio

import (
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Ring is a context of the kernel (aio_context_t). It is for one goroutine at a time.
type Ring struct{ id uintptr }

// New returns a Ring for so many requests at a time.
func New(requests int) (*Ring, error) {
	r := &Ring{}
	if _, _, errno := unix.Syscall(unix.SYS_IO_SETUP, uintptr(requests), uintptr(unsafe.Pointer(&r.id)), 0); errno != 0 {
		return nil, os.NewSyscallError("io_setup", errno)
	}
	return r, nil
}

// Close gives the Ring back. It takes 32 ms (measured, Linux 6.18): the kernel waits
// until no processor knows of it any more.
func (r *Ring) Close() error {
	if _, _, errno := unix.Syscall(unix.SYS_IO_DESTROY, r.id, 0, 0); errno != 0 {
		return os.NewSyscallError("io_destroy", errno)
	}
	return nil
}

// Request is struct iocb of linux/aio_abi.h. The bytes that it is about stay where they
// are until its End has come.
type Request struct {
	tag     uint64
	_       [2]uint32 // aio_key, aio_rw_flags, in the order of the processor
	opcode  uint16
	_       int16 // aio_reqprio
	fd      uint32
	buf     uint64
	size    uint64
	_       [2]uint64 // aio_offset, aio_reserved2
	flags   uint32
	eventFD uint32
}

const (
	opRead         = 0 // IOCB_CMD_PREAD
	opWrite        = 1 // IOCB_CMD_PWRITE
	opDataSync     = 3 // IOCB_CMD_FDSYNC
	flagsTellEvent = 1 // IOCB_FLAG_RESFD
)

// Read is read(2) to p, which is not on a stack. Its End has the tag.
func Read(tag uint64, fd uintptr, p []byte) Request { return transfer(opRead, tag, fd, p) }

// Write is write(2) of p, which is not on a stack. Its End has the tag.
func Write(tag uint64, fd uintptr, p []byte) Request { return transfer(opWrite, tag, fd, p) }

func transfer(opcode uint16, tag uint64, fd uintptr, p []byte) Request {
	return Request{tag: tag, opcode: opcode, fd: uint32(fd), buf: uint64(uintptr(unsafe.Pointer(unsafe.SliceData(p)))), size: uint64(len(p))}
}

// DataSync is fdatasync(2), whose end is told by an eventfd(2).
func DataSync(fd uintptr, eventFD uint32) Request {
	return Request{opcode: opDataSync, fd: uint32(fd), flags: flagsTellEvent, eventFD: eventFD}
}

// Submit begins requests, and returns how many, the first ones. Fewer than all: the
// kernel has no room for more, or does not take the next one.
func (r *Ring) Submit(requests []*Request) (int, error) {
	n, _, errno := unix.RawSyscall(unix.SYS_IO_SUBMIT, r.id, uintptr(len(requests)), uintptr(unsafe.Pointer(unsafe.SliceData(requests))))
	runtime.KeepAlive(requests)
	if errno != 0 {
		return 0, os.NewSyscallError("io_submit", errno)
	}
	return int(n), nil
}

// End is how a request has ended: struct io_event of linux/aio_abi.h.
type End struct {
	Tag    uint64
	_      uint64 // obj
	result int64
	_      int64 // res2
}

// Result returns what the call would have returned.
func (e *End) Result() (int, error) {
	if e.result < 0 {
		return 0, unix.Errno(-e.result)
	}
	return int(e.result), nil
}

// Ends fills ends with how requests have ended, and returns of how many. It waits for
// as many as least, as a call that the scheduler does not know of: that is for those
// that have ended.
func (r *Ring) Ends(least int, ends []End) (int, error) {
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_IO_GETEVENTS, r.id, uintptr(least), uintptr(len(ends)), uintptr(unsafe.Pointer(unsafe.SliceData(ends))), 0, 0)
		switch errno {
		case 0:
			return int(n), nil
		case unix.EINTR:
		default:
			return 0, os.NewSyscallError("io_getevents", errno)
		}
	}
}
