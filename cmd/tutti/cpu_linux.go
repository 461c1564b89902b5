package main

import (
	"os"
	"strconv"
	"strings"
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

// busyTime is for how long, since it was started, cores of this machine have worked,
// whoever had them: all of them together. 0: it can't be told.
func busyTime() time.Duration {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	return parseBusy(string(text))
}

// ticksPerSecond is the unit of /proc/stat on every Linux there is.
const ticksPerSecond = 100

// parseBusy adds up what the first line of /proc/stat counts, but for its fourth and fifth
// number, in which cores were idle, and for what it counts twice.
func parseBusy(stat string) time.Duration {
	line, _, _ := strings.Cut(stat, "\n")
	fields := strings.Fields(line)
	const first, most = 1, 9 // behind the name; guests are counted as users already
	if len(fields) <= first || fields[0] != "cpu" {
		return 0
	}
	ticks := int64(0)
	for i, f := range fields[first:min(len(fields), most)] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0
		}
		if i != 3 && i != 4 {
			ticks += n
		}
	}
	return time.Duration(ticks) * time.Second / ticksPerSecond
}
