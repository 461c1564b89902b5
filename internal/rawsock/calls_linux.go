package rawsock

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Unread returns how many bytes have arrived at a socket that were not read.
func Unread(fd uintptr) (int, error) { return count(fd, unix.SIOCINQ) }

// Unsent returns how many bytes lie in the send buffer of a socket, sent or not, until
// the peer has acknowledged them.
func Unsent(fd uintptr) (int, error) { return count(fd, unix.SIOCOUTQ) }

func count(fd, what uintptr) (int, error) {
	var n int32
	if _, _, errno := unix.RawSyscall(unix.SYS_IOCTL, fd, what, uintptr(unsafe.Pointer(&n))); errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// Ready is epoll_wait(2) without waiting.
func Ready(fd uintptr, events []unix.EpollEvent) (int, error) {
	// With no set of signals it is epoll_wait, which not all processors have.
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, fd, uintptr(unsafe.Pointer(unsafe.SliceData(events))), uintptr(len(events)), 0, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
