package server

import (
	"errors"
	"net"
	"os"
	"time"

	"tutti/internal/resp"
)

// From bytes to commands: how long and how much one client may send.

// frameTimeout is how long a command may take to arrive once it has begun: a
// client that sends a byte now and then must not hold memory for ever. A long one
// has a second more for each frameStep bytes that have come.
const (
	frameTimeout = 30 * time.Second
	frameStep    = 256 << 10
)

// reader cuts the commands of one client out of what it sends.
type reader struct {
	s      *Server
	nc     net.Conn
	ahead  *lookout // holds what was read while a command waited
	rd     *resp.Reader
	limits *resp.Limits // those that rd has
	until  time.Time    // when the client must have logged in; zero: it has
	since  time.Time    // when the command began that is incomplete; zero: none is
	timed  bool         // a read deadline is set
	begun  bool         // the client has sent something
	inline bool         // what it sent first is written as a line, as people and HTTP do
	// foreign says that it speaks another protocol, and was told so: what else it sends
	// is thrown away.
	foreign bool
	held    held  // what of all clients' memory its commands take
	face    *face // of the client

	departure departure

	seat     *seat // of the client: while its loop serves it, reading does not wait
	restless bool  // the client goes back to its loop if it sends nothing for stayIdle
}

func (r *reader) init(s *Server, nc net.Conn, ahead *lookout, f *face, t *seat) {
	r.s, r.nc, r.ahead, r.face, r.seat, r.limits = s, nc, ahead, f, t, s.config.limits.Load()
	r.departure.round = s.drain.round.Load()
	r.rd = resp.NewReader(r, *r.limits)
}

// setLimits sets what is cut from now on.
func (r *reader) setLimits(l *resp.Limits) {
	r.limits = l
	r.rd.SetLimits(*l)
}

// next waits for the next command. What it returns is valid until release.
func (r *reader) next() ([][]byte, error) {
	if l := r.s.config.limits.Load(); l != r.limits && r.until.IsZero() {
		r.setLimits(l)
	}
	r.since = time.Time{}
	return r.rd.ReadCommand()
}

// buffered returns the next command if it has arrived already.
func (r *reader) buffered() ([][]byte, bool, error) { return r.rd.NextBuffered() }

// release gives back the commands returned so far. If something may still refer
// to them, their memory is not used again.
func (r *reader) release(referred bool) {
	if referred {
		r.rd.Abandon()
	} else {
		r.rd.Release()
	}
	r.held.release()
}

// rest is release before a wait that may be long: what memory there is beside
// what has arrived of later commands is given up.
func (r *reader) rest(referred bool) {
	r.release(referred)
	r.rd.Rest()
}

// Read reads from the client, with a deadline while a command is incomplete.
func (r *reader) Read(p []byte) (int, error) {
	if n := r.ahead.take(p); n > 0 {
		return n, nil
	}
	if r.seat.here {
		return r.receive(p)
	}
	r.limit()
	if !r.leaving() {
		n, err := r.receive(p)
		if err == nil || !errors.Is(err, os.ErrDeadlineExceeded) || !r.leaving() {
			return n, err
		}
	}
	return r.lastWords(p)
}

func (r *reader) receive(p []byte) (int, error) {
	if !r.held.grow(int64(r.rd.Buffered() + len(p))) {
		return 0, errNoRoom
	}
	n, err := r.read(p)
	r.s.stats.bytesIn.Add(int64(n))
	if !r.begun && n > 0 {
		r.begun, r.inline = true, p[0] != '*'
		if p[0] == recordHandshake {
			return 0, errTLSHello // or it would wait for an answer to half a line
		}
	}
	return n, err
}

func (r *reader) read(p []byte) (int, error) {
	if r.seat.here {
		return r.seat.Read(p)
	}
	return r.nc.Read(p)
}

// limit bounds how long a read waits. Deadlines cost a timer each: none is set, or
// cleared, where none is needed.
func (r *reader) limit() {
	deadline := r.deadline()
	if timed := !deadline.IsZero(); timed || r.timed || r.ahead.timed {
		_ = r.nc.SetReadDeadline(deadline)
		r.timed, r.ahead.timed = timed, false
	}
}

// deadline is when the client must have sent more; zero: it may take its time.
func (r *reader) deadline() (at time.Time) {
	if r.rd.Partial() {
		if r.since.IsZero() {
			r.since = time.Now()
		}
		at = r.since.Add(frameTimeout + time.Duration(r.rd.Buffered()/frameStep)*time.Second)
	} else if limit := r.s.config.idleTimeout(); limit > 0 && !r.face.hears() {
		at = time.Now().Add(limit)
	}
	if !r.until.IsZero() && (at.IsZero() || r.until.Before(at)) {
		at = r.until
	}
	if r.restless && !r.rd.Partial() {
		at = time.Now().Add(stayIdle)
	}
	return at
}
