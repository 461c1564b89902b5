package main

import (
	"syscall"
	"time"
)

// rusageThread asks getrusage about the calling thread.
const rusageThread = 1

// threadTime is how much of a core the calling thread has used.
func threadTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(rusageThread, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
