//go:build unix && !linux

package main

import (
	"syscall"
	"time"
)

// threadTime is how much of a core this process has used: not every system tells it
// of one thread.
func threadTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// busyTime is for how long cores of this machine have worked. 0: it can't be told.
func busyTime() time.Duration { return 0 }
