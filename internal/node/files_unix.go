//go:build unix

package node

import "syscall"

// filesMax returns how many file descriptors the process may have; 0 if that is
// not known.
func filesMax() uint64 {
	var r syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r); err != nil {
		return 0
	}
	return uint64(r.Cur) //nolint:unconvert // it is signed on FreeBSD
}
