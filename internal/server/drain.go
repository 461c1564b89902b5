package server

import (
	"context"
	"errors"
	"net"
	"os"
	"sync/atomic"
	"time"

	"tutti/internal/command"
)

// How clients leave a node that ends, or that is not to serve any more: what they
// have sent is answered, then their connections are closed, between two commands.
// A message that nobody has asked for would be no kindness: libraries take it for
// the answer to the next command. That the connection ends is what all of them
// understand, and most look for it before they use one again.

// How long clients have that are asked to leave.
const (
	// lastLook is how long a connection is looked at for a command on its way.
	lastLook = 5 * time.Millisecond
	// settleMax is for how long commands are taken that follow each other closely.
	settleMax = 100 * time.Millisecond
	// finishMax is how long a client may take for the rest of a command, or of a
	// transaction.
	finishMax = 2 * time.Second
	// goodbyeMax is for how long what comes too late is taken, unread, see linger.
	goodbyeMax = 200 * time.Millisecond
)

// drain says which clients are asked to leave.
type drain struct {
	// round is raised when all connections that there are then are to end.
	round atomic.Uint64
	// refusal is what a drained node answers to those who come nevertheless; nil:
	// it is not drained.
	refusal atomic.Pointer[string]
}

// errDraining ends a connection between two commands.
var errDraining = errors.New("the node takes no more commands")

// departure is how far a client is that is asked to leave.
type departure struct {
	round uint64    // of the drain, when the client came
	told  bool      // it was refused: it is to leave, whatever the round
	never bool      // it is the node itself, which leaves when it wants to
	since time.Time // since when it has known; zero: it does not yet
}

// dismiss asks all clients to leave.
func (s *Server) dismiss() {
	s.mu.Lock()
	s.drain.round.Add(1)
	s.door.loops.dismiss()
	s.mu.Unlock()
	for _, c := range s.clients() {
		_ = c.nc.SetReadDeadline(time.Now()) // wakes the idle ones
		if b := c.face.waiting.Load(); b != nil {
			b.end(nodeStops)
		}
	}
}

// Drain ends every connection after the commands it has sent so far, and
// returns when all have ended or ctx has.
func (s *Server) Drain(ctx context.Context) {
	s.CloseListeners()
	s.dismiss()
	ended := make(chan struct{})
	go func() {
		s.wg.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-ctx.Done():
	}
}

// SetDrained says that the node has nothing left to serve clients with, and what
// they are answered: those that are there are asked to leave, and those that come
// are refused all but what is about the node. No refusal: it serves again.
func (s *Server) SetDrained(refusal string) {
	if refusal == "" {
		s.drain.refusal.Store(nil)
		return
	}
	if s.drain.refusal.Swap(&refusal) == nil {
		s.dismiss()
	}
}

// Drained reports whether clients are refused.
func (s *Server) Drained() bool { return s.drain.refusal.Load() != nil }

// leaving reports whether the client is asked to leave.
func (r *reader) leaving() bool {
	return !r.departure.never && (r.departure.told || r.departure.round != r.s.drain.round.Load())
}

// lastWords reads from a client that is asked to leave: what has arrived, and what
// it takes to finish what the client has begun.
func (r *reader) lastWords(p []byte) (int, error) {
	d := &r.departure
	if d.since.IsZero() {
		d.since = time.Now()
	}
	end := d.since.Add(finishMax)
	if !r.rd.Partial() && r.face.queued.Load() < 0 {
		now := time.Now()
		if end = now.Add(lastLook); now.Sub(d.since) > settleMax {
			return 0, errDraining
		}
	}
	for {
		_ = r.nc.SetReadDeadline(end)
		n, err := r.receive(p)
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
		if !time.Now().Before(end) { // else dismiss has woken it, which it need not have
			return 0, errDraining
		}
	}
}

// misplaced refuses a command on a node that is drained: all but what is about the
// node and the cluster, so that it can be asked what is the matter, and whoever
// looks for a node finds another. The client is then asked to leave.
func (c *conn) misplaced(cmd *command.Command) bool {
	text := c.s.drain.refusal.Load()
	if text == nil || c.session.inside || c.in.leaving() && !c.in.departure.told || !needsData(cmd) {
		return false
	}
	c.flush()
	if m := c.session.multi; m != nil {
		m.spoiled = true
	}
	c.s.stats.refused(cmd, *text)
	c.error(*text)
	c.in.departure.told = true
	return true
}

// needsData reports whether a command is none that a node answers whatever its
// state: as in Redis, PING is one that needs all to be well.
func needsData(cmd *command.Command) bool {
	switch cmd.Where {
	case command.OnShard:
		return true
	case command.OnMeta:
		return false
	}
	return cmd.Flags&(command.Stale|command.Admin) == 0
}

// parts sees a client off that was refused or asked to leave: closing with bytes
// unread would reset the connection, and it might lose what it was answered.
func parts(nc net.Conn, err error) {
	if errors.Is(err, errDraining) {
		linger(nc, goodbyeMax)
	}
}
