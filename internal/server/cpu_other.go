//go:build !unix

package server

import "time"

// cpuTimes returns the processor time of this process: unknown here.
func cpuTimes() (user, system time.Duration) { return 0, 0 }
