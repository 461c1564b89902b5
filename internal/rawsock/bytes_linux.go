//go:build !race

package rawsock

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Read is read(2) of a descriptor that does not block.
func Read(fd uintptr, p []byte) (int, error) { return call(unix.SYS_READ, fd, p) }

// Write is write(2) of a descriptor that does not block.
func Write(fd uintptr, p []byte) (int, error) { return call(unix.SYS_WRITE, fd, p) }

func call(trap, fd uintptr, p []byte) (int, error) {
	n, _, errno := unix.RawSyscall(trap, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
