package main

import (
	"bytes"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// logSink takes the lines of a node's log and hands them to a writer on a
// goroutine of its own. Whoever reads the log may stop reading it: a pipe fills
// up then, and a node that waited for it inside an event loop would stand still
// as a whole. Lines that find the queue full are dropped and counted.
type logSink struct {
	out     io.Writer
	note    string // how to say that lines were dropped: a format with their number
	dropped atomic.Int64
	done    chan struct{}

	mu     sync.Mutex // guards closed, and lines against being closed
	closed bool
	lines  chan []byte
}

const (
	// logLinesMax bounds what waits for a reader of the log.
	logLinesMax = 1024
	// logCloseMax is how long the end of the process waits for that reader.
	logCloseMax = time.Second
)

// The notes of the two forms of the log.
const (
	droppedText = "%d lines of the log were dropped: nobody read it\n"
	droppedJSON = `{"level":"WARN","msg":"lines of the log were dropped: nobody read it","lines":%d}` + "\n"
)

func newLogSink(out io.Writer, note string) *logSink {
	s := &logSink{out: out, note: note, lines: make(chan []byte, logLinesMax), done: make(chan struct{})}
	go s.run()
	return s
}

// Write takes one line; it never waits and never fails.
func (s *logSink) Write(line []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		select {
		case s.lines <- bytes.Clone(line):
		default:
			s.dropped.Add(1)
		}
	}
	return len(line), nil
}

func (s *logSink) run() {
	defer close(s.done)
	for line := range s.lines {
		_, _ = s.out.Write(line) // nobody is left who could be told
		if n := s.dropped.Swap(0); n > 0 {
			_, _ = fmt.Fprintf(s.out, s.note, n)
		}
	}
}

// Close writes what waits, if somebody reads it soon.
func (s *logSink) Close() {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		close(s.lines)
	}
	s.mu.Unlock()
	late := time.NewTimer(logCloseMax)
	defer late.Stop()
	select {
	case <-s.done:
	case <-late.C:
	}
}
