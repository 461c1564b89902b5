//go:build race

package rawsock

import "golang.org/x/sys/unix"

// Read is read(2), by which the race detector knows what happened before.
func Read(fd uintptr, p []byte) (int, error) {
	n, err := unix.Read(int(fd), p)
	return max(n, 0), err
}

// Write is write(2), by which the race detector knows what happens after.
func Write(fd uintptr, p []byte) (int, error) {
	n, err := unix.Write(int(fd), p)
	return max(n, 0), err
}
