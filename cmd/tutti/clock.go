package main

import (
	"os"
	"strings"
	"sync/atomic"
	"time"

	"tutti/internal/shard"
)

// fileClock is a wall clock that is as far ahead as a file says, such as -1h, now and from
// whenever the file says something else: clocks of tests jump while their node runs.
type fileClock struct {
	file string
	mono func() time.Duration
	wall func() int64

	looked atomic.Int64 // by mono, when the file was looked at last
	ahead  atomic.Int64 // in milliseconds
}

// fileClockEvery is how often the file is looked at.
const fileClockEvery = 20 * time.Millisecond

// newFileClock is c, but with a wall clock that is as far ahead as file says. One that is not
// there, or says nothing that can be read, changes nothing.
func newFileClock(c shard.Clock, file string) shard.Clock {
	f := &fileClock{file: file, mono: c.Mono, wall: c.Wall}
	f.look()
	return shard.Clock{Mono: c.Mono, Wall: f.now}
}

func (f *fileClock) now() int64 {
	now, last := int64(f.mono()), f.looked.Load()
	if now-last >= int64(fileClockEvery) && f.looked.CompareAndSwap(last, now) {
		f.look()
	}
	return f.wall() + f.ahead.Load()
}

func (f *fileClock) look() {
	text, err := os.ReadFile(f.file)
	if err != nil {
		return
	}
	if ahead, err := time.ParseDuration(strings.TrimSpace(string(text))); err == nil {
		f.ahead.Store(ahead.Milliseconds())
	}
}
