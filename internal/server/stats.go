package server

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"tutti/internal/command"
	"tutti/internal/histogram"
	"tutti/internal/keyspace"
)

// stats counts since the start or CONFIG RESETSTAT, but for what is a level and
// not a count.
type stats struct {
	connections, commands atomic.Int64
	rejected              [rejections]atomic.Int64
	handshakesFailed      atomic.Int64 // of TLS
	conflicts             atomic.Int64 // EXEC that found a watched key changed
	bytesIn, bytesOut     atomic.Int64
	errors                atomic.Int64
	blocked               atomic.Int64 // level: clients whose command waits, or whom CLIENT PAUSE holds
	memoryPeak            atomic.Int64 // level

	calls     map[*command.Command]*callStats // immutable
	durations durations

	mu    sync.Mutex // guards all below
	codes map[string]int64
	found keyspace.Finds // what does not count any more of what commands found
	// The rate of commands is measured from one INFO to the next.
	rateAt    time.Time
	rateCount int64
	rate      float64
}

// rejection is why a client was not let in.
type rejection uint8

const (
	rejectedFull     rejection = iota // maxclients
	rejectedStranger                  // too many of its address that have not logged in
	rejectedExposed                   // not of this machine, and there is no password
	rejections
)

var rejectionNames = [rejections]string{"maxclients", "strangers", "exposed"}

// callStats counts the calls of one command. usec is the time from being handed
// over to being answered, replication included; commands that went together
// share it evenly.
type callStats struct {
	class                         class // immutable
	calls, usec, failed, rejected atomic.Int64
	took                          histogram.Histogram
}

// errorCodesMax bounds INFO errorstats, as in Redis.
const errorCodesMax = 128

func (s *stats) init(table *command.Table) {
	s.calls = make(map[*command.Command]*callStats)
	for _, cmd := range table.All() {
		s.calls[cmd] = &callStats{class: classOf(cmd)}
		for _, sub := range cmd.Subs {
			s.calls[sub] = &callStats{class: classOf(sub)}
		}
	}
	s.codes = make(map[string]int64)
	s.rateAt = time.Now()
}

// since returns what commands have found since the last reset, given all.
func (s *stats) since(all keyspace.Finds) keyspace.Finds {
	s.mu.Lock()
	defer s.mu.Unlock()
	return keyspace.Finds{Hits: all.Hits - s.found.Hits, Misses: all.Misses - s.found.Misses, Expired: all.Expired - s.found.Expired}
}

// reset forgets the counts; found is what commands have found so far.
func (s *stats) reset(found keyspace.Finds) {
	for _, n := range []*atomic.Int64{&s.connections, &s.commands, &s.handshakesFailed, &s.conflicts, &s.bytesIn, &s.bytesOut, &s.errors} {
		n.Store(0)
	}
	for i := range s.rejected {
		s.rejected[i].Store(0)
	}
	for _, call := range s.calls {
		for _, n := range []*atomic.Int64{&call.calls, &call.usec, &call.failed, &call.rejected} {
			n.Store(0)
		}
		call.took.Reset()
	}
	for i := range s.durations {
		s.durations[i].Reset()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.codes)
	s.found = found
	s.rateAt, s.rateCount, s.rate = time.Now(), 0, 0
}

// called counts one call and its reply, and returns its class.
func (s *stats) called(cmd *command.Command, reply []byte, took time.Duration) class {
	call := s.calls[cmd]
	call.calls.Add(1)
	call.usec.Add(int64(took / time.Microsecond))
	call.took.Add(took, 1)
	if len(reply) > 0 && reply[0] == '-' {
		call.failed.Add(1)
		s.failed(string(reply[1:]))
	}
	return call.class
}

// took counts how long commands of one class took that went together.
func (s *stats) took(class class, d time.Duration, n int) { s.durations[class].Add(d, n) }

// refused counts the error reply to a command that was not executed; cmd is nil
// if there is no such command.
func (s *stats) refused(cmd *command.Command, text string) {
	if cmd != nil {
		s.calls[cmd].rejected.Add(1)
	}
	s.failed(text)
}

// failed counts an error by its code, the first word of its text.
func (s *stats) failed(text string) {
	s.errors.Add(1)
	code := text
	if end := strings.IndexAny(text, " \r"); end >= 0 {
		code = text[:end]
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.codes[code]; known || len(s.codes) < errorCodesMax {
		s.codes[strings.Clone(code)]++
	}
}

// raisePeak notes the memory in use and returns the most that was noted.
func (s *stats) raisePeak(used int64) int64 {
	for {
		peak := s.memoryPeak.Load()
		if used <= peak {
			return peak
		}
		if s.memoryPeak.CompareAndSwap(peak, used) {
			return used
		}
	}
}

type codeCount struct {
	code string
	n    int64
}

func (s *stats) errorCodes() []codeCount {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]codeCount, 0, len(s.codes))
	for code, n := range s.codes {
		list = append(list, codeCount{code, n})
	}
	slices.SortFunc(list, func(a, b codeCount) int { return cmp.Compare(a.code, b.code) })
	return list
}

// perSecond returns the commands a second between the last two INFO that were
// at least a second apart.
func (s *stats) perSecond() int64 {
	now, count := time.Now(), s.commands.Load()
	s.mu.Lock()
	defer s.mu.Unlock()
	if d := now.Sub(s.rateAt); d >= time.Second {
		s.rate = float64(count-s.rateCount) / d.Seconds()
		s.rateAt, s.rateCount = now, count
	}
	return int64(s.rate)
}
